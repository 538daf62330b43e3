//! What an algorithm defines outside the mathematics.

use factorization::{Interactions, ValidParams, params::bounds::CO_OCCURRENCE_WEIGHT_MAX};
use sidecar_contract::{Algorithm, Signal};

use crate::draws::{DataShape, Draws};

/// An algorithm with its parameters, as configs and snapshots have them.
pub trait Definition {
    /// Why data of this signal is not supported; `None` if it is.
    fn unsupported(&self, _signal: Signal) -> Option<&'static str> {
        None
    }

    /// Why the algorithm is not tried for data of this shape when a search chooses the algorithm;
    /// `None` if it is. A user may set it anyway.
    fn unsuitable(&self, _shape: &DataShape) -> Option<String> {
        None
    }

    /// Rank among equally good models with as many factors: the lower one is chosen.
    fn simplicity(&self) -> Simplicity;

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
    fn resolved(&self, _signal: Signal, _data: Option<TrainingPart<'_>>) -> Option<Algorithm> {
        None
    }

    /// Number of factors.
    fn factors(&self) -> u32;

    /// The algorithm with this number of factors.
    fn with_factors(&self, factors: u32) -> Algorithm;

    /// Number of iterations.
    fn iterations(&self) -> u32;

    /// The algorithm with this number of iterations.
    fn with_iterations(&self, iterations: u32) -> Algorithm;

    /// Whether models of weights have a two-hop term, and so its parameters.
    fn has_two_hop_term(&self) -> bool {
        false
    }

    /// Whether a fit can start from an earlier model.
    fn has_warm_start(&self) -> bool {
        false
    }

    /// The search space.
    fn search(&self) -> &dyn Search;
}

/// The data that decides parameters: weighted rows without any that are held out, and the seed of a
/// run.
#[derive(Clone, Copy, Debug)]
pub struct TrainingPart<'a> {
    /// The rows.
    pub interactions: &'a Interactions,
    /// Seed of every random choice.
    pub seed: u64,
}

/// What makes a model of an algorithm simpler than another with as many factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Simplicity {
    /// A decomposition without regularization.
    Decomposition,
    /// An objective whose parameters depend on the data.
    Objective,
    /// Samples of the data, on one thread; no explanations.
    Samples,
}

/// The search space of an algorithm: its parameters without an obvious value. The others stay as
/// they are. A parameter is one entry of [`Search::draw`], with a random stream of its own.
pub trait Search {
    /// Whether a parameter other than the number of factors varies for data of this signal.
    fn varies(&self, _signal: Signal) -> bool {
        true
    }

    /// Random parameters for data of this signal.
    fn draw(&self, signal: Signal, draws: &Draws) -> Algorithm;
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

/// Rejects a two-hop term of ratings, and an exponent of their users.
pub(crate) fn check_two_hop_term(weight: f64, user_exponent: Option<f64>, signal: Signal) -> Result<(), String> {
    if signal == Signal::Implicit {
        return Ok(());
    }
    let user_exponent = user_exponent.unwrap_or_default();
    if weight != 0.0 {
        return Err(format!(
            "coOccurrenceWeight is {weight}: expected 0 with spec.data.signal: explicit, because users who share an item may \
             have rated it differently. Remove it: only {} with spec.data.signal: implicit have the two-hop term",
            crate::names_with(|algorithm| algorithm.has_two_hop_term())
        ));
    }
    if user_exponent != 0.0 {
        return Err(format!(
            "userDegreeExponent is {user_exponent}: expected 0 with spec.data.signal: explicit, because biases replace it for \
             ratings. Remove it"
        ));
    }
    Ok(())
}

/// The weight of the two-hop term that the data decides, for parameters without the term.
pub(crate) fn chosen_co_occurrence_weight(
    params: Result<ValidParams, String>,
    (signal, data): (Signal, Option<TrainingPart<'_>>),
) -> f64 {
    match (signal, data) {
        (Signal::Implicit, Some(TrainingPart { interactions, seed })) => {
            params.map_or(0.0, |params| params.choose_co_occurrence_weight(interactions, seed))
        }
        // The memory of the fit is forecast before the data decides, so as if there were a term.
        (Signal::Implicit, None) => 1.0,
        (Signal::Explicit, _) => 0.0,
    }
}

/// Search range of the weight of the two-hop term, relative to the one that the data decides.
const WEIGHT_RATIO: (f64, f64) = (0.4, 2.5);
/// Search range of the exponent of users in it: higher ones were never better (ADR 36).
const USER_EXPONENT: (f64, f64) = (0.0, 0.7);

/// Weight of the two-hop term around the given one and its exponent of users, with a random stream
/// for each. No term stays none.
pub(crate) fn drawn_two_hop_term(
    (weight, user_exponent): (Option<f64>, Option<f64>),
    draws: &Draws,
    [weight_stream, exponent_stream]: [u64; 2],
) -> (Option<f64>, Option<f64>) {
    let weight = weight.unwrap_or_default();
    if weight == 0.0 {
        return (Some(weight), user_exponent);
    }
    let tried = (weight * draws.log_uniform(weight_stream, WEIGHT_RATIO)).min(CO_OCCURRENCE_WEIGHT_MAX);
    (Some(rounded(tried)), Some(rounded(draws.uniform(exponent_stream, USER_EXPONENT))))
}

/// Rounds to three digits, so that the value is easy to copy into a resource.
pub(crate) fn rounded(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}
