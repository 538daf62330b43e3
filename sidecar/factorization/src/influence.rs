//! How the entries of a history determine scores, for every algorithm whose user vector is linear
//! in the history. [`crate::explanation`] has the formulas.

use crate::{
    biases::BIAS_SHRINKAGE,
    cholesky,
    simd::{self, Kernel},
    tile::{TILE, padded},
};

/// A history whose user vector is the sum of its entries' linear weights, each times M and the
/// item's row.
pub(crate) struct Influence {
    /// b of each entry.
    pub(crate) linear_weights: Vec<f64>,
    pub(crate) inverse: Inverse,
}

impl Influence {
    /// Contributions of the items of the history to the score of each of `targets`. `rows` are the
    /// item factors.
    pub(crate) fn contributions(
        &self,
        (rows, factors): (&[f32], usize),
        items: &[u32],
        targets: &[u32],
    ) -> Vec<Vec<f64>> {
        let products = simd::run(Products { rows, factors, items, targets, inverse: &self.inverse });
        let weighted =
            |products: &[f64]| products.iter().zip(&self.linear_weights).map(|(product, b)| product * b).collect();
        products.chunks_exact(items.len()).map(weighted).collect()
    }
}

/// M, and whether users have a bias.
pub(crate) enum Inverse {
    /// Padded Cholesky factor of the matrix that M inverts. With a bias its last row belongs to the
    /// 1 that is appended to item factors.
    Factor { matrix: Vec<f64>, bias: bool },
    /// Diagonal of the projection. The bias is a shrunk mean.
    Diagonal { diagonal: Vec<f64>, bias: bool },
}

/// Contribution to the score of each of `targets` per unit of the linear weight of each of `items`.
struct Products<'a> {
    rows: &'a [f32],
    factors: usize,
    items: &'a [u32],
    targets: &'a [u32],
    inverse: &'a Inverse,
}

impl Kernel for Products<'_> {
    /// targets × items.
    type Output = Vec<f64>;

    #[inline(always)]
    fn run(self) -> Vec<f64> {
        let Self { rows, factors, items, targets, inverse } = self;
        let row = |item: u32| &rows[item as usize * factors..][..factors];
        let mut solved = vec![0.0; padded(factors + 1)];
        let mut products = Vec::with_capacity(targets.len() * items.len());
        for &target in targets {
            solved.fill(0.0);
            for (to, v) in solved.iter_mut().zip(row(target)) {
                *to = f64::from(*v);
            }
            // Contribution of the 1 that is appended to item factors.
            let mut constant = 0.0;
            match inverse {
                Inverse::Factor { matrix, bias } => {
                    solved[factors] = f64::from(u8::from(*bias));
                    cholesky::solve_again(matrix, &mut solved[..padded(factors + usize::from(*bias))]);
                    constant = solved[factors];
                }
                Inverse::Diagonal { diagonal, .. } => {
                    for (x, by) in solved.iter_mut().zip(diagonal) {
                        *x *= by;
                    }
                }
            }
            let begin = products.len();
            // A loop instead of an iterator: closures are not compiled for the vector instruction
            // sets.
            for &item in items {
                products.push(constant + dot(row(item), &solved));
            }
            if let Inverse::Diagonal { bias: true, .. } = inverse {
                let own = &mut products[begin..];
                let bias = (1.0 - own.iter().sum::<f64>()) / (items.len() as f64 + BIAS_SHRINKAGE);
                for product in own {
                    *product += bias;
                }
            }
        }
        products
    }
}

/// ⟨v, x⟩ over a fixed number of lanes; x is padded.
#[inline(always)]
fn dot(v: &[f32], x: &[f64]) -> f64 {
    let mut sums = [0.0; TILE];
    let (blocks, rest) = v.as_chunks::<TILE>();
    let (x_blocks, _) = x.as_chunks::<TILE>();
    for (v, x) in blocks.iter().zip(x_blocks) {
        sums = multiply_add(v, x, sums);
    }
    if let (false, Some(x)) = (rest.is_empty(), x_blocks.get(blocks.len())) {
        let mut v = [0.0; TILE];
        v[..rest.len()].copy_from_slice(rest);
        sums = multiply_add(&v, x, sums);
    }
    ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))
}

/// Arrays by value keep the lanes in vector registers.
#[inline(always)]
fn multiply_add(v: &[f32; TILE], x: &[f64; TILE], mut sums: [f64; TILE]) -> [f64; TILE] {
    for lane in 0..TILE {
        sums[lane] = f64::from(v[lane]).mul_add(x[lane], sums[lane]);
    }
    sums
}
