//! What a serving pod says of itself on `GET /model` of its admin port.

use serde::{Deserialize, Serialize};

use crate::{hash::Digest, serving::Answers};

/// A pod's report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ModelReport {
    /// Hash of the serving config that it has taken; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_hash: Option<Digest>,
    /// What it answers with; absent: nothing loaded yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loaded: Option<LoadedModel>,
    /// The desired revision could not be loaded; whatever `loaded` says goes on answering.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<LoadFailure>,
}

/// The model in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadedModel {
    /// Content.
    pub digest: Digest,
    /// als, svd, bpr.
    pub algorithm: String,
    /// Users in it.
    pub users: u64,
    /// Items in it.
    pub items: u64,
    /// Factors a row.
    pub factors: u32,
    /// What of it answers.
    #[serde(default, skip_serializing_if = "Answers::is_full")]
    pub answers: Answers,
    /// Seconds since 1970 when it was swapped in.
    pub loaded_at: i64,
}

/// A revision that could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadFailure {
    /// Which one.
    pub digest: Digest,
    /// From a closed set, CamelCase: `StoreUnreachable`, `NotFound`, `DigestMismatch`, `FormatUnknown`, `Corrupt`,
    /// `CapacityInsufficient`, `CrashedWhileLoading`.
    pub reason: String,
    /// What happened and what to try.
    pub message: String,
}
