//! The choice of an algorithm by a search.

use serde::{Deserialize, Serialize};

/// Limits of a search over all algorithms. A training config may have it in place of an algorithm;
/// models and results name the algorithm that was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AutoConfig {
    /// Maximum number of fits. It is spent alike on every machine.
    pub fits: u32,
    /// Maximum number of factors.
    pub factors_max: u32,
    /// Seconds after which no new fit starts. A search that reaches this limit may choose another
    /// algorithm when repeated.
    pub budget_seconds: u64,
    /// Memory limit of the trainer in bytes; absent: the limit of its process, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training_bytes_max: Option<u64>,
    /// Maximum size of the snapshot in bytes; absent: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_bytes_max: Option<u64>,
}

impl Default for AutoConfig {
    fn default() -> Self {
        Self { fits: 24, factors_max: 128, budget_seconds: 1200, training_bytes_max: None, snapshot_bytes_max: None }
    }
}
