//! Alternating least squares, implicit or explicit by the signal of the data.

mod search;

use factorization::{AlsParams, ExplicitAlsParams, ValidParams, default_regularization};
use sidecar_contract::{Algorithm, AlsConfig, Signal};

use crate::definition::{Definition, Search, Simplicity, TrainingPart, check_degree_exponent, rounded};

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
            samples,
        } = self;
        check_degree_exponent(degree_exponent, signal)?;
        let regularization = regularization.ok_or("regularization is not set: expected a number")?;
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

    /// λ of implicit data.
    fn needs_data(&self, signal: Signal) -> bool {
        self.regularization.is_none() && signal == Signal::Implicit
    }

    fn resolved(&self, signal: Signal, data: Option<TrainingPart<'_>>) -> Option<Algorithm> {
        if self.regularization.is_some() {
            return None;
        }
        let regularization = match (signal, data) {
            (Signal::Implicit, Some(data)) => {
                rounded(default_regularization(data.interactions, self.unobserved_weight, self.regularization_exponent))
            }
            (Signal::Implicit, None) => AlsParams::default().regularization,
            (Signal::Explicit, _) => ExplicitAlsParams::default().regularization,
        };
        Some(Algorithm::Als(Self { regularization: Some(regularization), ..self.clone() }))
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

    fn search(&self) -> &dyn Search {
        self
    }
}
