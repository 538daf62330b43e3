//! Truncated singular value decomposition, of weights or of ratings.

use factorization::{SvdParams, ValidParams};
use sidecar_contract::{Algorithm, Signal, SvdConfig};

use crate::definition::{Definition, check_degree_exponent};

impl Definition for SvdConfig {
    fn valid_params(&self, signal: Signal) -> Result<ValidParams, String> {
        let &Self { factors, iterations, degree_exponent } = self;
        check_degree_exponent(degree_exponent, signal)?;
        let params = SvdParams { factors, iterations, degree_exponent, ratings: signal == Signal::Explicit };
        params.check().map(ValidParams::Svd).map_err(|error| error.to_string())
    }

    fn iterations(&self) -> u32 {
        self.iterations
    }

    fn with_iterations(&self, iterations: u32) -> Algorithm {
        Algorithm::Svd(Self { iterations, ..self.clone() })
    }
}
