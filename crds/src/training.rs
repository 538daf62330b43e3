//! Training: schedule, limits, hyperparameter tuning and the pod.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::PodSettings;

/// Schedule, limits and pod settings of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TrainingSpec {
    /// Cron expression of five fields: minute, hour, day of the month, month, day of the week.
    /// Absent: training runs when the resource or its data changes. Example: "0 3 * * *".
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub schedule: Option<String>,
    /// Time zone of the schedule, by its IANA name. Absent: Etc/UTC. Example: Europe/Berlin.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$"))]
    pub time_zone: Option<String>,
    /// Maximum delay of a scheduled run, for example while the operator was down or other runs were
    /// queued first. A run that is later than this is skipped. From 10s to 168h, in h, m and s.
    /// Default: 12h.
    #[schemars(length(min = 2, max = 20))]
    pub starting_deadline: String,
    /// How often a run checks whether the data changed; it takes seconds if it did not. From 1m to
    /// 168h, in h, m and s, or 0s for never. Absent: the interval that the operator was installed
    /// with (1h); never with a schedule or without replicas. Example: 15m.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20))]
    pub data_check_interval: Option<String>,
    /// Seed of all random choices. Equal data, parameters and seed give an equal model. Default:
    /// 42.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_u64))]
    pub seed: u64,
    /// Stops new training runs; a running one completes. Default: false.
    pub suspend: bool,
    /// Maximum duration of one run, from 10s to 168h, in h, m and s. Default: 1h. Example: 1h30m.
    #[schemars(length(min = 2, max = 20))]
    pub deadline: String,
    /// Hyperparameter search before each run's fit, on data that is not part of the held-out set.
    /// It includes spec.algorithm, and uses that unless another trial is better by more than one
    /// standard error; status.model.parameters and status.model.search show the result. Absent:
    /// spec.algorithm is used as it is. Example: {}.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuning: Option<Tuning>,
    /// Settings of the training pod.
    #[serde(flatten)]
    pub pod: PodSettings,
}

impl Default for TrainingSpec {
    fn default() -> Self {
        Self {
            schedule: None,
            time_zone: None,
            starting_deadline: "12h".to_owned(),
            data_check_interval: None,
            seed: 42,
            suspend: false,
            deadline: "1h".to_owned(),
            tuning: None,
            pod: PodSettings::default(),
        }
    }
}

/// Limits of the hyperparameter search.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Tuning {
    /// Number of trials, including spec.algorithm, 2 to 1000. Successive halving: a third of them
    /// continues after a quarter of the iterations, a ninth after half of the iterations. Default:
    /// 16.
    #[schemars(range(min = 2, max = 1000))]
    pub trials: u32,
    /// Time after which no new fit starts, from 10s to 168h, in h, m and s. It counts towards
    /// training.deadline. A search that is stopped by it may find other parameters in the next run.
    /// Default: 20m.
    #[schemars(length(min = 2, max = 20))]
    pub budget: String,
    /// Maximum number of latent factors, 1 to 1024. The search then also varies the number of
    /// factors, and chooses the smallest one within one standard error of the best trial. Absent:
    /// all trials have the factors of spec.algorithm. Example: 256.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub factors_max: Option<u32>,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { trials: 16, budget: "20m".to_owned(), factors_max: None }
    }
}
