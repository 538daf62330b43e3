//! Validation of a config that needs no data.

use factorization::{ValidParams, params::bounds::FACTORS_MAX};
use sidecar_contract::{Algorithm, AutoConfig, EvaluationConfig, Signal, TrainingConfig, WeightsConfig};

use crate::failure::{FailureReason, RunError};

/// Maximum fraction of the interactions in the held-out set.
const HOLDOUT_MAX: f64 = 0.5;
/// Maximum length of evaluated lists.
const K_MAX: u32 = 1000;
/// Valid number of tuning trials.
const TRIALS: std::ops::RangeInclusive<u32> = 2..=1000;
/// Maximum number of fits of a search that chooses the algorithm.
const FITS_MAX: u32 = 1000;
/// Maximum number of events with a weight.
const EVENTS_MAX: usize = 50;
/// Maximum magnitude of an event's weight.
const EVENT_WEIGHT_MAX: f64 = 1e6;

/// Validates everything in the config that needs no data.
pub(crate) fn check_config(config: &TrainingConfig) -> Result<(), RunError> {
    match &config.algorithm {
        Algorithm::Auto(limits) => {
            check_settings(config)?;
            check_limits(config, limits)
        }
        _ => check(config).map(|_| ()),
    }
}

/// Validates everything that needs no data in a config with an algorithm; returns its parameters.
pub(crate) fn check(config: &TrainingConfig) -> Result<ValidParams, RunError> {
    check_settings(config)?;
    check_search_space(config)?;
    Ok(algorithms::check(&config.algorithm, config.signal)?)
}

/// Validates everything but the algorithm.
fn check_settings(config: &TrainingConfig) -> Result<(), RunError> {
    let invalid = |message: String| Err(RunError::permanent(FailureReason::ConfigInvalid, message));
    let EvaluationConfig { split: _, holdout, k } = config.evaluation;
    if !(holdout > 0.0 && holdout <= HOLDOUT_MAX) {
        return invalid(format!(
            "spec.evaluation.holdout is {holdout}: expected a fraction above 0 and at most {HOLDOUT_MAX}"
        ));
    }
    if !(1..=K_MAX).contains(&k) {
        return invalid(format!("spec.evaluation.k is {k}: expected a number from 1 to {K_MAX}"));
    }
    if let Err(message) = check_weights(config) {
        return invalid(message);
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
    if let Some(factors) = config.tuning.as_ref().and_then(|tuning| tuning.factors_max)
        && !(1..=FACTORS_MAX).contains(&factors)
    {
        return invalid(format!(
            "spec.training.tuning.factorsMax is {factors}: expected a number from 1 to {FACTORS_MAX}"
        ));
    }
    Ok(())
}

/// Validates the limits of a search that chooses the algorithm.
fn check_limits(config: &TrainingConfig, auto: &AutoConfig) -> Result<(), RunError> {
    let invalid = |message: String| Err(RunError::permanent(FailureReason::ConfigInvalid, message));
    if config.tuning.is_some() {
        return invalid(
            "spec.training.tuning is not valid with spec.algorithm.auto, which searches parameters itself: remove it"
                .to_owned(),
        );
    }
    for (name, given, max) in [("fits", auto.fits, FITS_MAX), ("factorsMax", auto.factors_max, FACTORS_MAX)] {
        if !(1..=max).contains(&given) {
            return invalid(format!("spec.algorithm.auto.{name} is {given}: expected a number from 1 to {max}"));
        }
    }
    Ok(())
}

/// Validates that a search has something to vary.
fn check_search_space(config: &TrainingConfig) -> Result<(), RunError> {
    let invalid = |message: String| Err(RunError::permanent(FailureReason::ConfigInvalid, message));
    if config.tuning.as_ref().is_some_and(|tuning| tuning.factors_max.is_none())
        && !algorithms::definition(&config.algorithm)?.search().varies(config.signal)
    {
        return invalid(format!(
            "spec.training.tuning has nothing to search: {} of these data has no parameter besides its factors. Set \
             spec.training.tuning.factorsMax, or remove tuning",
            config.algorithm.name()
        ));
    }
    Ok(())
}

fn check_weights(config: &TrainingConfig) -> Result<(), String> {
    let TrainingConfig { weights, columns, signal, .. } = config;
    let WeightsConfig { events, half_life_seconds, weighting: _ } = weights;
    if *signal == Signal::Explicit && (*weights != WeightsConfig::default() || columns.event.is_some()) {
        return Err("spec.data.eventWeights, halfLife and weighting are valid only with spec.data.signal: implicit, because a rating \
                    is not a weight: remove them"
            .to_owned());
    }
    if columns.event.is_some() == events.is_empty() {
        return Err("spec.data.eventWeights and columns.event require each other: set both or none".to_owned());
    }
    if events.len() > EVENTS_MAX {
        return Err(format!("spec.data.eventWeights has {} events: expected at most {EVENTS_MAX}", events.len()));
    }
    if let Some((event, weight)) = events.iter().find(|(_, weight)| !is_event_weight(**weight)) {
        return Err(format!(
            "spec.data.eventWeights.{event} is {weight}: expected a number from -{EVENT_WEIGHT_MAX} to {EVENT_WEIGHT_MAX}, and not 0; \
             remove events that do not count"
        ));
    }
    if *half_life_seconds == Some(0) {
        return Err("spec.data.halfLife is 0: expected an age above 0, for example 30d".to_owned());
    }
    Ok(())
}

fn is_event_weight(weight: f64) -> bool {
    weight != 0.0 && weight.abs() <= EVENT_WEIGHT_MAX
}
