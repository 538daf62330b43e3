//! The one metadata entry: what the model is, in numbers and names.

use serde::{Deserialize, Serialize};
use sidecar_contract::{Algorithm, Signal};

/// The version that this build writes for models without biases.
pub const FORMAT_VERSION: u64 = 1;
/// The version that it writes for models of ratings: a reader that knows no biases must not answer without them.
pub const FORMAT_VERSION_WITH_BIASES: u64 = 2;

/// The version that it writes for models of shared weights: a reader that knows no shares must not fold users in without them.
pub const FORMAT_VERSION_WITH_SHARES: u64 = 3;

/// What the file holds. No time, host, path or thread: equal models have equal metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// As [`Metadata::version`] says.
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
    /// Mean share of the weights that were fitted; present if and only if `algorithm` is ALS with a degree exponent; above 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_share: Option<f64>,
    /// The scale of the ratings; present if and only if there are biases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratings: Option<Scale>,
}

impl Metadata {
    /// The version of a file with such contents.
    pub fn version(ratings: Option<&Scale>, mean_share: Option<f64>) -> u64 {
        match (ratings, mean_share) {
            (None, None) => FORMAT_VERSION,
            (Some(_), _) => FORMAT_VERSION_WITH_BIASES,
            (None, Some(_)) => FORMAT_VERSION_WITH_SHARES,
        }
    }
}

/// What explicit ratings have in common. Finite; `low <= mean <= high`, and `deviation` is above 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scale {
    /// Their mean.
    pub mean: f32,
    /// Their standard deviation.
    pub deviation: f32,
    /// The lowest.
    pub low: f32,
    /// The highest.
    pub high: f32,
}

impl Scale {
    /// Whether the numbers can be those of ratings.
    pub(crate) fn is_valid(&self) -> bool {
        let Self { mean, deviation, low, high } = *self;
        low.is_finite() && high.is_finite() && low <= mean && mean <= high && deviation > 0.0 && deviation.is_finite()
    }
}
