//! The greatest singular values of a sparse matrix, by Chebyshev-filtered subspace iteration (Zhou, Saad, Tiago and Chelikowsky 2006,
//! "Self-consistent-field calculations using Chebyshev-filtered subspace iteration", Journal of Computational Physics 219).
//!
//! A sweep multiplies a block X by a polynomial of AᵀA that is small up to the least value the block has found and grows as fast
//! as a polynomial can beyond; then it takes the best that the block spans (Rayleigh and Ritz). Blocks are in f32; their inner
//! products, and all that is as small as the block is wide, in f64, so that values and vectors are exact for what the block spans,
//! whether its columns are orthogonal or not.

use ndarray::Array2;

use crate::{
    aligned,
    blocks::{Step, add_scaled, multiply, times},
    descent::padded,
    gram::gram,
    interactions::Interactions,
    random::{uniform, word},
    rotate::rotate,
    simd::{self, Kernel},
    spectrum::Spectrum,
};

/// Fewest columns of the block beyond those asked for: they keep the last of those from converging slowly.
const OVERSAMPLING: usize = 32;
/// Greatest degree of a sweep's polynomial.
const DEGREE_MAX: u32 = 4;
/// How much more than the least direction the polynomial may grow the greatest: times the rounding of f32, this is what the columns
/// of the least get of the greatest.
const GROWTH_MAX: f64 = 1e9;
/// Squared singular values below this share of the greatest are rounding: the matrix has a smaller rank.
pub(crate) const RANK_PRECISION: f64 = 1e-12;
/// Columns of which less than this share of their squared length is new beside those before are rounding.
const INDEPENDENT: f64 = 1e-10;

/// Columns of the block for so many singular values.
pub(crate) const fn width(values: usize) -> usize {
    padded(values + OVERSAMPLING)
}

/// Bytes of the blocks: two by item and one by user.
pub(crate) fn blocks_bytes(users: u64, items: u64, width: u64) -> u64 {
    users.saturating_add(items.saturating_mul(2)).saturating_mul(width * 4)
}

/// A block of approximate right singular vectors, and its image.
#[derive(Debug)]
pub(crate) struct Subspace<'a> {
    matrix: &'a Interactions,
    transposed: Interactions,
    /// Makes the greatest entry of the matrix 1, so that nothing overflows f32.
    scale: f64,
    /// X, items × width.
    x: Array2<f32>,
    /// Where the recurrence has its other block.
    other: Array2<f32>,
    /// AX, users × width.
    image: Array2<f32>,
    /// Squared singular values of the scaled matrix, from the greatest.
    squares: Vec<f64>,
    /// No square is much greater: ‖A‖² at first, since a random block says little of the greatest; then what it has found.
    bound: f64,
}

/// Numbers that are not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotFinite;

impl<'a> Subspace<'a> {
    /// A random block for so many singular values, and what it has by chance. The matrix has an entry that is not 0, or is all 0.
    pub(crate) fn new(matrix: &'a Interactions, values: usize, seed: u64) -> Result<Self, NotFinite> {
        let width = width(values);
        let greatest = matrix.values().iter().fold(0.0_f32, |greatest, value| greatest.max(value.abs()));
        let x = aligned::filled(matrix.items(), width, |row, x| {
            for (column, x) in x.iter_mut().enumerate() {
                #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
                {
                    *x = (uniform(word(seed, row as u64, column as u64)) - 0.5) as f32;
                }
            }
        });
        let scale = if greatest > 0.0 { 1.0 / f64::from(greatest) } else { 1.0 };
        let mut start = Self {
            matrix,
            transposed: matrix.transpose(),
            scale,
            other: aligned::zeros(matrix.items(), width),
            x,
            image: aligned::zeros(matrix.users(), width),
            squares: Vec::new(),
            bound: matrix.values().iter().map(|value| (f64::from(*value) * scale).powi(2)).sum(),
        };
        start.take_best()?;
        Ok(start)
    }

    /// Squared singular values from the greatest, as many as the block is wide.
    pub(crate) fn squares(&self) -> impl Iterator<Item = f64> {
        self.squares.iter().map(|square| square / (self.scale * self.scale))
    }

    /// Right singular vectors in the first columns, items × [`width`].
    pub(crate) fn into_vectors(self) -> Array2<f32> {
        self.x
    }

    /// A sweep: X ← T(2AᵀA/b − 1) X with a polynomial T of Chebyshev, and b the least value so far; then the best.
    pub(crate) fn sweep(&mut self) -> Result<(), NotFinite> {
        let Self { matrix, transposed, scale, x, other, image, squares, bound } = self;
        let scale = *scale;
        let greatest = squares.first().copied().unwrap_or(0.0);
        let least = squares.last().copied().unwrap_or(0.0).max(RANK_PRECISION * greatest);
        if least > 0.0 {
            other.assign(x);
            multiply(transposed, 2.0 * scale / least, image, Step::Minus, other);
            for _ in 1..degree(*bound / least) {
                multiply(matrix, scale, other, Step::Product, image);
                multiply(transposed, 4.0 * scale / least, image, Step::MinusTwice(other), x);
                std::mem::swap(x, other);
            }
            std::mem::swap(x, other);
        }
        self.take_best()?;
        self.bound = self.squares.first().copied().unwrap_or(0.0);
        Ok(())
    }

    /// Rayleigh and Ritz: makes X orthonormal and its image orthogonal, from the longest column on.
    fn take_best(&mut self) -> Result<(), NotFinite> {
        let Self { matrix, scale, x, image, squares, .. } = self;
        let width = x.ncols();
        multiply(matrix, *scale, x, Step::Product, image);
        let (lengths, images) = (gram(x.view()), gram(image.view()));
        let basis = orthonormalizing(lengths);
        let turned = times(&times(&basis, &images), &transpose(&basis));
        let Spectrum { values, vectors } = Spectrum::of(&turned).ok_or(NotFinite)?;
        let mut order: Vec<usize> = (0..width).collect();
        order.sort_by(|i, j| values[*j].total_cmp(&values[*i]).then(i.cmp(j)));
        *squares = order.iter().map(|&i| values[i].max(0.0)).collect();
        // In rows as they come: (ZᵀK)ᵀ.
        let turn = times(&vectors, &basis);
        #[expect(clippy::cast_possible_truncation, reason = "as the blocks")]
        let turn: Vec<f32> =
            (0..width).flat_map(|i| order.iter().map(move |&j| (i, j))).map(|at| turn[(at.1, at.0)] as f32).collect();
        rotate(x, &turn);
        rotate(image, &turn);
        Ok(())
    }
}

/// The greatest degree whose growth stays within bounds; the polynomial's value at t is below (4t)ᵈ.
fn degree(spread: f64) -> u32 {
    let mut growth = 4.0 * spread;
    let mut degree = 1;
    while degree < DEGREE_MAX && growth * 4.0 * spread <= GROWTH_MAX {
        growth *= 4.0 * spread;
        degree += 1;
    }
    degree
}

/// K with KSKᵀ = 1 for a matrix S of inner products, by Cholesky's S = LLᵀ and K = L⁻¹, with S scaled to 1 on its diagonal. Rows
/// of columns that add nothing to those before are 0, also in KSKᵀ.
fn orthonormalizing(mut s: Array2<f64>) -> Array2<f64> {
    let n = s.nrows();
    let shares: Vec<f64> =
        s.diag().iter().map(|square| if *square > 0.0 { 1.0 / square.sqrt() } else { 0.0 }).collect();
    for ((i, j), x) in s.indexed_iter_mut() {
        *x *= shares[i] * shares[j];
    }
    let mut inverse = vec![0.0; n * n];
    simd::run(InverseFactor { s: s.as_slice_mut().expect("squares are in standard layout"), inverse: &mut inverse, n });
    for row in inverse.chunks_exact_mut(n.max(1)) {
        for (x, share) in row.iter_mut().zip(&shares) {
            *x *= share;
        }
    }
    Array2::from_shape_vec((n, n), inverse).expect("a square")
}

fn transpose(matrix: &Array2<f64>) -> Array2<f64> {
    matrix.t().as_standard_layout().into_owned()
}

/// S = LLᵀ, right-looking, and L⁻¹ beside it, a row of S at a time; see [`orthonormalizing`].
struct InverseFactor<'a> {
    /// n × n; its upper triangle is used up.
    s: &'a mut [f64],
    /// 0 at first.
    inverse: &'a mut [f64],
    n: usize,
}

impl Kernel for InverseFactor<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { s, inverse, n } = self;
        for i in 0..n {
            let (rows, below) = s.split_at_mut((i + 1) * n);
            let (done, later) = inverse.split_at_mut((i + 1) * n);
            let (row, own) = (&mut rows[i * n..], &mut done[i * n..]);
            let pivot = row[i];
            if pivot.is_nan() || pivot <= INDEPENDENT {
                own.fill(0.0);
                continue;
            }
            own[i] = 1.0;
            let share = 1.0 / pivot.sqrt();
            row[i..].iter_mut().chain(own.iter_mut()).for_each(|x| *x *= share);
            // Both lose what they have of this row: of S what L explains, of the inverse what it says of this column.
            for (j, (below, later)) in below.chunks_exact_mut(n).zip(later.chunks_exact_mut(n)).enumerate() {
                let j = i + 1 + j;
                add_scaled(&mut below[j..], -row[j], &row[j..]);
                add_scaled(&mut later[..=i], -row[j], &own[..=i]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::normal;

    #[test]
    fn independent_rows_come_out_orthonormal_and_others_empty() {
        let n = 40;
        // Lengths over eight decades; columns 7 and 30 are combinations of others, and one is empty.
        let mut x = Array2::from_shape_fn((90, n), |(i, j)| {
            normal(1, i as u64, j as u64) * libm::pow(10.0, (j % 9) as f64 - 4.0)
        });
        let seventh = &x.column(1) * 3.0 - x.column(4);
        x.column_mut(7).assign(&seventh);
        let thirtieth = &x.column(8) + &x.column(29);
        x.column_mut(30).assign(&thirtieth);
        x.column_mut(20).fill(0.0);
        let s = x.t().dot(&x);
        let basis = orthonormalizing(s.clone());
        for ((i, j), product) in basis.dot(&s).dot(&basis.t()).indexed_iter() {
            let one = if i == j && ![7, 20, 30].contains(&i) { 1.0 } else { 0.0 };
            assert!((product - one).abs() < 1e-10, "{i} {j}: {product}");
        }
        let part = |run: &dyn Fn(InverseFactor<'_>)| {
            let (mut s, mut inverse) = (s.iter().copied().collect::<Vec<_>>(), vec![0.0; n * n]);
            run(InverseFactor { s: &mut s, inverse: &mut inverse, n });
            inverse
        };
        assert_eq!(part(&|work| simd::run(work)), part(&|work| work.run()));
    }

    #[test]
    fn the_degree_is_bounded_by_growth() {
        assert_eq!([degree(1.0), degree(30.0), degree(100.0), degree(1e4), degree(1e9)], [4, 4, 3, 1, 1]);
    }
}
