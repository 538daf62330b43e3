//! Report of a serving pod, at `GET /model` on its admin port.

use serde::{Deserialize, Serialize};

use crate::{hash::Digest, open::Open, serving::ServingMode, unknown::UnknownValues};

/// Report of a serving pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ModelReport {
    /// Hash of the last applied serving config; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_hash: Option<Digest>,
    /// Model that serves; absent if none is loaded yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loaded: Option<LoadedModel>,
    /// Why the desired revision could not be loaded; the `loaded` model keeps serving.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<LoadFailure>,
    /// What the pod read in the serving config and did not understand: values as in
    /// [`crate::ServingConfig::unknown_values`], fields as in [`crate::Reading::ignored`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

impl ModelReport {
    /// Values of a newer pod that this build does not know, for reports. Empty if there are none.
    pub fn unknown_values(&self) -> Vec<String> {
        let mut unknown = UnknownValues::default();
        let mode = self.loaded.as_ref().and_then(|loaded| loaded.serving_mode.unknown());
        unknown.add("loaded.servingMode", mode);
        unknown.into_list()
    }
}

/// Model in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadedModel {
    /// Digest of its snapshot.
    pub digest: Digest,
    /// Name of its algorithm.
    pub algorithm: String,
    /// Users in the model.
    pub users: u64,
    /// Items in the model.
    pub items: u64,
    /// Number of factors.
    pub factors: u32,
    /// Whether it serves personalized lists.
    #[serde(default, skip_serializing_if = "Open::is_default")]
    pub serving_mode: Open<ServingMode>,
    /// Unix time in seconds when it replaced the previous model.
    pub loaded_at: i64,
    /// Version of the catalogue that it serves with; absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalogue: Option<String>,
}

/// Failure to load a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadFailure {
    /// Digest of the revision.
    pub digest: Digest,
    /// CamelCase reason: `StoreUnreachable`, `NotFound`, `DigestMismatch`, `FormatUnknown`,
    /// `Corrupt`, `CapacityInsufficient`, `CrashedWhileLoading`, `CacheUnwritable`. A newer pod may
    /// have others; the message explains them.
    pub reason: String,
    /// Human-readable cause and remedy.
    pub message: String,
}
