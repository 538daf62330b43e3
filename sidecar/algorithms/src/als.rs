//! Alternating least squares, implicit or explicit by the signal of the data.

mod search;

use factorization::{AlsParams, ExplicitAlsParams, ValidParams, default_regularization};
use sidecar_contract::{Algorithm, AlsConfig, Signal};

use crate::definition::{
    Definition, Search, Simplicity, TrainingPart, check_degree_exponent, check_two_hop_term,
    chosen_co_occurrence_weight, rounded,
};

impl Definition for AlsConfig {
    fn simplicity(&self) -> Simplicity {
        Simplicity::Objective
    }

    fn valid_params(&self, signal: Signal) -> Result<ValidParams, String> {
        let &Self {
            factors,
            iterations,
            regularization,
            regularization_exponent,
            unobserved_weight,
            degree_exponent,
            popularity_boost,
            user_degree_exponent,
            co_occurrence_weight,
            min_users_per_item,
            samples,
        } = self;
        check_degree_exponent(degree_exponent, signal)?;
        let regularization = regularization.ok_or("regularization is not set: expected a number")?;
        let co_occurrence_weight = co_occurrence_weight.ok_or("coOccurrenceWeight is not set: expected a number")?;
        check_two_hop_term(co_occurrence_weight, user_degree_exponent, signal)?;
        match signal {
            Signal::Implicit if samples > 0 => Err(format!(
                "sampling requests {samples} samples: it is valid only with spec.data.signal: explicit, because it estimates \
                 the noise of ratings. Remove it"
            )),
            Signal::Implicit => {
                let params = AlsParams {
                    factors,
                    iterations,
                    regularization,
                    regularization_exponent,
                    unobserved_weight,
                    degree_exponent,
                    popularity_boost,
                    user_degree_exponent,
                    co_occurrence_weight,
                    users_per_item_min: min_users_per_item,
                    ..AlsParams::default()
                };
                params.check().map(ValidParams::Als).map_err(|error| error.to_string())
            }
            Signal::Explicit if popularity_boost != 0.0 => Err(format!(
                "popularityBoost is {popularity_boost}: expected 0 with spec.data.signal: explicit, because ratings have no \
                 popularity debiasing"
            )),
            // The explicit objective has no unobserved weight.
            Signal::Explicit => {
                let params = ExplicitAlsParams {
                    factors,
                    iterations,
                    regularization,
                    regularization_exponent,
                    samples,
                    ..ExplicitAlsParams::default()
                };
                params.check().map(ValidParams::ExplicitAls).map_err(|error| error.to_string())
            }
        }
    }

    /// λ, and the weight of the two-hop term, of implicit data.
    fn needs_data(&self, signal: Signal) -> bool {
        (self.regularization.is_none() || self.co_occurrence_weight.is_none()) && signal == Signal::Implicit
    }

    fn resolved(&self, signal: Signal, data: Option<TrainingPart<'_>>) -> Option<Algorithm> {
        if self.regularization.is_some() && self.co_occurrence_weight.is_some() {
            return None;
        }
        let regularization = self.regularization.unwrap_or_else(|| match (signal, data) {
            (Signal::Implicit, Some(data)) => {
                rounded(default_regularization(data.interactions, self.unobserved_weight, self.regularization_exponent))
            }
            (Signal::Implicit, None) => AlsParams::default().regularization,
            (Signal::Explicit, _) => ExplicitAlsParams::default().regularization,
        });
        let without = Self { regularization: Some(regularization), co_occurrence_weight: Some(0.0), ..self.clone() };
        let weight = self
            .co_occurrence_weight
            .unwrap_or_else(|| chosen_co_occurrence_weight(without.valid_params(signal), (signal, data)));
        Some(Algorithm::Als(Self { co_occurrence_weight: Some(weight), ..without }))
    }

    fn factors(&self) -> u32 {
        self.factors
    }

    fn with_factors(&self, factors: u32) -> Algorithm {
        Algorithm::Als(Self { factors, ..self.clone() })
    }

    fn iterations(&self) -> u32 {
        self.iterations
    }

    fn with_iterations(&self, iterations: u32) -> Algorithm {
        Algorithm::Als(Self { iterations, ..self.clone() })
    }

    fn has_warm_start(&self) -> bool {
        true
    }

    fn has_two_hop_term(&self) -> bool {
        true
    }

    fn search(&self) -> &dyn Search {
        self
    }
}
