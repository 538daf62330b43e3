//! What an algorithm defines outside the mathematics.

use factorization::{Interactions, ValidParams};
use sidecar_contract::{Algorithm, Signal};

/// An algorithm with its parameters, as configs and snapshots have them.
pub trait Definition {
    /// Why data of this signal is not supported; `None` if it is.
    fn unsupported(&self, _signal: Signal) -> Option<&'static str> {
        None
    }

    /// The checked parameters, for a signal that the algorithm takes.
    ///
    /// # Errors
    /// The first parameter that is not set or invalid: its name, what is wrong, and what is valid.
    fn valid_params(&self, signal: Signal) -> Result<ValidParams, String>;

    /// Whether the data decides a parameter that is not set.
    fn needs_data(&self, _signal: Signal) -> bool {
        false
    }

    /// The algorithm with all parameters set; `None` if they are. Before the data is known, a
    /// default stands in for each parameter that the data decides.
    fn resolved(&self, _signal: Signal, _data: Option<&Interactions>) -> Option<Algorithm> {
        None
    }

    /// Number of iterations.
    fn iterations(&self) -> u32;

    /// The algorithm with this number of iterations.
    fn with_iterations(&self, iterations: u32) -> Algorithm;

    /// Whether a fit can start from an earlier model.
    fn has_warm_start(&self) -> bool {
        false
    }

    /// The search space of tuning; `None` if the algorithm is not tunable.
    fn search(&self) -> Option<&dyn Search> {
        None
    }
}

/// The search space of an algorithm: its parameters without an obvious value. The others stay as
/// they are.
pub trait Search {
    /// Random parameters for data of this signal and shape, a function of seed and trial.
    fn draw(&self, signal: Signal, shape: DataShape, seed: u64, trial: u64) -> Algorithm;
}

/// Statistics of the data that scale a search space.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DataShape {
    /// Mean number of entries per user.
    pub entries_per_user: f64,
    /// Number of items.
    pub items: f64,
}

/// Rejects popularity debiasing of ratings.
pub(crate) fn check_degree_exponent(degree_exponent: f64, signal: Signal) -> Result<(), String> {
    if signal == Signal::Explicit && degree_exponent != 0.0 {
        return Err(format!(
            "degreeExponent is {degree_exponent}: expected 0 with spec.data.signal: explicit, because biases replace it for \
             ratings"
        ));
    }
    Ok(())
}
