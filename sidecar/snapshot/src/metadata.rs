//! The one metadata entry: what the model is, in numbers and names.

use serde::{Deserialize, Serialize};
use sidecar_contract::{Algorithm, Signal};

/// The version that this build writes for models without biases.
pub const FORMAT_VERSION: u64 = 1;
/// The version that it writes for models of ratings: a reader that knows no biases must not answer without them.
pub const FORMAT_VERSION_WITH_BIASES: u64 = 2;

/// The version that it writes when the last items have factors by their attributes alone: a reader that does not know of them would
/// fold users in with another regularization than the fit's.
pub const FORMAT_VERSION_WITH_COLD_ITEMS: u64 = 3;

/// The version that it writes for models of shared weights: a reader that knows no shares would fold users in with whole weights.
pub const FORMAT_VERSION_WITH_SHARES: u64 = 4;

/// What the file holds. No time, host, path or thread: equal models have equal metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// [`Metadata::version`].
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
    /// How many of the last items nobody has met.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cold_items: u64,
}

impl Metadata {
    /// The lowest version whose readers understand all that there is.
    pub fn version(ratings: bool, cold_items: u64, shares: bool) -> u64 {
        match (shares, cold_items, ratings) {
            (true, _, _) => FORMAT_VERSION_WITH_SHARES,
            (false, 1.., _) => FORMAT_VERSION_WITH_COLD_ITEMS,
            (false, 0, true) => FORMAT_VERSION_WITH_BIASES,
            (false, 0, false) => FORMAT_VERSION,
        }
    }

    /// Whether the numbers can be those of one file.
    pub(crate) fn is_consistent(&self) -> bool {
        let version = Self::version(self.ratings.is_some(), self.cold_items, self.mean_share.is_some());
        let has_shares = matches!(&self.algorithm, Algorithm::Als(als) if als.degree_exponent > 0.0);
        self.format_version == version
            && self.cold_items <= self.items
            && self.mean_share.is_some() == has_shares
            && self.mean_share.is_none_or(|share| share > 0.0 && share.is_finite())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
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
