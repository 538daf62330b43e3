//! One row of one side, with the other side fixed: training's inner step, and the fold-in of users that come later.

use ndarray::ArrayView2;
use thiserror::Error;

use crate::{
    cholesky,
    gram::{SCRATCH_ROWS, add_outer_products},
    interactions::Evidence,
    params::ValidAlsParams,
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
    /// A weight that is NaN or infinite.
    #[error("a weight is not a finite number")]
    WeightNotFinite,
}

/// Solves rows against a fixed side (`rows × factors`) and its Gram matrix; the crate's page states the equations.
///
/// It borrows its parts, so it works on a model in memory as well as on one mapped from a file.
#[derive(Clone, Copy, Debug)]
pub struct RowSolver<'a> {
    fixed: ArrayView2<'a, f32>,
    gram: ArrayView2<'a, f64>,
    params: &'a ValidAlsParams,
}

/// Buffers of one thread.
#[derive(Clone, Debug)]
pub struct Scratch {
    matrix: Vec<f64>,
    x: Vec<f64>,
    wide: Vec<f64>,
}

impl Scratch {
    /// Buffers for rows of `factors`.
    pub fn new(factors: usize) -> Self {
        Self { matrix: vec![0.0; factors * factors], x: vec![0.0; factors], wide: vec![0.0; SCRATCH_ROWS * factors] }
    }
}

impl<'a> RowSolver<'a> {
    /// # Panics
    /// If shapes disagree: `fixed` must be rows × factors, `gram` factors × factors.
    pub fn new(fixed: ArrayView2<'a, f32>, gram: ArrayView2<'a, f64>, params: &'a ValidAlsParams) -> Self {
        let f = params.factors();
        assert!(
            fixed.ncols() == f && gram.dim() == (f, f),
            "the fixed side has {} columns, gram is {:?}, factors are {f}",
            fixed.ncols(),
            gram.dim()
        );
        Self { fixed, gram, params }
    }

    /// The row (factors) for these entries of the fixed side, ascending in index and each index once, in fresh buffers.
    ///
    /// # Errors
    /// An index or weight out of range, or equations that cannot be solved.
    pub fn solve(&self, indexes: &[u32], values: &[f32]) -> Result<Vec<f32>, SolveError> {
        if let Some(&index) = indexes.iter().find(|i| **i as usize >= self.fixed.nrows()) {
            return Err(SolveError::OutOfRange { index, bound: self.fixed.nrows() });
        }
        if values.iter().any(|v| !v.is_finite()) {
            return Err(SolveError::WeightNotFinite);
        }
        let mut row = vec![0.0; self.params.factors()];
        self.solve_into(indexes, values, &mut Scratch::new(self.params.factors()), &mut row)?;
        Ok(row)
    }

    /// As [`Self::solve`], for entries that are known to be in range, into `row` (factors).
    pub(crate) fn solve_into(
        &self,
        indexes: &[u32],
        values: &[f32],
        scratch: &mut Scratch,
        row: &mut [f32],
    ) -> Result<(), SolveError> {
        if indexes.is_empty() {
            // b = 0, and the matrix is positive definite or arbitrary: 0 is the minimizer of least norm.
            row.fill(0.0);
            return Ok(());
        }
        let f = self.params.factors();
        let alpha = self.params.unobserved_weight();
        let lambda = self.params.row_regularization(indexes.len(), self.fixed.nrows());
        for (m, g) in scratch.matrix.iter_mut().zip(self.gram.iter()) {
            *m = alpha * g;
        }
        for i in 0..f {
            scratch.matrix[i * f + i] += lambda;
        }
        let evidence = indexes.iter().zip(values).map(|(&index, &value)| (index as usize, Evidence::of(value)));
        add_outer_products(
            &mut scratch.matrix,
            &mut scratch.wide,
            self.fixed,
            evidence.clone().map(|(index, e)| (index, e.a)),
        );
        scratch.x.fill(0.0);
        for (index, e) in evidence {
            for (x, v) in scratch.x.iter_mut().zip(self.fixed.row(index)) {
                *x += e.b * f64::from(*v);
            }
        }
        cholesky::solve(&mut scratch.matrix, &mut scratch.x).map_err(|_| SolveError::NotPositiveDefinite)?;
        for (to, from) in row.iter_mut().zip(&scratch.x) {
            #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32; overflow is checked")]
            let narrow = *from as f32;
            if !narrow.is_finite() {
                return Err(SolveError::NotFinite);
            }
            *to = narrow;
        }
        Ok(())
    }
}
