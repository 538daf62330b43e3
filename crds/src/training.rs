//! When and with what training runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::PodSettings;

/// When and with what training runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TrainingSpec {
    /// When to train, as five fields of cron: minute, hour, day of the month, month, day of the week. Absent: when the
    /// resource or its data changes. Example: "0 3 * * *".
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub schedule: Option<String>,
    /// Time zone of the schedule, by its IANA name. Absent: Etc/UTC. Example: Europe/Berlin.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$"))]
    pub time_zone: Option<String>,
    /// How late a run of the schedule may start, when the operator was down or other trainings came first; a start that was
    /// missed by more is left out. From 10s to 168h, in h, m and s. Default: 12h.
    #[schemars(length(min = 2, max = 20))]
    pub starting_deadline: String,
    /// How often a run looks whether the data changed, which takes seconds when it did not; from 1m to 168h, in h, m and s,
    /// or 0s for never. Absent: what the operator was installed with (1h), and never with a schedule or without replicas.
    /// Example: 15m.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20))]
    pub data_check_interval: Option<String>,
    /// Seed of every random choice; equal data, parameters and seed give an equal model. Default: 42.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_u64))]
    pub seed: u64,
    /// Starts no new training run; a running one ends. Default: false.
    pub suspend: bool,
    /// How long one run may take, from 10s to 168h, in h, m and s. Default: 1h. Example: 1h30m.
    #[schemars(length(min = 2, max = 20))]
    pub deadline: String,
    /// Searches for better parameters of the algorithm before each run's fit, on a part of the data that the run is not measured
    /// on; status.model.parameters has what was found. It starts from spec.algorithm, and keeps that if nothing is better.
    /// Absent: spec.algorithm is taken as it is. Example: {}.
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

/// How far the search for parameters goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Tuning {
    /// Sets of parameters to try, spec.algorithm among them, 2 to 1000. A quarter of the sweeps decides which third
    /// goes on, half of them which ninth is fitted to the end. Default: 16.
    #[schemars(range(min = 2, max = 1000))]
    pub trials: u32,
    /// After this time no new fit begins, from 10s to 168h, in h, m and s; it counts towards training.deadline. A search that
    /// ends by it may find other parameters the next time. Default: 20m.
    #[schemars(length(min = 2, max = 20))]
    pub budget: String,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { trials: 16, budget: "20m".to_owned() }
    }
}
