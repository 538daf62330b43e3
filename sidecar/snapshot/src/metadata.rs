//! The metadata entry of the file, which describes the model.

use serde::{Deserialize, Serialize};
use sidecar_contract::{Algorithm, Signal, canonical_json};

use crate::{
    capability::{Capability, FORMAT_VERSION},
    error::SnapshotError,
};

/// Description of the model. Contains no time, host, path or thread, so that equal models have
/// equal metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Algorithm with its parameters, which a fold-in needs.
    pub algorithm: Algorithm,
    /// Meaning of a weight. A closed set: a file with another signal requires a capability.
    pub signal: Signal,
    /// Seed of every random choice.
    pub seed: u64,
    /// Rows of `user_factors`.
    pub users: u64,
    /// Rows of `item_factors`.
    pub items: u64,
    /// Columns of both factor matrices.
    pub factors: u64,
    /// Length of `seen.items`.
    pub interactions: u64,
    /// Mean degree weight of the fitted interactions, above 0. Present if and only if `algorithm`
    /// is ALS with a degree exponent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_degree_weight: Option<f64>,
    /// Scale of the ratings; present if and only if there are biases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratings: Option<Scale>,
    /// Number of entries that the two-hop term walks. Present if and only if `algorithm` has the
    /// term.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub two_hop_entries: Option<u64>,
    /// λ₁ of the two-hop term, above 0. Present if and only if the term has a matrix of what the
    /// factors represent of it: that of ALS. λ₁ of a decomposition is in its Gram matrix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub two_hop_first_square: Option<f64>,
    /// Number of items whose pairs have sums, which take the place of walks in the two-hop term: all
    /// but cold-start items. Absent in a model that walks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub two_hop_pair_items: Option<u64>,
    /// Number of cold-start items, which are the last items.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cold_items: u64,
}

impl Metadata {
    /// Capabilities that a reader of the model needs, sorted by name.
    pub fn capabilities(&self) -> Vec<Capability> {
        Capability::ALL.into_iter().filter(|capability| self.requires(*capability)).collect()
    }

    /// Whether a reader of the model needs this capability.
    pub fn requires(&self, capability: Capability) -> bool {
        match capability {
            Capability::ColdItems => self.cold_items > 0,
            Capability::DegreeWeights => self.mean_degree_weight.is_some(),
            Capability::Ratings => self.ratings.is_some(),
            Capability::TwoHop => self.two_hop_entries.is_some(),
            Capability::TwoHopPairs => self.two_hop_pair_items.is_some(),
            Capability::TwoHopSpan => self.two_hop_first_square.is_some(),
        }
    }

    /// Checks that the fields are consistent with each other.
    pub(crate) fn check(&self) -> Result<(), SnapshotError> {
        let corrupt = |problem: &str| Err(SnapshotError::corrupt("metadata", problem));
        if self.users > u64::from(u32::MAX) || self.items > u64::from(u32::MAX) {
            return corrupt("the number of users or items exceeds 32 bits");
        }
        if self.cold_items > self.items {
            return corrupt("there are more cold-start items than items");
        }
        if self.mean_degree_weight.is_some_and(|weight| !(weight > 0.0 && weight.is_finite())) {
            return corrupt("the mean degree weight is not a number above 0");
        }
        let has_degree_weights = matches!(&self.algorithm, Algorithm::Als(als) if als.degree_exponent > 0.0);
        // The reader of an unknown algorithm decides.
        if self.algorithm.unknown().is_none() && self.mean_degree_weight.is_some() != has_degree_weights {
            return corrupt("a mean degree weight is expected if and only if als has a degree exponent");
        }
        if self.algorithm.unknown().is_none() && self.two_hop_entries.is_some() != self.algorithm.has_two_hop_term() {
            return corrupt("entries of a two-hop term are expected if and only if coOccurrenceWeight is above 0");
        }
        let pair_items = self.items.checked_sub(self.cold_items);
        if self.two_hop_pair_items.is_some()
            && (self.two_hop_entries.is_none() || self.two_hop_pair_items != pair_items)
        {
            return corrupt("sums of pairs are expected of all items of a two-hop term but the cold-start items");
        }
        if self.two_hop_first_square.is_some_and(|square| !(square > 0.0 && square.is_finite())) {
            return corrupt("the first eigenvalue of the two-hop term is not a number above 0");
        }
        let has_span = matches!(&self.algorithm, Algorithm::Als(_)) && self.algorithm.has_two_hop_term();
        if self.algorithm.unknown().is_none() && self.two_hop_first_square.is_some() != has_span {
            return corrupt("a first eigenvalue is expected if and only if als has a two-hop term");
        }
        Ok(())
    }

    /// The entry of the file, as canonical JSON.
    pub(crate) fn to_json(&self) -> String {
        canonical_json(&Entry {
            format_version: FORMAT_VERSION,
            capabilities: self.capabilities().into_iter().map(Capability::name).collect(),
            metadata: self,
        })
    }

    /// Parses and checks the entry of a file.
    pub(crate) fn from_json(text: &str) -> Result<Self, SnapshotError> {
        let malformed = |error: serde_json::Error| SnapshotError::NotASnapshot(format!("metadata: {error}"));
        // Before the rest, which may have another form if its reader needs another capability.
        let Requirements { format_version, capabilities } = serde_json::from_str(text).map_err(malformed)?;
        if format_version != FORMAT_VERSION {
            return Err(SnapshotError::UnknownVersion { found: format_version });
        }
        let parse = |name: String| Capability::parse(&name).ok_or(SnapshotError::UnknownCapability { name });
        let listed = capabilities.into_iter().map(parse).collect::<Result<Vec<Capability>, _>>()?;
        let metadata: Self = serde_json::from_str(text).map_err(malformed)?;
        metadata.check()?;
        let required = metadata.capabilities();
        if listed != required {
            let names =
                |capabilities: Vec<Capability>| capabilities.into_iter().map(Capability::name).collect::<Vec<_>>();
            let (listed, required) = (names(listed), names(required));
            let problem = format!("lists the capabilities {listed:?}, but the model requires {required:?}");
            return Err(SnapshotError::corrupt("metadata", problem));
        }
        Ok(metadata)
    }
}

/// The entry of the file.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    format_version: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    capabilities: Vec<&'static str>,
    #[serde(flatten)]
    metadata: &'a Metadata,
}

/// The part of the entry that every reader must understand.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Requirements {
    format_version: u64,
    #[serde(default)]
    capabilities: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Scale of explicit ratings. All values are finite, `low <= mean <= high`, and `deviation` is
/// above 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scale {
    /// Mean.
    pub mean: f32,
    /// Standard deviation.
    pub deviation: f32,
    /// Minimum.
    pub low: f32,
    /// Maximum.
    pub high: f32,
}

impl Scale {
    /// Whether the values are consistent with each other.
    pub(crate) fn is_valid(&self) -> bool {
        let Self { mean, deviation, low, high } = *self;
        low.is_finite() && high.is_finite() && low <= mean && mean <= high && deviation > 0.0 && deviation.is_finite()
    }
}
