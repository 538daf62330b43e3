//! Bayesian personalized ranking, of implicit data.

use factorization::{BprParams, ValidParams};
use sidecar_contract::{Algorithm, BprConfig, Signal};

use crate::definition::Definition;

impl Definition for BprConfig {
    fn unsupported(&self, signal: Signal) -> Option<&'static str> {
        match signal {
            Signal::Implicit => None,
            Signal::Explicit => Some("it learns from chosen and not chosen items"),
        }
    }

    fn valid_params(&self, _signal: Signal) -> Result<ValidParams, String> {
        let &Self { factors, iterations, learning_rate, regularization } = self;
        let params = BprParams { factors, iterations, learning_rate, regularization };
        params.check().map(ValidParams::Bpr).map_err(|error| error.to_string())
    }

    fn iterations(&self) -> u32 {
        self.iterations
    }

    fn with_iterations(&self, iterations: u32) -> Algorithm {
        Algorithm::Bpr(Self { iterations, ..self.clone() })
    }
}
