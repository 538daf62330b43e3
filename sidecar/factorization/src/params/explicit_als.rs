//! Parameters of explicit ALS.

use super::{AlsSolver, ParamsError, bounds, error::check_ranges};
use crate::ratings::RatingScale;

/// Parameters of explicit ALS as given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExplicitAlsParams {
    /// Length of a factor row.
    pub factors: u32,
    /// Iterations; each updates all items, then all users.
    pub iterations: u32,
    /// λ.
    pub regularization: f64,
    /// ν.
    pub regularization_exponent: f64,
    /// How rows are solved.
    pub solver: AlsSolver,
    /// Gibbs samples drawn after the last iteration, whose posterior mean is served; 0 for plain
    /// ALS.
    pub samples: u32,
}

impl Default for ExplicitAlsParams {
    fn default() -> Self {
        Self {
            factors: 64,
            iterations: 15,
            regularization: 0.1,
            regularization_exponent: 1.0,
            solver: AlsSolver::ConjugateGradient { steps: 2 },
            samples: 0,
        }
    }
}

impl ExplicitAlsParams {
    /// Checks every bound.
    ///
    /// # Errors
    /// The first parameter outside its range; NaN is outside every range.
    pub fn check(self) -> Result<ValidExplicitAlsParams, ParamsError> {
        check_ranges(&[
            ("factors", f64::from(self.factors), 1.0, f64::from(bounds::FACTORS_MAX)),
            ("iterations", f64::from(self.iterations), 1.0, f64::from(bounds::ITERATIONS_MAX)),
            ("regularization", self.regularization, 0.0, bounds::REGULARIZATION_MAX),
            ("regularizationExponent", self.regularization_exponent, 0.0, bounds::REGULARIZATION_EXPONENT_MAX),
            ("samples", f64::from(self.samples), 0.0, f64::from(bounds::SAMPLES_MAX)),
        ])?;
        self.solver.check()?;
        if self.regularization <= 0.0 {
            return Err(ParamsError::Unregularized);
        }
        Ok(ValidExplicitAlsParams(self))
    }
}

/// Checked parameters of explicit ALS.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValidExplicitAlsParams(ExplicitAlsParams);

impl ValidExplicitAlsParams {
    /// Length of a factor row.
    pub fn factors(&self) -> usize {
        self.0.factors as usize
    }

    /// Number of iterations.
    pub fn iterations(&self) -> u32 {
        self.0.iterations
    }

    /// How rows are solved while training.
    pub fn solver(&self) -> AlsSolver {
        self.0.solver
    }

    /// Number of Gibbs samples; 0 for none.
    pub fn samples(&self) -> u32 {
        self.0.samples
    }

    /// λσ n^ν: regularization of the factors of a row with `entries` ratings.
    pub fn factor_regularization(&self, entries: usize, scale: &RatingScale) -> f64 {
        let power = libm::pow(entries as f64, self.0.regularization_exponent);
        self.0.regularization * f64::from(scale.deviation) * power
    }
}
