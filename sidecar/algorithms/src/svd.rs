//! Truncated singular value decomposition, of weights or of ratings.

use factorization::{SvdParams, ValidParams};
use sidecar_contract::{Algorithm, Signal, SvdConfig};

use crate::{
    definition::{Definition, Search, Simplicity, check_degree_exponent, rounded},
    draws::Draws,
};

/// Search range of η.
const DEGREE_EXPONENT: (f64, f64) = (0.0, 1.0);

impl Definition for SvdConfig {
    fn simplicity(&self) -> Simplicity {
        Simplicity::Decomposition
    }

    fn valid_params(&self, signal: Signal) -> Result<ValidParams, String> {
        let &Self { factors, iterations, degree_exponent } = self;
        check_degree_exponent(degree_exponent, signal)?;
        let params = SvdParams { factors, iterations, degree_exponent, ratings: signal == Signal::Explicit };
        params.check().map(ValidParams::Svd).map_err(|error| error.to_string())
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
        Algorithm::Svd(match signal {
            Signal::Implicit => {
                Self { factors, degree_exponent: rounded(draws.uniform(0, DEGREE_EXPONENT)), ..self.clone() }
            }
            Signal::Explicit => Self { factors, ..self.clone() },
        })
    }
}
