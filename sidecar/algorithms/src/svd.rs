//! Truncated singular value decomposition, of weights or of ratings.

use factorization::{SvdParams, ValidParams};
use sidecar_contract::{Algorithm, Signal, SvdConfig};

use crate::{
    definition::{
        Definition, Search, Simplicity, TrainingPart, check_degree_exponent, check_two_hop_term,
        chosen_co_occurrence_weight, drawn_two_hop_term, rounded,
    },
    draws::Draws,
};

/// Search range of η.
const DEGREE_EXPONENT: (f64, f64) = (0.0, 1.0);

impl Definition for SvdConfig {
    fn simplicity(&self) -> Simplicity {
        Simplicity::Decomposition
    }

    fn valid_params(&self, signal: Signal) -> Result<ValidParams, String> {
        let &Self {
            factors,
            iterations,
            degree_exponent,
            user_degree_exponent,
            co_occurrence_weight,
            min_users_per_item,
        } = self;
        let co_occurrence_weight = co_occurrence_weight.ok_or("coOccurrenceWeight is not set: expected a number")?;
        check_degree_exponent(degree_exponent, signal)?;
        check_two_hop_term(co_occurrence_weight, user_degree_exponent, signal)?;
        let params = SvdParams {
            factors,
            iterations,
            degree_exponent,
            user_degree_exponent,
            co_occurrence_weight,
            users_per_item_min: min_users_per_item,
            ratings: signal == Signal::Explicit,
        };
        params.check().map(ValidParams::Svd).map_err(|error| error.to_string())
    }

    /// The weight of the two-hop term.
    fn needs_data(&self, signal: Signal) -> bool {
        self.co_occurrence_weight.is_none() && signal == Signal::Implicit
    }

    fn resolved(&self, signal: Signal, data: Option<TrainingPart<'_>>) -> Option<Algorithm> {
        if self.co_occurrence_weight.is_some() {
            return None;
        }
        let without = Self { co_occurrence_weight: Some(0.0), ..self.clone() };
        let weight = chosen_co_occurrence_weight(without.valid_params(signal), (signal, data));
        Some(Algorithm::Svd(Self { co_occurrence_weight: Some(weight), ..without }))
    }

    fn factors(&self) -> u32 {
        self.factors
    }

    fn with_factors(&self, factors: u32) -> Algorithm {
        Algorithm::Svd(Self { factors, ..self.clone() })
    }

    fn iterations(&self) -> u32 {
        self.iterations
    }

    fn with_iterations(&self, iterations: u32) -> Algorithm {
        Algorithm::Svd(Self { iterations, ..self.clone() })
    }

    fn has_two_hop_term(&self) -> bool {
        true
    }

    fn search(&self) -> &dyn Search {
        self
    }
}

impl Search for SvdConfig {
    fn varies(&self, signal: Signal) -> bool {
        signal == Signal::Implicit
    }

    fn draw(&self, signal: Signal, draws: &Draws) -> Algorithm {
        let factors = draws.factors(self.factors);
        let given = (self.co_occurrence_weight, self.user_degree_exponent);
        let (co_occurrence_weight, user_degree_exponent) = drawn_two_hop_term(given, draws, [1, 2]);
        let given = Self { factors, co_occurrence_weight, user_degree_exponent, ..self.clone() };
        Algorithm::Svd(match signal {
            Signal::Implicit => Self { degree_exponent: rounded(draws.uniform(0, DEGREE_EXPONENT)), ..given },
            Signal::Explicit => given,
        })
    }
}
