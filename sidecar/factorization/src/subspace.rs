//! The largest singular values of a sparse matrix, by Chebyshev-filtered subspace iteration (Zhou,
//! Saad, Tiago and Chelikowsky 2006, "Self-consistent-field calculations using Chebyshev-filtered
//! subspace iteration", Journal of Computational Physics 219).
//!
//! An iteration multiplies a block X by a polynomial of AᵀA that is small up to the smallest value
//! the block has found and grows as fast as a polynomial can beyond. Then it computes the best
//! approximation within the span of the block (Rayleigh–Ritz). Blocks are in f32. Their inner
//! products, and all matrices whose order is the width of the block, are in f64, so values and
//! vectors are exact for the span of the block, whether its columns are orthogonal or not.

use ndarray::Array2;

use crate::{
    aligned,
    blocks::{Step, add_scaled, multiply, times},
    conjugate_gradient::padded,
    gram::gram,
    interactions::Interactions,
    random::{uniform, word},
    rotate::rotate,
    simd::{self, Kernel},
    symmetric_eigen::SymmetricEigen,
};

/// Minimum number of columns of the block beyond the requested ones. Without them, the last
/// requested ones would converge slowly.
const OVERSAMPLING: usize = 32;
/// Maximum degree of the polynomial of an iteration.
const DEGREE_MAX: u32 = 4;
/// Maximum growth by the polynomial of the largest direction relative to the smallest. Times the
/// rounding error of f32, it is the contamination of the smallest columns by the largest.
const GROWTH_MAX: f64 = 1e9;
/// Squared singular values below this fraction of the maximum are rounding errors: the matrix has a
/// smaller rank.
pub(crate) const RANK_PRECISION: f64 = 1e-12;
/// If less than this fraction of a column's squared norm is independent of the previous columns, it
/// is a rounding error.
const RANK_TOLERANCE: f64 = 1e-10;

/// Columns of the block for a number of singular values.
pub(crate) const fn width(values: usize) -> usize {
    padded(values + OVERSAMPLING)
}

/// Bytes of the blocks: two with a row per item and one with a row per user.
pub(crate) fn blocks_bytes(users: u64, items: u64, width: u64) -> u64 {
    users.saturating_add(items.saturating_mul(2)).saturating_mul(width * 4)
}

/// A block of approximate right singular vectors, and its image under the matrix.
#[derive(Debug)]
pub(crate) struct Subspace<'a> {
    matrix: &'a Interactions,
    transposed: Interactions,
    /// Scales the maximum absolute entry of the matrix to 1, so that nothing overflows f32.
    scale: f64,
    /// X, items × width.
    x: Array2<f32>,
    /// Second block of the recurrence.
    recurrence: Array2<f32>,
    /// AX, users × width.
    image: Array2<f32>,
    /// Squared singular values of the scaled matrix, in descending order.
    squares: Vec<f64>,
    /// Upper bound of the squares: initially ‖A‖², because a random block does not estimate the
    /// maximum well; then the largest one found.
    bound: f64,
}

/// Values are not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotFinite;

impl<'a> Subspace<'a> {
    /// A random block for a number of singular values, with its initial approximation. The matrix
    /// may be 0.
    pub(crate) fn new(matrix: &'a Interactions, values: usize, seed: u64) -> Result<Self, NotFinite> {
        let width = width(values);
        let max = matrix.values().iter().fold(0.0_f32, |max, value| max.max(value.abs()));
        let x = aligned::filled(matrix.items(), width, |row, x| {
            for (column, x) in x.iter_mut().enumerate() {
                #[expect(clippy::cast_possible_truncation, reason = "random values may be rounded")]
                {
                    *x = (uniform(word(seed, row as u64, column as u64)) - 0.5) as f32;
                }
            }
        });
        let scale = if max > 0.0 { 1.0 / f64::from(max) } else { 1.0 };
        let mut subspace = Self {
            matrix,
            transposed: matrix.transpose(),
            scale,
            recurrence: aligned::zeros(matrix.items(), width),
            x,
            image: aligned::zeros(matrix.users(), width),
            squares: Vec::new(),
            bound: matrix.values().iter().map(|value| (f64::from(*value) * scale).powi(2)).sum(),
        };
        subspace.rayleigh_ritz()?;
        Ok(subspace)
    }

    /// Squared singular values in descending order, one per column of the block.
    pub(crate) fn squares(&self) -> impl Iterator<Item = f64> {
        self.squares.iter().map(|square| square / (self.scale * self.scale))
    }

    /// Right singular vectors in the first columns, items × [`width`].
    pub(crate) fn into_vectors(self) -> Array2<f32> {
        self.x
    }

    /// One iteration: X ← T(2AᵀA/b − 1) X, where T is a Chebyshev polynomial and b the smallest
    /// value so far; then Rayleigh–Ritz.
    pub(crate) fn iterate(&mut self) -> Result<(), NotFinite> {
        let Self { matrix, transposed, scale, x, recurrence, image, squares, bound } = self;
        let scale = *scale;
        let max = squares.first().copied().unwrap_or(0.0);
        let min = squares.last().copied().unwrap_or(0.0).max(RANK_PRECISION * max);
        if min > 0.0 {
            recurrence.assign(x);
            multiply(transposed, 2.0 * scale / min, image, Step::Minus, recurrence);
            for _ in 1..degree(*bound / min) {
                multiply(matrix, scale, recurrence, Step::Product, image);
                multiply(transposed, 4.0 * scale / min, image, Step::MinusTwice(recurrence), x);
                std::mem::swap(x, recurrence);
            }
            std::mem::swap(x, recurrence);
        }
        self.rayleigh_ritz()?;
        self.bound = self.squares.first().copied().unwrap_or(0.0);
        Ok(())
    }

    /// Rayleigh–Ritz: makes X orthonormal and its image orthogonal, with columns in descending
    /// order.
    fn rayleigh_ritz(&mut self) -> Result<(), NotFinite> {
        let Self { matrix, scale, x, image, squares, .. } = self;
        let width = x.ncols();
        multiply(matrix, *scale, x, Step::Product, image);
        let (lengths, images) = (gram(x.view()), gram(image.view()));
        let basis = cholesky_orthonormalization(lengths);
        let rotated = times(&times(&basis, &images), &transpose(&basis));
        let SymmetricEigen { values, vectors } = SymmetricEigen::decompose(&rotated).ok_or(NotFinite)?;
        let mut order: Vec<usize> = (0..width).collect();
        order.sort_by(|i, j| values[*j].total_cmp(&values[*i]).then(i.cmp(j)));
        *squares = order.iter().map(|&i| values[i].max(0.0)).collect();
        // (ZᵀK)ᵀ, with its columns in this order.
        let rotation = times(&vectors, &basis);
        #[expect(clippy::cast_possible_truncation, reason = "the blocks are in f32, too")]
        let rotation: Vec<f32> = (0..width)
            .flat_map(|i| order.iter().map(move |&j| (i, j)))
            .map(|at| rotation[(at.1, at.0)] as f32)
            .collect();
        rotate(x, &rotation);
        rotate(image, &rotation);
        Ok(())
    }
}

/// The maximum degree whose growth stays within bounds; the value of the polynomial at t is below
/// (4t)ᵈ.
fn degree(spread: f64) -> u32 {
    let mut growth = 4.0 * spread;
    let mut degree = 1;
    while degree < DEGREE_MAX && growth * 4.0 * spread <= GROWTH_MAX {
        growth *= 4.0 * spread;
        degree += 1;
    }
    degree
}

/// K with KSKᵀ = 1 for a matrix S of inner products, by the Cholesky decomposition S = LLᵀ and K =
/// L⁻¹, with S scaled to a unit diagonal. Rows of columns that depend on previous ones are 0, also
/// in KSKᵀ.
pub(crate) fn cholesky_orthonormalization(mut s: Array2<f64>) -> Array2<f64> {
    let n = s.nrows();
    let scales: Vec<f64> =
        s.diag().iter().map(|square| if *square > 0.0 { 1.0 / square.sqrt() } else { 0.0 }).collect();
    for ((i, j), x) in s.indexed_iter_mut() {
        *x *= scales[i] * scales[j];
    }
    let mut inverse = vec![0.0; n * n];
    let s_slice = s.as_slice_mut().expect("square matrices are in standard layout");
    simd::run(InverseFactor { s: s_slice, inverse: &mut inverse, n });
    for row in inverse.chunks_exact_mut(n.max(1)) {
        for (x, scale) in row.iter_mut().zip(&scales) {
            *x *= scale;
        }
    }
    Array2::from_shape_vec((n, n), inverse).expect("the buffer has n × n elements")
}

/// The transpose, in standard layout.
pub(crate) fn transpose(matrix: &Array2<f64>) -> Array2<f64> {
    matrix.t().as_standard_layout().into_owned()
}

/// S = LLᵀ, right-looking, and L⁻¹ along with it, one row of S at a time; see
/// [`cholesky_orthonormalization`].
struct InverseFactor<'a> {
    /// n × n; the upper triangle is overwritten.
    s: &'a mut [f64],
    /// n × n, initially 0.
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
            if pivot.is_nan() || pivot <= RANK_TOLERANCE {
                own.fill(0.0);
                continue;
            }
            own[i] = 1.0;
            let scale = 1.0 / pivot.sqrt();
            row[i..].iter_mut().chain(own.iter_mut()).for_each(|x| *x *= scale);
            // Eliminates this row's part: from S what L explains, from the inverse the entry of
            // this column.
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
    fn independent_rows_become_orthonormal_and_dependent_ones_0() {
        let n = 40;
        // Norms span eight decades; columns 7 and 30 are combinations of others, and column 20 is
        // 0.
        let mut x = Array2::from_shape_fn((90, n), |(i, j)| {
            normal(1, i as u64, j as u64) * libm::pow(10.0, (j % 9) as f64 - 4.0)
        });
        let seventh = &x.column(1) * 3.0 - x.column(4);
        x.column_mut(7).assign(&seventh);
        let thirtieth = &x.column(8) + &x.column(29);
        x.column_mut(30).assign(&thirtieth);
        x.column_mut(20).fill(0.0);
        let s = x.t().dot(&x);
        let basis = cholesky_orthonormalization(s.clone());
        for ((i, j), product) in basis.dot(&s).dot(&basis.t()).indexed_iter() {
            let expected = if i == j && ![7, 20, 30].contains(&i) { 1.0 } else { 0.0 };
            assert!((product - expected).abs() < 1e-10, "{i} {j}: {product}");
        }
        let part = |run: &dyn Fn(InverseFactor<'_>)| {
            let (mut s, mut inverse) = (s.iter().copied().collect::<Vec<_>>(), vec![0.0; n * n]);
            run(InverseFactor { s: &mut s, inverse: &mut inverse, n });
            inverse
        };
        assert_eq!(part(&|work| simd::run(work)), part(&|work| work.run()));
    }

    #[test]
    fn growth_bounds_the_degree() {
        assert_eq!([degree(1.0), degree(30.0), degree(100.0), degree(1e4), degree(1e9)], [4, 4, 3, 1, 1]);
    }
}
