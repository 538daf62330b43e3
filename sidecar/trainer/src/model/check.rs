//! What of a config can be refused before anything is read.

use factorization::{AlsParams, ExplicitAlsParams, ValidParams};
use sidecar_contract::{Algorithm, AlsConfig, EvaluationConfig, Signal, TrainingConfig};

use crate::failure::{FailureReason, Stop};

/// Largest share of the interactions that may be kept for measuring.
const HOLDOUT_MAX: f64 = 0.5;
/// Longest measured list.
const K_MAX: u32 = 1000;
/// How many sets of parameters tuning may try.
const TRIALS: std::ops::RangeInclusive<u32> = 2..=1000;

/// The parameters of the algorithm, checked with everything else that needs no data.
pub(crate) fn check(config: &TrainingConfig) -> Result<ValidParams, Stop> {
    let invalid = |message: String| Err(Stop::failed(FailureReason::ConfigInvalid, message));
    let not_supported = |message: String| Err(Stop::failed(FailureReason::NotSupported, message));
    let AlsConfig { factors, iterations, regularization, regularization_exponent, unobserved_weight } =
        match &config.algorithm {
            Algorithm::Als(als) => als,
            other @ (Algorithm::Svd(_) | Algorithm::Bpr(_)) => {
                return not_supported(format!(
                    "spec.algorithm.{} is not supported in this version: set spec.algorithm.als",
                    other.name()
                ));
            }
        };
    let EvaluationConfig { split: _, holdout, k } = config.evaluation;
    if !(holdout > 0.0 && holdout <= HOLDOUT_MAX) {
        return invalid(format!(
            "spec.evaluation.holdout is {holdout}: expected a share above 0, at most {HOLDOUT_MAX}"
        ));
    }
    if !(1..=K_MAX).contains(&k) {
        return invalid(format!("spec.evaluation.k is {k}: expected a number from 1 to {K_MAX}"));
    }
    if let Some(tuning) = &config.tuning
        && !TRIALS.contains(&tuning.trials)
    {
        return invalid(format!(
            "spec.training.tuning.trials is {}: expected a number from {} to {}",
            tuning.trials,
            TRIALS.start(),
            TRIALS.end()
        ));
    }
    let params = match config.signal {
        Signal::Implicit => AlsParams {
            factors: *factors,
            iterations: *iterations,
            regularization: *regularization,
            regularization_exponent: *regularization_exponent,
            unobserved_weight: *unobserved_weight,
            ..AlsParams::default()
        }
        .check()
        .map(ValidParams::Als),
        // What was not observed says nothing of ratings: there is no unobserved weight.
        Signal::Explicit => ExplicitAlsParams {
            factors: *factors,
            iterations: *iterations,
            regularization: *regularization,
            regularization_exponent: *regularization_exponent,
        }
        .check()
        .map(ValidParams::ExplicitAls),
    };
    params.or_else(|error| invalid(format!("spec.algorithm.als.{error}")))
}
