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
            pod: PodSettings::default(),
        }
    }
}
