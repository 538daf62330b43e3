//! What of a config can be refused before anything is read.

use factorization::{AlsParams, BprParams, ExplicitAlsParams, ParamsError, SvdParams, ValidParams};
use sidecar_contract::{
    Algorithm, AlsConfig, BprConfig, EvaluationConfig, Signal, SvdConfig, TrainingConfig, WeightsConfig,
};

use crate::failure::{FailureReason, Stop};

/// Largest share of the interactions that may be kept for measuring.
const HOLDOUT_MAX: f64 = 0.5;
/// Longest measured list.
const K_MAX: u32 = 1000;
/// How many sets of parameters tuning may try.
const TRIALS: std::ops::RangeInclusive<u32> = 2..=1000;
/// How many events may have a weight.
const EVENTS_MAX: usize = 50;
/// Largest weight of an event.
const EVENT_WEIGHT_MAX: f64 = 1e6;

/// The parameters of the algorithm, checked with everything else that needs no data.
pub(crate) fn check(config: &TrainingConfig) -> Result<ValidParams, Stop> {
    let invalid = |message: String| Err(Stop::failed(FailureReason::ConfigInvalid, message));
    let EvaluationConfig { split: _, holdout, k } = config.evaluation;
    if !(holdout > 0.0 && holdout <= HOLDOUT_MAX) {
        return invalid(format!(
            "spec.evaluation.holdout is {holdout}: expected a share above 0, at most {HOLDOUT_MAX}"
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
    let degree_exponent = match &config.algorithm {
        Algorithm::Als(als) => als.degree_exponent,
        Algorithm::Svd(svd) => svd.degree_exponent,
        Algorithm::Bpr(_) => 0.0,
    };
    if config.signal == Signal::Explicit && degree_exponent != 0.0 {
        return invalid(format!(
            "spec.algorithm.{}.degreeExponent is {degree_exponent}: expected 0 with spec.data.signal: explicit, where averages \
             play its part",
            config.algorithm.name()
        ));
    }
    let params = match &config.algorithm {
        Algorithm::Als(AlsConfig { samples, .. }) if config.signal == Signal::Implicit && *samples > 0 => {
            return invalid(format!(
                "spec.algorithm.als.sampling asks for {samples} samples: expected none with spec.data.signal: implicit, because they \
                 learn how far ratings lie from what is predicted"
            ));
        }
        Algorithm::Als(als) => check_als(als, config.signal),
        Algorithm::Svd(_) | Algorithm::Bpr(_) if config.tuning.is_some() => {
            return invalid(
                "spec.training.tuning searches parameters of als: remove it, or set spec.algorithm.als".to_owned(),
            );
        }
        Algorithm::Svd(SvdConfig { factors, iterations, degree_exponent }) => {
            let given = SvdParams { factors: *factors, iterations: *iterations, degree_exponent: *degree_exponent };
            given.check().map(ValidParams::Svd)
        }
        Algorithm::Bpr(_) if config.signal == Signal::Explicit => {
            return invalid(
                "spec.algorithm.bpr goes with spec.data.signal: implicit only, because it learns from what was chosen and what was not: \
                 set spec.algorithm.als or svd for ratings"
                    .to_owned(),
            );
        }
        &Algorithm::Bpr(BprConfig { factors, iterations, learning_rate, regularization }) => {
            BprParams { factors, iterations, learning_rate, regularization }.check().map(ValidParams::Bpr)
        }
    };
    params.or_else(|error| invalid(format!("spec.algorithm.{}.{error}", config.algorithm.name())))
}

fn check_weights(config: &TrainingConfig) -> Result<(), String> {
    let TrainingConfig { weights, columns, signal, .. } = config;
    let WeightsConfig { events, half_life_seconds, weighting: _ } = weights;
    if *signal == Signal::Explicit && (*weights != WeightsConfig::default() || columns.event.is_some()) {
        return Err("spec.data.eventWeights, halfLife and weighting go with spec.data.signal: implicit only, because a rating is an \
                    opinion and no weight: remove them"
            .to_owned());
    }
    if columns.event.is_some() == events.is_empty() {
        return Err("spec.data.eventWeights and columns.event go together: set both or none".to_owned());
    }
    if events.len() > EVENTS_MAX {
        return Err(format!("spec.data.eventWeights has {} events: expected at most {EVENTS_MAX}", events.len()));
    }
    if let Some((event, weight)) = events.iter().find(|(_, weight)| !is_event_weight(**weight)) {
        return Err(format!(
            "spec.data.eventWeights.{event} is {weight}: expected a number from -{EVENT_WEIGHT_MAX} to {EVENT_WEIGHT_MAX}, and not 0; \
             leave out what does not count"
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

fn check_als(config: &AlsConfig, signal: Signal) -> Result<ValidParams, ParamsError> {
    let &AlsConfig {
        factors,
        iterations,
        regularization: given,
        regularization_exponent,
        unobserved_weight,
        degree_exponent,
        degree_return,
        samples,
    } = config;
    // Before the data is there, something stands in for what suits it; `usual` takes its place.
    match signal {
        Signal::Implicit => AlsParams {
            factors,
            iterations,
            regularization: given.unwrap_or(AlsParams::default().regularization),
            regularization_exponent,
            unobserved_weight,
            degree_exponent,
            degree_return,
            ..AlsParams::default()
        }
        .check()
        .map(ValidParams::Als),
        // What was not observed says nothing of ratings: there is no unobserved weight.
        Signal::Explicit if degree_return != 0.0 => {
            // There is no degree exponent with ratings.
            Err(ParamsError::OutOfRange { name: "degreeReturn", given: degree_return, low: 0.0, high: 0.0 })
        }
        Signal::Explicit => ExplicitAlsParams {
            factors,
            iterations,
            regularization: given.unwrap_or(ExplicitAlsParams::default().regularization),
            regularization_exponent,
            samples,
            ..ExplicitAlsParams::default()
        }
        .check()
        .map(ValidParams::ExplicitAls),
    }
}
