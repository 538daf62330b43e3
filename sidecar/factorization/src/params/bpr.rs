//! Parameters of Bayesian personalized ranking.

use super::{ParamsError, bounds, error::check_ranges};
use crate::pairs::StepSize;

/// Parameters of Bayesian personalized ranking as given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BprParams {
    /// Length of a factor row.
    pub factors: u32,
    /// Iterations; each takes one step per entry.
    pub iterations: u32,
    /// γ: learning rate.
    pub learning_rate: f64,
    /// λ.
    pub regularization: f64,
}

impl Default for BprParams {
    fn default() -> Self {
        Self { factors: 64, iterations: 100, learning_rate: 0.05, regularization: 0.003 }
    }
}

impl BprParams {
    /// Checks every bound.
    ///
    /// # Errors
    /// The first parameter outside its range, or γλ > 1.
    pub fn check(self) -> Result<ValidBprParams, ParamsError> {
        check_ranges(&[
            ("factors", f64::from(self.factors), 1.0, f64::from(bounds::FACTORS_MAX)),
            ("iterations", f64::from(self.iterations), 1.0, f64::from(bounds::ITERATIONS_MAX)),
            ("learningRate", self.learning_rate, bounds::LEARNING_RATE_MIN, bounds::LEARNING_RATE_MAX),
            ("regularization", self.regularization, 0.0, bounds::REGULARIZATION_MAX),
        ])?;
        let product = self.learning_rate * self.regularization;
        if product > 1.0 {
            return Err(ParamsError::StepTooLarge { product });
        }
        Ok(ValidBprParams(self))
    }
}

/// Checked parameters of Bayesian personalized ranking.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValidBprParams(BprParams);

impl ValidBprParams {
    /// Length of a factor row.
    pub fn factors(&self) -> usize {
        self.0.factors as usize
    }

    /// Number of iterations.
    pub fn iterations(&self) -> u32 {
        self.0.iterations
    }

    /// γ and 1 − γλ.
    pub(crate) fn step_size(&self) -> StepSize {
        let BprParams { learning_rate, regularization, .. } = self.0;
        #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32")]
        StepSize { learning_rate: learning_rate as f32, decay: (1.0 - learning_rate * regularization) as f32 }
    }
}
