//! Truncated singular value decomposition, of weights or of ratings.

use factorization::{SvdParams, ValidParams};
use sidecar_contract::{Algorithm, Signal, SvdConfig};

use crate::{
    definition::{Definition, Search, Simplicity, TrainingPart, check_degree_exponent, rounded},
    draws::Draws,
};

/// Search range of η.
const DEGREE_EXPONENT: (f64, f64) = (0.0, 1.0);

impl Definition for SvdConfig {
    fn simplicity(&self) -> Simplicity {
        Simplicity::Decomposition
    }

    fn valid_params(&self, signal: Signal) -> Result<ValidParams, String> {
        let weight = self.co_occurrence_weight.ok_or("coOccurrenceWeight is not set: expected a number")?;
        let params = params(self, weight, signal)?;
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
        let weight = match (signal, data) {
            (Signal::Implicit, Some(TrainingPart { interactions, seed })) => {
                let params = params(self, 0.0, signal).ok().and_then(|params| params.check().ok());
                params.map_or(0.0, |params| ValidParams::Svd(params).choose_co_occurrence_weight(interactions, seed))
            }
            // The memory of the fit is forecast before the data decides, so as if there were a
            // term.
            (Signal::Implicit, None) => 1.0,
            (Signal::Explicit, _) => 0.0,
        };
        Some(Algorithm::Svd(Self { co_occurrence_weight: Some(weight), ..self.clone() }))
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
        // The data has decided the weight before a search.
        let co_occurrence_weight = Some(self.co_occurrence_weight.unwrap_or_default());
        let given = Self { factors, co_occurrence_weight, ..self.clone() };
        Algorithm::Svd(match signal {
            Signal::Implicit => Self { degree_exponent: rounded(draws.uniform(0, DEGREE_EXPONENT)), ..given },
            Signal::Explicit => given,
        })
    }
}

fn params(config: &SvdConfig, co_occurrence_weight: f64, signal: Signal) -> Result<SvdParams, String> {
    let &SvdConfig {
        factors,
        iterations,
        degree_exponent,
        user_degree_exponent,
        co_occurrence_weight: _,
        min_users_per_item,
    } = config;
    check_degree_exponent(degree_exponent, signal)?;
    if signal == Signal::Explicit && co_occurrence_weight != 0.0 {
        return Err(format!(
            "coOccurrenceWeight is {co_occurrence_weight}: expected 0 with spec.data.signal: explicit, because users who \
             share an item may have rated it differently. Remove it"
        ));
    }
    Ok(SvdParams {
        factors,
        iterations,
        degree_exponent,
        user_degree_exponent,
        co_occurrence_weight,
        users_per_item_min: min_users_per_item,
        ratings: signal == Signal::Explicit,
    })
}
