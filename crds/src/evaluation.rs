//! How a model is measured, and what it must reach.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a model is measured. What is measured is a fit without the part that is kept; what serves is the fit on all rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EvaluationSpec {
    /// Which part is kept for measuring: `time`, the newest rows; `random`, by a seeded hash of user and item; `leaveLastOut`, the
    /// newest row of each user; `users`, some users, whose taste is folded in from most of their rows and measured on the rest.
    /// Absent: time where rows have a timestamp, else random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// Share of the rows (of `users`: of the users) that is kept for measuring, above 0, at most 0.5; leaveLastOut has no use for it.
    /// Default: 0.1.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub holdout: f64,
    /// Length of the lists that are measured, 1 to 1000. Set it to how many items your page shows. Default: 10.
    #[schemars(range(min = 1, max = 1000))]
    pub k: u32,
    /// What a model must reach.
    pub gate: Gate,
}

impl Default for EvaluationSpec {
    fn default() -> Self {
        Self { split: None, holdout: 0.1, k: 10, gate: Gate::default() }
    }
}

/// Ways to split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Split {
    /// The newest rows are kept.
    Time,
    /// A seeded hash of user and item decides.
    Random,
    /// The newest row of each user is kept.
    LeaveLastOut,
    /// Users are kept from the fit.
    Users,
}

/// What a model must reach. The decision is the condition QualityGatePassed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Gate {
    /// Least relative lift over the baseline, -1 to 10: 0.05 means 5 % better. For implicit data it is the gain of ndcg over
    /// recommending what is popular; for explicit data by how much rmse is smaller than that of averages of users and items.
    /// It passes on the lower end of a 95 % interval, so that luck does not. Default: 0, no worse than the baseline.
    #[schemars(range(min = -1.0, max = 10.0))]
    pub min_lift_over_baseline: f64,
    /// Largest relative loss against the model that serves, 0 to 1: 0.02 means 2 % worse still passes. Absent: not
    /// compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_regression: Option<f64>,
}
