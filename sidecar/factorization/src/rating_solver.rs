//! Solves one row of explicit ALS with the other side fixed: factors and bias together, in training
//! and for fold-in. The crate docs have the equations.

use ndarray::ArrayView2;

use crate::{
    biases::BIAS_SHRINKAGE,
    cholesky,
    fold_in::{FoldIn, Ratings, UserVector},
    influence::{Influence, Inverse},
    params::ValidExplicitAlsParams,
    ratings::RatingScale,
    row_solver::{Scratch, SolveError, check_entries},
    simd::{self, Kernel},
    tile::{add_products, padded},
};

/// Rows of the fixed side that are augmented with a 1, converted to f64 and multiplied together.
const BLOCK_ROWS: usize = crate::row_solver::BLOCK_ROWS;

/// Solves rows given a fixed side: its factors (`rows × factors`) and its biases.
#[derive(Clone, Copy, Debug)]
pub struct RatingSolver<'a> {
    /// rows × stride, in row-major order; factors are the first columns.
    fixed: &'a [f32],
    stride: usize,
    biases: &'a [f32],
    scale: RatingScale,
    pub(crate) params: &'a ValidExplicitAlsParams,
}

/// Factors and bias of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct RatingRow {
    /// One value per factor.
    pub factors: Vec<f32>,
    /// Bias in units of the rating.
    pub bias: f32,
}

impl<'a> RatingSolver<'a> {
    /// `fixed` is rows × factors in standard layout, with a bias for each row.
    ///
    /// # Errors
    /// [`SolveError::Shape`], [`SolveError::Biases`].
    pub fn new(
        fixed: ArrayView2<'a, f32>,
        biases: &'a [f32],
        scale: RatingScale,
        params: &'a ValidExplicitAlsParams,
    ) -> Result<Self, SolveError> {
        let factors = params.factors();
        let (rows, columns) = fixed.dim();
        if biases.len() != rows {
            return Err(SolveError::Biases { biases: biases.len(), rows });
        }
        match fixed.to_slice() {
            Some(fixed) if columns == factors => Ok(Self::padded(fixed, factors, biases, scale, params)),
            _ => Err(SolveError::Shape { rows, columns, gram: (factors, factors), factors }),
        }
    }

    /// From rows with this stride, which is not below the number of factors, and one bias per row.
    pub(crate) fn padded(
        fixed: &'a [f32],
        stride: usize,
        biases: &'a [f32],
        scale: RatingScale,
        params: &'a ValidExplicitAlsParams,
    ) -> Self {
        Self { fixed, stride, biases, scale, params }
    }

    /// Solves the row of these ratings; indexes of the fixed side are ascending and unique.
    ///
    /// # Errors
    /// Entries are out of range, out of order or not finite, or the equations cannot be solved.
    pub fn solve(&self, indexes: &[u32], ratings: &[f32]) -> Result<RatingRow, SolveError> {
        check_entries(indexes, ratings, self.biases.len())?;
        let mut row = RatingRow { factors: vec![0.0; self.params.factors()], bias: 0.0 };
        let mut scratch = Self::scratch(self.params);
        self.solve_into(indexes, ratings, &mut scratch, &mut row.factors, &mut row.bias)?;
        Ok(row)
    }

    /// Buffers for one thread.
    pub(crate) fn scratch(params: &ValidExplicitAlsParams) -> Scratch {
        Scratch::new(params.factors() + 1)
    }

    /// As [`Self::solve`], for valid entries. Returns the minimum of the row's terms of the
    /// objective, before the row is rounded.
    pub(crate) fn solve_into(
        &self,
        indexes: &[u32],
        ratings: &[f32],
        scratch: &mut Scratch,
        factors: &mut [f32],
        bias: &mut f32,
    ) -> Result<f64, SolveError> {
        if indexes.is_empty() {
            factors.fill(0.0);
            *bias = 0.0;
            return Ok(0.0);
        }
        simd::run(Equations { solver: self, indexes, ratings, scratch, factors, bias })
    }

    /// Adds Σ (v,1)(v,1)ᵀ to the matrix and Σ (r − μ − c)(v,1) to the right-hand side, both padded.
    /// Returns Σ (r − μ − c)².
    #[inline(always)]
    pub(crate) fn add_entries(
        &self,
        indexes: &[u32],
        ratings: &[f32],
        (matrix, x, block): (&mut [f64], &mut [f64], &mut [f64]),
    ) -> f64 {
        let (f, order, mean) = (self.params.factors(), x.len(), f64::from(self.scale.mean));
        let mut squares = 0.0;
        for (indexes, ratings) in indexes.chunks(BLOCK_ROWS).zip(ratings.chunks(BLOCK_ROWS)) {
            for ((&index, &rating), line) in indexes.iter().zip(ratings).zip(block.chunks_exact_mut(order)) {
                let index = index as usize;
                let target = f64::from(rating) - mean - f64::from(self.biases[index]);
                squares = target.mul_add(target, squares);
                let row = &self.fixed[index * self.stride..][..f];
                for ((line, x), &v) in line.iter_mut().zip(&mut *x).zip(row) {
                    *line = f64::from(v);
                    *x = target.mul_add(f64::from(v), *x);
                }
                line[f] = 1.0;
                x[f] += target;
            }
            let used = &block[..indexes.len() * order];
            add_products(matrix, order, used, used);
        }
        squares
    }

    /// Leaves the Cholesky factor of a row with these entries, which must be valid, in
    /// `scratch.matrix`.
    pub(crate) fn factor(&self, indexes: &[u32], ratings: &[f32], scratch: &mut Scratch) -> Result<(), SolveError> {
        let mut row = vec![0.0; self.params.factors()];
        self.solve_into(indexes, ratings, scratch, &mut row, &mut 0.0).map(|_| ())
    }
}

/// Fold-in into a model of explicit ALS.
#[derive(Debug)]
pub(crate) struct RatingFoldIn<'a> {
    solver: RatingSolver<'a>,
    ratings: Ratings<'a>,
}

impl<'a> RatingFoldIn<'a> {
    pub(crate) fn new(
        items: ArrayView2<'a, f32>,
        ratings: Ratings<'a>,
        params: &'a ValidExplicitAlsParams,
    ) -> Result<Self, SolveError> {
        Ok(Self { solver: RatingSolver::new(items, ratings.items, ratings.scale, params)?, ratings })
    }
}

impl FoldIn for RatingFoldIn<'_> {
    fn fold_in(&self, items: &[u32], values: &[f32]) -> Result<UserVector, SolveError> {
        let RatingRow { factors, bias } = self.solver.solve(items, values)?;
        Ok(UserVector::new(factors, bias))
    }

    fn influence(&self, items: &[u32], values: &[f32]) -> Result<Option<Influence>, SolveError> {
        let mut scratch = RatingSolver::scratch(self.solver.params);
        self.solver.factor(items, values, &mut scratch)?;
        let inverse = Inverse::Factor { matrix: scratch.matrix, bias: true };
        Ok(Some(Influence { linear_weights: self.ratings.residuals(items, values), inverse }))
    }
}

/// Sets up and solves the equations of one row. Column `f` is the bias, whose coefficient is 1.
struct Equations<'a> {
    solver: &'a RatingSolver<'a>,
    indexes: &'a [u32],
    ratings: &'a [f32],
    scratch: &'a mut Scratch,
    factors: &'a mut [f32],
    bias: &'a mut f32,
}

impl Kernel for Equations<'_> {
    type Output = Result<f64, SolveError>;

    #[inline(always)]
    fn run(self) -> Result<f64, SolveError> {
        let Self { solver, indexes, ratings, scratch: Scratch { matrix, x, block, .. }, factors, bias } = self;
        let f = factors.len();
        let order = padded(f + 1);
        fill_regularization(matrix, f, order, solver.params.factor_regularization(indexes.len(), &solver.scale));
        x.fill(0.0);
        let squares = solver.add_entries(indexes, ratings, (matrix, x, block));
        let product = cholesky::solve(matrix, x).map_err(|_| SolveError::NotPositiveDefinite)?;
        #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32; overflow is checked")]
        {
            for (to, from) in factors.iter_mut().zip(&*x) {
                *to = *from as f32;
            }
            *bias = x[f] as f32;
        }
        if !bias.is_finite() || factors.iter().any(|factor| !factor.is_finite()) {
            return Err(SolveError::NotFinite);
        }
        Ok(squares - product)
    }
}

/// Fills the matrix with the regularization on the diagonal, and the identity in the padding.
#[inline(always)]
fn fill_regularization(matrix: &mut [f64], f: usize, order: usize, lambda: f64) {
    matrix.fill(0.0);
    for (i, line) in matrix.chunks_exact_mut(order).enumerate() {
        line[i] = match i.cmp(&f) {
            std::cmp::Ordering::Less => lambda,
            std::cmp::Ordering::Equal => BIAS_SHRINKAGE,
            std::cmp::Ordering::Greater => 1.0,
        };
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::{params::ExplicitAlsParams, random::normal};

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let scale = RatingScale { mean: 3.5, deviation: 1.1, low: 1.0, high: 5.0 };
        for factors in [1, 7, 8, 24, 63, 64] {
            let params = ExplicitAlsParams { factors, ..ExplicitAlsParams::default() }.check().unwrap();
            let f = params.factors();
            #[expect(clippy::cast_possible_truncation, reason = "test data may be rounded")]
            let draw = |stream: u64, i: u64| normal(1, stream, i) as f32;
            let fixed = Array2::from_shape_fn((200, f), |(i, j)| draw(i as u64, j as u64));
            let biases: Vec<f32> = (0..200).map(|i| draw(1000, i)).collect();
            let solver = RatingSolver::new(fixed.view(), &biases, scale, &params).unwrap();
            let indexes: Vec<u32> = (0..200).step_by(3).collect();
            let ratings: Vec<f32> = (0_u8..67).map(|i| f32::from(1 + i % 5)).collect();
            let vectorized = solver.solve(&indexes, &ratings).unwrap();
            let (mut scratch, mut scalar) = (RatingSolver::scratch(&params), vec![0.0; f]);
            let mut bias = 0.0;
            Equations {
                solver: &solver,
                indexes: &indexes,
                ratings: &ratings,
                scratch: &mut scratch,
                factors: &mut scalar,
                bias: &mut bias,
            }
            .run()
            .unwrap();
            let bits = |row: &[f32]| row.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(
                (bits(&vectorized.factors), vectorized.bias.to_bits()),
                (bits(&scalar), bias.to_bits()),
                "{f} factors"
            );
        }
    }
}
