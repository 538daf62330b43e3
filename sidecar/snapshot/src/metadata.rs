//! The one metadata entry: what the model is, in numbers and names.

use serde::{Deserialize, Serialize};
use sidecar_contract::{Algorithm, Signal};

/// The version that this build writes and reads.
pub const FORMAT_VERSION: u64 = 1;

/// What the file holds. No time, host, path or thread: equal models have equal metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// [`FORMAT_VERSION`].
    pub format_version: u64,
    /// What was fitted, with its parameters: folding a user in needs them.
    pub algorithm: Algorithm,
    /// What a weight means.
    pub signal: Signal,
    /// Seed of every random choice.
    pub seed: u64,
    /// Rows of `user_factors`.
    pub users: u64,
    /// Rows of `item_factors`.
    pub items: u64,
    /// Columns of both.
    pub factors: u64,
    /// Length of `seen.items`.
    pub interactions: u64,
}
