//! Draws one row of a model of ratings from its posterior, with the other side fixed.
//!
//! With noise of precision α and a prior N(m, Λ⁻¹) of factors and bias, a row is N(A⁻¹b, (αA)⁻¹)
//! with A = Σ (v,1)(v,1)ᵀ + Λ/α and b = Σ (r − μ − c)(v,1) + Λm/α (Salakhutdinov and Mnih 2008,
//! "Bayesian probabilistic matrix factorization using Markov chain Monte Carlo", ICML, equations 11
//! to 13). With A = UᵀU a draw is U⁻¹(U⁻ᵀb + ε), where ε has variance 1/α: a solve with noise added
//! between forward and backward substitution.

use crate::{
    cholesky,
    rating_solver::RatingSolver,
    row_solver::{Scratch, SolveError},
    simd::{self, Kernel},
};

/// Independent normal priors, one per factor and one for the bias.
#[derive(Clone, Debug)]
pub(crate) struct Prior {
    /// m.
    pub(crate) means: Vec<f64>,
    /// Diagonal of Λ.
    pub(crate) precisions: Vec<f64>,
}

/// A draw of one row.
pub(crate) struct Draw<'a> {
    pub(crate) solver: &'a RatingSolver<'a>,
    pub(crate) prior: &'a Prior,
    /// α.
    pub(crate) precision: f64,
    pub(crate) indexes: &'a [u32],
    pub(crate) ratings: &'a [f32],
    /// A standard normal number per factor and one for the bias.
    pub(crate) normals: &'a [f64],
    pub(crate) scratch: &'a mut Scratch,
    /// Factors, then the bias.
    pub(crate) row: &'a mut [f32],
}

impl Draw<'_> {
    /// Draws the row. Returns its Σ (r − r̂)².
    ///
    /// # Errors
    /// The equations cannot be solved, or the row is not finite in single precision.
    pub(crate) fn draw(self) -> Result<f64, SolveError> {
        simd::run(self)
    }
}

impl Kernel for Draw<'_> {
    type Output = Result<f64, SolveError>;

    #[inline(always)]
    fn run(self) -> Result<f64, SolveError> {
        let Self { solver, prior, precision, indexes, ratings, normals, scratch, row } = self;
        let Scratch { matrix, x, block, .. } = scratch;
        let order = x.len();
        matrix.fill(0.0);
        x.fill(0.0);
        for (i, line) in matrix.chunks_exact_mut(order).enumerate() {
            // Identity in the padding.
            line[i] = prior.precisions.get(i).map_or(1.0, |lambda| lambda / precision);
        }
        for (x, (mean, lambda)) in x.iter_mut().zip(prior.means.iter().zip(&prior.precisions)) {
            *x = lambda / precision * mean;
        }
        let mut squares = solver.add_entries(indexes, ratings, (matrix, x, block));
        // Σ (r − r̂)² = Σ (r − μ − c)² − ‖U⁻ᵀb‖² + ‖ε‖² + Σ Λ/α·x(2m − x), without another pass
        // over the ratings.
        squares -= cholesky::factor(matrix, x).map_err(|_| SolveError::NotPositiveDefinite)?;
        let deviation = 1.0 / precision.sqrt();
        for (x, normal) in x.iter_mut().zip(normals) {
            let noise = deviation * normal;
            squares = noise.mul_add(noise, squares);
            *x += noise;
        }
        cholesky::substitute_backward(matrix, x);
        for ((to, x), (mean, lambda)) in row.iter_mut().zip(&*x).zip(prior.means.iter().zip(&prior.precisions)) {
            squares += lambda / precision * x * (2.0 * mean - x);
            #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32; overflow is checked")]
            let single = *x as f32;
            *to = single;
        }
        if row.iter().any(|x| !x.is_finite()) {
            return Err(SolveError::NotFinite);
        }
        Ok(squares)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2, array};

    use super::*;
    use crate::{
        params::{ExplicitAlsParams, ValidExplicitAlsParams},
        random::normal,
        ratings::RatingScale,
    };

    const PRECISION: f64 = 1.7;
    const INDEXES: [u32; 5] = [0, 2, 3, 5, 6];
    const RATINGS: [f32; 5] = [4.0, 1.0, 5.0, 3.5, 2.0];
    const BIASES: [f32; 8] = [0.1, 0.0, -0.3, 0.2, 0.0, 0.4, -0.1, 0.0];

    fn prior() -> Prior {
        Prior { means: vec![0.4, -0.2, 0.1], precisions: vec![2.0, 0.5, 3.0] }
    }

    fn fixed() -> Array2<f32> {
        Array2::from_shape_fn((8, 2), |(i, j)| [0.9, -0.4, 0.3, 1.1, -0.7, 0.2, 0.8][(3 * i + 5 * j) % 7])
    }

    fn for_each_draw(count: u64, mut visit: impl FnMut(&[f32], f64)) {
        let params: ValidExplicitAlsParams =
            ExplicitAlsParams { factors: 2, ..ExplicitAlsParams::default() }.check().unwrap();
        let scale = RatingScale { mean: 3.2, deviation: 1.0, low: 1.0, high: 5.0 };
        let (fixed, prior) = (fixed(), prior());
        let solver = RatingSolver::new(fixed.view(), &BIASES, scale, &params).unwrap();
        let (mut scratch, mut row) = (RatingSolver::scratch(&params), [0.0; 3]);
        for stream in 0..count {
            let normals = [0, 1, 2].map(|column| normal(1, stream, column));
            let draw = Draw {
                solver: &solver,
                prior: &prior,
                precision: PRECISION,
                indexes: &INDEXES,
                ratings: &RATINGS,
                normals: &normals,
                scratch: &mut scratch,
                row: &mut row,
            };
            let squares = draw.draw().unwrap();
            visit(&row, squares);
        }
    }

    /// Augmented rows and their targets.
    fn design() -> (Array2<f64>, Array1<f64>) {
        let (fixed, at) = (fixed(), INDEXES.map(|index| index as usize));
        let rows = Array2::from_shape_fn((5, 3), |(i, j)| if j < 2 { f64::from(fixed[[at[i], j]]) } else { 1.0 });
        let target = |i: usize| f64::from(RATINGS[i]) - f64::from(3.2_f32) - f64::from(BIASES[at[i]]);
        (rows, Array1::from_shape_fn(5, target))
    }

    #[test]
    fn draws_have_the_mean_and_the_covariance_of_the_dense_posterior() {
        let (rows, target) = design();
        let lambda = Array2::from_diag(&Array1::from(prior().precisions));
        let precision = PRECISION * rows.t().dot(&rows) + &lambda;
        let right = PRECISION * rows.t().dot(&target) + lambda.dot(&Array1::from(prior().means));
        // Inverse of the precision by cofactors.
        let p = |i: usize, j: usize| precision[[i % 3, j % 3]];
        let cofactor = |i: usize, j: usize| p(i + 1, j + 1) * p(i + 2, j + 2) - p(i + 1, j + 2) * p(i + 2, j + 1);
        let determinant: f64 = (0..3).map(|j| p(0, j) * cofactor(0, j)).sum();
        let covariance = Array2::from_shape_fn((3, 3), |(i, j)| cofactor(j, i) / determinant);
        let mean = covariance.dot(&right);
        let (mut sum, mut products, count) = (Array1::<f64>::zeros(3), Array2::<f64>::zeros((3, 3)), 40_000_u32);
        for_each_draw(u64::from(count), |row, _| {
            let deviation = array![f64::from(row[0]), f64::from(row[1]), f64::from(row[2])] - &mean;
            for i in 0..3 {
                for j in 0..3 {
                    products[[i, j]] += deviation[i] * deviation[j];
                }
            }
            sum += &deviation;
        });
        let count = f64::from(count);
        for i in 0..3 {
            // Five standard errors.
            let error = 5.0 * (covariance[[i, i]] / count).sqrt();
            assert!((sum[i] / count).abs() < error, "mean {i} is off by {}", sum[i] / count);
            for j in 0..3 {
                let square = covariance[[i, i]] * covariance[[j, j]] + covariance[[i, j]].powi(2);
                let difference = products[[i, j]] / count - covariance[[i, j]];
                assert!(difference.abs() < 5.0 * (square / count).sqrt(), "covariance {i} {j} is off by {difference}");
            }
        }
    }

    #[test]
    fn the_returned_squared_error_is_that_of_the_row() {
        let (rows, target) = design();
        for_each_draw(20, |row, squares| {
            let row = array![f64::from(row[0]), f64::from(row[1]), f64::from(row[2])];
            let errors = &target - &rows.dot(&row);
            let plain = errors.dot(&errors);
            assert!((squares - plain).abs() < 1e-5 * plain, "expected {plain}, got {squares}");
        });
    }
}
