//! What the serving pods are to serve: rendered by the operator into a ConfigMap.

use serde::{Deserialize, Serialize};

use crate::{
    hash::{Digest, canonical_json},
    store::StoreConfig,
};

/// The serving config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServingConfig {
    /// Namespace of the Recommender.
    pub namespace: String,
    /// Name of the Recommender.
    pub name: String,
    /// The desired revision first, then the last good one. Empty: nothing is trained yet.
    #[serde(default)]
    pub revisions: Vec<RevisionRef>,
    /// The pod that loads the desired revision first, alone; the rest follow when the config no longer names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loads_first: Option<String>,
    /// Sources after the model, in order. Names that a sidecar does not know are passed over, and popularity is asked last
    /// even if it is not named: an unknown user never gets an empty answer.
    #[serde(default = "popular")]
    pub fallback: Vec<String>,
    /// Where snapshots are.
    pub store: StoreConfig,
    /// Limits of the doors.
    #[serde(default)]
    pub limits: ServingLimits,
}

impl ServingConfig {
    /// The hash that a pod reports once it has taken the config.
    pub fn hash(&self) -> Digest {
        Digest::of(canonical_json(self).as_bytes())
    }

    /// The revision with this part, if there is one.
    pub fn revision(&self, role: RevisionRole) -> Option<&RevisionRef> {
        self.revisions.iter().find(|revision| revision.role == role)
    }
}

/// One revision and its part in serving.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionRef {
    /// Content.
    pub digest: Digest,
    /// Length in bytes, checked against the pod's headroom before anything is fetched.
    pub snapshot_bytes: u64,
    /// Part in serving.
    pub role: RevisionRole,
    /// Share of users, in percent; of one revision it is 100.
    #[serde(default = "all")]
    pub weight: u8,
    /// Seconds since 1970 when its run finished.
    #[serde(default)]
    pub trained_at: i64,
    /// What of it answers.
    #[serde(default, skip_serializing_if = "Answers::is_full")]
    pub answers: Answers,
    /// Metrics of its run, exported with the revision as label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<crate::run_result::Metrics>,
}

/// Parts in serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RevisionRole {
    /// What should serve.
    Desired,
    /// What serves when the desired one cannot be loaded.
    LastGood,
}

/// What of a revision answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answers {
    /// Its factors, then the fallback.
    #[default]
    Full,
    /// Its popularity alone: a first model that did not pass the gate.
    Popular,
}

impl Answers {
    /// The default, which is left out of documents.
    pub fn is_full(&self) -> bool {
        *self == Self::Full
    }
}

/// Limits of the serving doors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServingLimits {
    /// Most items an answer may hold.
    pub items_per_answer_max: u32,
    /// Most rows of history in a request.
    pub history_per_request_max: u32,
    /// Most requests in a batch.
    pub requests_per_batch_max: u32,
}

impl Default for ServingLimits {
    fn default() -> Self {
        Self { items_per_answer_max: 1000, history_per_request_max: 1000, requests_per_batch_max: 100 }
    }
}

fn popular() -> Vec<String> {
    vec!["popular".to_owned()]
}

fn all() -> u8 {
    100
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"{"digest":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","role":"desired","snapshotBytes":7,"trainedAt":0,"weight":100}"#;

    #[test]
    fn what_is_the_default_is_not_written_so_hashes_stay() {
        let mut revision: RevisionRef = serde_json::from_str(BEFORE).unwrap();
        assert_eq!(revision.answers, Answers::Full);
        assert_eq!(canonical_json(&revision), BEFORE);
        revision.answers = Answers::Popular;
        assert!(canonical_json(&revision).contains(r#""answers":"popular""#));
    }
}
