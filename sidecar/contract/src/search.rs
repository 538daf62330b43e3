//! What a hyperparameter search tried, and what it spent. Run results contain it.

use serde::{Deserialize, Serialize};

use crate::algorithm::Algorithm;

/// Trial of a hyperparameter search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trial {
    /// Evaluated parameters, with the best number of iterations.
    pub parameters: Algorithm,
    /// Iterations of its longest fit. Only the best trials run all iterations.
    pub iterations_run: u32,
    /// Best [`crate::Metrics::metric`] of its fits, on a validation set taken from the training
    /// set. Absent if the fit failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// How much worse it is than the best trial, in standard errors of the paired difference over
    /// the same users. Absent for the best trial and for failed ones, and in results of older
    /// versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_errors_below_best: Option<f64>,
}

impl Trial {
    /// Value with four decimals, or why there is none.
    pub fn value_text(&self) -> String {
        match self.value {
            Some(value) => format!("{value:.4}"),
            None if self.iterations_run == 0 => "not tried".to_owned(),
            None => "failed".to_owned(),
        }
    }
}

/// What a hyperparameter search spent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SearchSummary {
    /// Number of fits.
    pub fits: u32,
    /// Whether the time budget ended the search. The same run on another machine may then find
    /// other parameters.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stopped_by_time: bool,
    /// Algorithms that the search did not try, or only with fewer factors than it might; empty for
    /// a search of the parameters of one algorithm.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limited: Vec<LimitedAlgorithm>,
}

/// An algorithm that a search did not try, or only with fewer factors than it might.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitedAlgorithm {
    /// Its name.
    pub name: String,
    /// Maximum number of factors that were tried; absent if it was not tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factors_max: Option<u32>,
    /// Why.
    pub reason: String,
}
