//! Evaluation of models and the quality gate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Evaluation of models. Metrics are of a model that is fitted without the held-out set; the
/// serving model is fitted to all rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EvaluationSpec {
    /// How the held-out set is chosen. `time`: the newest rows. `random`: by a seeded hash of user
    /// and item. `leaveLastOut`: the newest row of each user. `userHoldout`: some users, whose
    /// factors are folded in from most of their rows and evaluated on the rest. Absent: time if
    /// rows have a timestamp, else random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// Fraction of the rows in the held-out set (with userHoldout: of the users), above 0 and at
    /// most 0.5. Ignored by leaveLastOut. Default: 0.1.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub holdout: f64,
    /// Length of the evaluated lists: the k of recall@k and ndcg@k, 1 to 1000. Set it to the number
    /// of items that your page shows. Default: 10.
    #[schemars(range(min = 1, max = 1000))]
    pub k: u32,
    /// Quality gate: what a model must reach before it serves.
    pub gate: Gate,
}

impl Default for EvaluationSpec {
    fn default() -> Self {
        Self { split: None, holdout: 0.1, k: 10, gate: Gate::default() }
    }
}

/// How the held-out set is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Split {
    /// The newest rows.
    Time,
    /// Rows chosen by a seeded hash of user and item.
    Random,
    /// The newest row of each user.
    LeaveLastOut,
    /// Rows of users that are not part of the fit.
    UserHoldout,
}

/// Quality gate. Its result is the condition QualityGatePassed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Gate {
    /// Minimum relative lift over the baseline, -1 to 10: 0.05 means 5 % better. For implicit data
    /// it is the gain in ndcg over the popularity baseline; for explicit data the reduction of rmse
    /// relative to the bias baseline (user and item averages). The lower bound of the 95 %
    /// confidence interval must reach it, so that a model does not pass by chance. Default: 0, no
    /// worse than the baseline.
    #[schemars(range(min = -1.0, max = 10.0))]
    pub min_lift_over_baseline: f64,
    /// Maximum relative loss compared with the serving model, 0 to 1: with 0.02 a model that is 2 %
    /// worse still passes. Absent: not compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_regression: Option<f64>,
}
