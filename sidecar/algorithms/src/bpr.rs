//! Bayesian personalized ranking, of implicit data.

use factorization::{BprParams, ValidParams};
use sidecar_contract::{Algorithm, BprConfig, Signal};

use crate::{
    definition::{Definition, Search, Simplicity, rounded},
    draws::{DataShape, Draws},
};

/// Maximum number of entries for which a search tries the algorithm: the default 100 iterations of
/// more take minutes.
const ENTRIES_MAX: f64 = 5e6;
/// Search range of γ. Its product with the largest λ is far below 1, so every draw is valid.
const LEARNING_RATE: (f64, f64) = (0.005, 0.5);
/// Search range of λ.
const REGULARIZATION: (f64, f64) = (0.0003, 0.1);

impl Definition for BprConfig {
    fn unsupported(&self, signal: Signal) -> Option<&'static str> {
        match signal {
            Signal::Implicit => None,
            Signal::Explicit => Some("it learns from chosen and not chosen items"),
        }
    }

    fn unsuitable(&self, shape: &DataShape) -> Option<String> {
        (shape.entries() > ENTRIES_MAX).then(|| {
            format!(
                "it takes its steps on one thread, and {:.0} interactions are more than {ENTRIES_MAX:.0}",
                shape.entries()
            )
        })
    }

    fn simplicity(&self) -> Simplicity {
        Simplicity::Samples
    }

    fn valid_params(&self, _signal: Signal) -> Result<ValidParams, String> {
        let &Self { factors, iterations, learning_rate, regularization } = self;
        let params = BprParams { factors, iterations, learning_rate, regularization };
        params.check().map(ValidParams::Bpr).map_err(|error| error.to_string())
    }

    fn factors(&self) -> u32 {
        self.factors
    }

    fn with_factors(&self, factors: u32) -> Algorithm {
        Algorithm::Bpr(Self { factors, ..self.clone() })
    }

    fn iterations(&self) -> u32 {
        self.iterations
    }

    fn with_iterations(&self, iterations: u32) -> Algorithm {
        Algorithm::Bpr(Self { iterations, ..self.clone() })
    }

    fn search(&self) -> &dyn Search {
        self
    }
}

impl Search for BprConfig {
    fn draw(&self, _signal: Signal, draws: &Draws) -> Algorithm {
        Algorithm::Bpr(Self {
            factors: draws.factors(self.factors),
            learning_rate: rounded(draws.log_uniform(0, LEARNING_RATE)),
            regularization: rounded(draws.log_uniform(1, REGULARIZATION)),
            ..self.clone()
        })
    }
}
