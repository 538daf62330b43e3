//! How ALS solves rows.

use super::{ParamsError, bounds, error::check_ranges};

/// How ALS solves rows while training. Both solvers solve the users of the last iteration exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlsSolver {
    /// A fixed number of conjugate gradient steps from the current row; see `conjugate_gradient`.
    ConjugateGradient {
        /// Number of steps; the minimum is 1.
        steps: u32,
    },
    /// Exact solution, the reference.
    Cholesky,
}

impl AlsSolver {
    pub(super) fn check(self) -> Result<(), ParamsError> {
        match self {
            Self::ConjugateGradient { steps } => {
                check_ranges(&[("steps", f64::from(steps), 1.0, f64::from(bounds::STEPS_MAX))])
            }
            Self::Cholesky => Ok(()),
        }
    }
}
