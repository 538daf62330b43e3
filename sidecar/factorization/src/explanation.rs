//! What of a score comes from which item of the history, for every algorithm whose tastes are linear in what they are folded in
//! from (Hu, Koren and Volinsky 2008, section 5).
//!
//! With M the inverse of the row's matrix (see the crate's page; for SVD Σ⁻²), the score of an item v is a sum over the history:
//!
//! ```text
//!   ⟨u, v⟩ = (M Σ bⱼ vⱼ)ᵀ v = Σ bⱼ · vⱼᵀ M v
//! ```
//!
//! where bⱼ is an entry's evidence (for SVD with degrees what of it is projected). In a model of ratings v is (v, 1), so that the
//! user's bias is part of the sum, bⱼ is what the mean and the item's bias leave of a rating, and the unclipped prediction is
//! μ + c + the sum. In SVD the user's bias is the shrunk mean of the bⱼ and is taken off them before they are projected:
//! with gⱼ = vⱼᵀ M v, n ratings and shrinkage β an entry's part is bⱼ (gⱼ + (1 − Σg) / (n + β)).

use crate::{
    biases::BIAS_SHRINKAGE,
    cholesky,
    degrees::FittedHistory,
    rating_solver::RatingSolver,
    row_solver::{Scratch, SolveError, check_entries},
    scorer::{FoldIn, Ratings, Scorer},
    simd::{self, Kernel},
    tile::{TILE, padded},
};

/// A score as a sum. In a model of ratings it is the prediction before it is brought onto the scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// What no history changes: the mean of all ratings and the item's bias; 0 unless items are rated.
    pub base: f64,
    /// What each entry of the history adds, in its order. Below 0: the score would be greater without it.
    pub contributions: Vec<f64>,
}

impl Explanation {
    /// The score.
    pub fn sum(&self) -> f64 {
        self.base + self.contributions.iter().sum::<f64>()
    }
}

impl Scorer<'_> {
    /// Why the taste that these entries say (items ascending, each once) gives each of `targets` its score: equal to it up to
    /// the rounding of the taste's factors to f32. `None` if the algorithm's scores are no sums over a history.
    ///
    /// It costs about as much as folding in, and little more for each target.
    ///
    /// # Errors
    /// As [`Scorer::fold_in`], or a target that is not there.
    pub fn explain(
        &self,
        items: &[u32],
        values: &[f32],
        targets: &[u32],
    ) -> Result<Option<Vec<Explanation>>, SolveError> {
        let bound = self.item_factors.nrows();
        check_entries(items, values, bound)?;
        if let Some(&index) = targets.iter().find(|target| **target as usize >= bound) {
            return Err(SolveError::OutOfRange { index, bound });
        }
        if items.is_empty() {
            let alone = |target| Explanation { base: self.base(target), contributions: Vec::new() };
            return Ok(Some(targets.iter().map(|target| alone(*target)).collect()));
        }
        let factors = self.item_factors.ncols();
        let mut scratch;
        let (evidence, inverse): (Vec<f64>, _) = match &self.fold_in {
            FoldIn::Als(solver, degrees) => {
                scratch = Scratch::new(factors);
                let history = FittedHistory::of((items, values), self.item_factors, *degrees, solver.params);
                let (on_history, places) = history.solver(solver);
                on_history.factor(places, &history.weights, &mut scratch)?;
                // Products are those of served items.
                let taken =
                    |item: &u32| degrees.map_or(1.0, |d| solver.params.degree_taken(d.item_counts[*item as usize]));
                let evidence = history.weights.iter().map(|value| solver.params.evidence(*value).b);
                let evidence = evidence.zip(items).map(|(b, item)| b * f64::from(taken(item))).collect();
                (evidence, Inverse::Factor { matrix: &scratch.matrix, bias: false })
            }
            FoldIn::ExplicitAls(solver) => {
                scratch = RatingSolver::scratch(solver.params);
                solver.factor(items, values, &mut scratch)?;
                (self.remainders(items, values), Inverse::Factor { matrix: &scratch.matrix, bias: true })
            }
            FoldIn::Bpr(_) => return Ok(None),
            FoldIn::Svd(projection) => {
                let evidence = match self.ratings {
                    None => projection.weights(items, values).into_iter().map(f64::from).collect(),
                    Some(_) => self.remainders(items, values),
                };
                (evidence, Inverse::Diagonal { diagonal: projection.inverse(), bias: self.ratings.is_some() })
            }
        };
        let rows = self.item_factors.to_slice().unwrap_or_default();
        let products = simd::run(Products { rows, factors, items, targets, inverse: &inverse });
        let explained = targets.iter().zip(products.chunks_exact(items.len())).map(|(&target, products)| {
            let contributions = products.iter().zip(&evidence).map(|(product, b)| product * b).collect();
            Explanation { base: self.base(target), contributions }
        });
        Ok(Some(explained.collect()))
    }

    fn base(&self, target: u32) -> f64 {
        let of = |ratings: Ratings<'_>| f64::from(ratings.scale.mean) + f64::from(ratings.items[target as usize]);
        self.ratings.map_or(0.0, of)
    }

    /// What the mean and the items' biases leave of ratings.
    fn remainders(&self, items: &[u32], values: &[f32]) -> Vec<f64> {
        items.iter().zip(values).map(|(&item, &rating)| f64::from(rating) - self.base(item)).collect()
    }
}

/// M, and whether a 1 stands behind every item's factors or the bias is apart from them.
enum Inverse<'a> {
    /// The Cholesky factor of the matrix that it inverts, padded. With a bias its last row is that of the 1.
    Factor { matrix: &'a [f64], bias: bool },
    /// Of the projection. The bias is a shrunk mean.
    Diagonal { diagonal: Vec<f64>, bias: bool },
}

/// What a unit of evidence for each of `items` adds to the score of each of `targets`.
struct Products<'a> {
    rows: &'a [f32],
    factors: usize,
    items: &'a [u32],
    targets: &'a [u32],
    inverse: &'a Inverse<'a>,
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
            // What the 1 behind each item's factors adds.
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
            // A loop and no iterator: a closure would not be compiled for wide instructions.
            for &item in items {
                products.push(constant + dot(row(item), &solved));
            }
            if let Inverse::Diagonal { bias: true, .. } = inverse {
                let own = &mut products[begin..];
                let share = (1.0 - own.iter().sum::<f64>()) / (items.len() as f64 + BIAS_SHRINKAGE);
                for product in own {
                    *product += share;
                }
            }
        }
        products
    }
}

/// ⟨v, x⟩ over fixed lanes; x is padded.
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

/// Whole arrays in and out keep the lanes in vector registers.
#[inline(always)]
fn multiply_add(v: &[f32; TILE], x: &[f64; TILE], mut sums: [f64; TILE]) -> [f64; TILE] {
    for lane in 0..TILE {
        sums[lane] = f64::from(v[lane]).mul_add(x[lane], sums[lane]);
    }
    sums
}
