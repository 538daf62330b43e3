//! One row of one side, with the other side fixed: training's inner step, and the fold-in of users that come later.

use ndarray::ArrayView2;
use thiserror::Error;

use crate::{
    cholesky,
    interactions::Evidence,
    params::ValidAlsParams,
    simd::{self, Kernel},
    tile::{TILE, add_products, padded},
};

/// Why a row has no solution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SolveError {
    /// The normal equations are singular or not finite.
    #[error("the normal equations are not positive definite: raise regularization, or check for extreme weights")]
    NotPositiveDefinite,
    /// A row that does not fit f32.
    #[error("the solution is not finite in single precision: lower extreme weights or raise regularization")]
    NotFinite,
    /// An index of the fixed side that does not exist.
    #[error("index {index} is outside 0..{bound}")]
    OutOfRange {
        /// The index given.
        index: u32,
        /// Rows of the fixed side.
        bound: usize,
    },
    /// Indexes that do not ascend, or one that comes twice.
    #[error("index {index} does not come after the one before it: sort entries and merge those of one index")]
    NotAscending {
        /// The index given.
        index: u32,
    },
    /// A weight that is NaN or infinite.
    #[error("a weight is not a finite number")]
    WeightNotFinite,
    /// Indexes and weights that are not of one length.
    #[error("{indexes} indexes come with {weights} weights: expected one weight for each index")]
    Lengths {
        /// How many indexes.
        indexes: usize,
        /// How many weights.
        weights: usize,
    },
    /// Biases that do not belong to the fixed side.
    #[error("{biases} biases come with {rows} rows: expected one bias for each row")]
    Biases {
        /// How many biases.
        biases: usize,
        /// Rows of the fixed side.
        rows: usize,
    },
    /// Parameters of one kind of model with the parts of another.
    #[error("the model's parts are not those of its algorithm: biases belong to a model of ratings, and to no other")]
    Kind,
    /// Matrices that do not belong together.
    #[error("the fixed side is {rows} × {columns} and gram {gram:?}, expected {factors} columns, in rows one by one")]
    Shape {
        /// Rows of the fixed side.
        rows: usize,
        /// Its columns.
        columns: usize,
        /// Shape of the Gram matrix.
        gram: (usize, usize),
        /// Factors that the parameters say.
        factors: usize,
    },
}

/// Solves rows against a fixed side (`rows × factors`) and its Gram matrix; the crate's page states the equations.
///
/// It borrows its parts, so it works on a model in memory as well as on one mapped from a file; making one is cheap.
#[derive(Clone, Copy, Debug)]
pub struct RowSolver<'a> {
    /// rows × factors, one row after the other.
    fixed: &'a [f32],
    rows: usize,
    /// factors × factors.
    gram: &'a [f64],
    params: &'a ValidAlsParams,
}

/// Rows of the fixed side that are made wide and multiplied together.
pub(crate) const BLOCK_ROWS: usize = 32;

/// Buffers of one thread, padded as [`crate::tile`] says. Padding of `wide` and `weighted` stays 0.
#[derive(Clone, Debug)]
pub(crate) struct Scratch {
    pub(crate) matrix: Vec<f64>,
    pub(crate) x: Vec<f64>,
    pub(crate) wide: Vec<f64>,
    weighted: Vec<f64>,
}

impl Scratch {
    /// Buffers for rows of `factors`.
    pub(crate) fn new(factors: usize) -> Self {
        let order = padded(factors);
        let block = || vec![0.0; BLOCK_ROWS * order];
        Self { matrix: vec![0.0; order * order], x: vec![0.0; order], wide: block(), weighted: block() }
    }

    /// Bytes of the buffers for rows of `factors`.
    pub(crate) fn bytes(factors: usize) -> usize {
        let order = padded(factors);
        size_of::<f64>() * order * (order + 1 + 2 * BLOCK_ROWS)
    }
}

impl<'a> RowSolver<'a> {
    /// `fixed` is rows × factors, `gram` factors × factors, both in standard (row-major, contiguous) layout.
    ///
    /// # Errors
    /// [`SolveError::Shape`].
    pub fn new(
        fixed: ArrayView2<'a, f32>,
        gram: ArrayView2<'a, f64>,
        params: &'a ValidAlsParams,
    ) -> Result<Self, SolveError> {
        let factors = params.factors();
        let (rows, columns) = fixed.dim();
        match (fixed.to_slice(), gram.to_slice()) {
            (Some(fixed), Some(gram_slice)) if columns == factors && gram.dim() == (factors, factors) => {
                Ok(Self { fixed, rows, gram: gram_slice, params })
            }
            _ => Err(SolveError::Shape { rows, columns, gram: gram.dim(), factors }),
        }
    }

    /// The row (factors) for these entries of the fixed side, ascending in index and each index once.
    ///
    /// # Errors
    /// Entries that are out of range, out of order or not finite, or equations that cannot be solved.
    pub fn solve(&self, indexes: &[u32], weights: &[f32]) -> Result<Vec<f32>, SolveError> {
        check_entries(indexes, weights, self.rows)?;
        let mut row = vec![0.0; self.params.factors()];
        self.solve_into(indexes, weights, &mut Scratch::new(self.params.factors()), &mut row)?;
        Ok(row)
    }

    /// As [`Self::solve`], for entries in any order: those of one index merge as those of one pair do in
    /// [`crate::Interactions::from_entries`], so the same history gives the same row, bit for bit.
    ///
    /// # Errors
    /// As [`Self::solve`].
    pub fn solve_entries(&self, entries: &[(u32, f32)]) -> Result<Vec<f32>, SolveError> {
        let mut sorted = entries.to_vec();
        sorted.sort_unstable_by(|x, y| x.0.cmp(&y.0).then(x.1.total_cmp(&y.1)));
        sorted.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        let (indexes, weights): (Vec<u32>, Vec<f32>) = sorted.into_iter().unzip();
        self.solve(&indexes, &weights)
    }

    /// As [`Self::solve`], for entries that are known to be good, into `row` (factors). Gives what the row's terms of the
    /// objective come to at their minimum: −bᵀx, before x is rounded.
    pub(crate) fn solve_into(
        &self,
        indexes: &[u32],
        weights: &[f32],
        scratch: &mut Scratch,
        row: &mut [f32],
    ) -> Result<f64, SolveError> {
        if indexes.is_empty() {
            // b = 0, and the matrix is positive definite or arbitrary: 0 is the minimizer of least norm.
            row.fill(0.0);
            return Ok(0.0);
        }
        simd::run(Equations { solver: self, indexes, weights, scratch, solution: row })
    }
}

/// Whether these can be entries of a row: as many weights as indexes, in range, ascending, finite.
pub(crate) fn check_entries(indexes: &[u32], weights: &[f32], bound: usize) -> Result<(), SolveError> {
    if indexes.len() != weights.len() {
        return Err(SolveError::Lengths { indexes: indexes.len(), weights: weights.len() });
    }
    if let Some(&index) = indexes.iter().find(|i| **i as usize >= bound) {
        return Err(SolveError::OutOfRange { index, bound });
    }
    if let Some(pair) = indexes.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Err(SolveError::NotAscending { index: pair[1] });
    }
    if weights.iter().any(|w| !w.is_finite()) {
        return Err(SolveError::WeightNotFinite);
    }
    Ok(())
}

/// One row's equations, made and solved.
struct Equations<'a> {
    solver: &'a RowSolver<'a>,
    indexes: &'a [u32],
    weights: &'a [f32],
    scratch: &'a mut Scratch,
    solution: &'a mut [f32],
}

impl Kernel for Equations<'_> {
    type Output = Result<f64, SolveError>;

    #[inline(always)]
    fn run(self) -> Result<f64, SolveError> {
        let Self { solver, indexes, weights, scratch: Scratch { matrix, x, wide, weighted }, solution } = self;
        let f = solution.len();
        let order = padded(f);
        let lambda = solver.params.row_regularization(indexes.len(), solver.rows);
        start_matrix(matrix, solver.gram, f, solver.params.unobserved_weight(), lambda);
        x.fill(0.0);
        for (indexes, weights) in indexes.chunks(BLOCK_ROWS).zip(weights.chunks(BLOCK_ROWS)) {
            let lines = wide.chunks_exact_mut(order).zip(weighted.chunks_exact_mut(order));
            for ((&index, &weight), (line, weighted)) in indexes.iter().zip(weights).zip(lines) {
                let Evidence { a, b } = Evidence::of(weight);
                let fixed = &solver.fixed[index as usize * f..(index as usize + 1) * f];
                for (((line, weighted), x), &v) in line.iter_mut().zip(weighted).zip(&mut *x).zip(fixed) {
                    let v = f64::from(v);
                    *line = v;
                    *weighted = a * v;
                    *x = b.mul_add(v, *x);
                }
            }
            let used = indexes.len() * order;
            add_products(matrix, order, &wide[..used], &weighted[..used]);
        }
        let product = cholesky::solve(matrix, x).map_err(|_| SolveError::NotPositiveDefinite)?;
        for (to, from) in solution.iter_mut().zip(&*x) {
            #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32; overflow is checked")]
            let narrow = *from as f32;
            *to = narrow;
        }
        if solution.iter().any(|factor| !factor.is_finite()) {
            return Err(SolveError::NotFinite);
        }
        Ok(-product)
    }
}

/// α₀G + λI in the upper triangle, and the identity in the padding.
#[inline(always)]
fn start_matrix(matrix: &mut [f64], gram: &[f64], f: usize, alpha: f64, lambda: f64) {
    let order = padded(f);
    for (i, (line, gram)) in matrix.chunks_exact_mut(order).zip(gram.chunks_exact(f)).enumerate() {
        let start = i / TILE * TILE;
        for (to, from) in line[start..f].iter_mut().zip(&gram[start..]) {
            *to = alpha * from;
        }
        line[f..].fill(0.0);
        line[i] += lambda;
    }
    for i in f..order {
        let line = &mut matrix[i * order..(i + 1) * order];
        line.fill(0.0);
        line[i] = 1.0;
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::{gram::gram, params::AlsParams, random::normal};

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        for factors in [1, 5, 8, 24, 64, 67] {
            let params = AlsParams { factors, ..AlsParams::default() }.check().unwrap();
            let f = params.factors();
            #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
            let fixed = Array2::from_shape_fn((200, f), |(i, j)| normal(1, i as u64, j as u64) as f32);
            let gram = gram(fixed.view());
            let solver = RowSolver::new(fixed.view(), gram.view(), &params).unwrap();
            let indexes: Vec<u32> = (0..200).step_by(3).collect();
            let weights: Vec<f32> = (0_u8..67).map(|i| f32::from(i % 5) - 1.0).collect();
            let wide = solver.solve(&indexes, &weights).unwrap();
            let (mut scratch, mut narrow) = (Scratch::new(f), vec![0.0; f]);
            Equations {
                solver: &solver,
                indexes: &indexes,
                weights: &weights,
                scratch: &mut scratch,
                solution: &mut narrow,
            }
            .run()
            .unwrap();
            let bits = |row: &[f32]| row.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&wide), bits(&narrow), "{f} factors");
        }
    }
}
