//! Outcome of a run.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};

use crate::{
    algorithm::Algorithm,
    hash::Digest,
    metrics::Metrics,
    search::{SearchSummary, Trial},
};

/// Outcome of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase", tag = "kind")]
#[expect(clippy::large_enum_variant, reason = "one per run; never stored in large numbers")]
pub enum RunOutcome {
    /// A model was trained and its snapshot is in the store.
    #[serde(rename_all = "camelCase")]
    Trained {
        /// Digest of the snapshot.
        digest: Digest,
        /// Size of the snapshot in bytes.
        snapshot_bytes: u64,
        /// Name of the algorithm.
        algorithm: String,
        /// Algorithm with its parameters; absent in results of older versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parameters: Option<Algorithm>,
        /// Users in the model.
        users: u64,
        /// Items in the model.
        items: u64,
        /// Interactions after merging duplicates.
        interactions: u64,
        /// Time of the newest row in Unix microseconds; absent without times, and in results of
        /// older versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        newest_row_micros: Option<i64>,
        /// Evaluation metrics; absent if the held-out set would be empty.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        metrics: Option<Metrics>,
        /// Objective after each iteration of the refit.
        #[serde(default)]
        objective: Vec<f64>,
        /// Trials of the hyperparameter search, best first; empty without one.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        trials: Vec<Trial>,
        /// What the search spent; absent without one, and in results of older versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        search: Option<SearchSummary>,
    },
    /// The source has not changed since the last run; nothing was trained.
    Unchanged,
    /// Nothing was trained, and a retry with the same inputs cannot succeed.
    #[serde(rename_all = "camelCase")]
    Failed {
        /// CamelCase condition reason from a closed set: `DataInvalid`, `SourceNotFound`,
        /// `TooFewInteractions`, `TrainingDiverged`, `CapacityInsufficient`, `NotSupported`,
        /// `ConfigInvalid`.
        reason: String,
        /// What is wrong, what is valid, what to fix. Contains no user id.
        message: String,
    },
    /// An outcome of a newer trainer. Its reader cannot tell whether there is a model, so it
    /// reports the kind, counts the run as failed, and keeps what serves. It serializes unchanged.
    #[serde(skip)]
    Unknown {
        /// The kind.
        kind: String,
        /// The other fields.
        fields: Map<String, Value>,
    },
}

/// Kinds that this build knows.
const KINDS: [&str; 3] = ["trained", "unchanged", "failed"];
/// Field with the kind.
const KIND: &str = "kind";

impl RunOutcome {
    /// Kind of the outcome if this build does not know it.
    pub fn unknown(&self) -> Option<&str> {
        match self {
            Self::Trained { .. } | Self::Unchanged | Self::Failed { .. } => None,
            Self::Unknown { kind, .. } => Some(kind),
        }
    }
}

// `remote = "Self"` derives functions of the type, not the traits; they handle the known kinds.

impl Serialize for RunOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self::Unknown { kind, fields } = self else { return Self::serialize(self, serializer) };
        let mut fields = fields.clone();
        fields.insert(KIND.to_owned(), Value::from(kind.as_str()));
        fields.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RunOutcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Map::deserialize(deserializer)?;
        let kind = match fields.get(KIND) {
            Some(Value::String(kind)) => kind.clone(),
            Some(_) => return Err(D::Error::custom("`kind` is not a word")),
            None => return Err(D::Error::missing_field(KIND)),
        };
        if KINDS.contains(&kind.as_str()) {
            return Self::deserialize(Value::Object(fields)).map_err(D::Error::custom);
        }
        fields.remove(KIND);
        Ok(Self::Unknown { kind, fields })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::canonical_json;

    fn read(text: &str) -> Result<RunOutcome, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn every_known_kind_is_read_as_itself() {
        let trained = format!(
            r#"{{"algorithm":"als","digest":"{}","interactions":3,"items":2,"kind":"trained",{}}}"#,
            "0".repeat(64),
            r#""objective":[0.1],"snapshotBytes":7,"users":1"#
        );
        let failed = r#"{"kind":"failed","message":"m","reason":"DataInvalid"}"#;
        for text in [trained.as_str(), r#"{"kind":"unchanged"}"#, failed] {
            let outcome = read(text).unwrap();
            assert_eq!((outcome.unknown(), canonical_json(&outcome).as_str()), (None, text));
        }
    }

    #[test]
    fn an_unknown_kind_keeps_its_fields() {
        let text = r#"{"factor":0.1,"kind":"merged","of":[{"kind":"trained"}]}"#;
        let outcome = read(text).unwrap();
        assert_eq!((outcome.unknown(), canonical_json(&outcome).as_str()), (Some("merged"), text));
    }

    #[test]
    fn an_invalid_known_kind_is_an_error_that_names_the_field() {
        for (text, problem) in [
            (r#"{"kind":"failed","reason":"DataInvalid"}"#, "missing field `message`"),
            (r#"{"reason":"DataInvalid"}"#, "missing field `kind`"),
            (r#"{"kind":3}"#, "`kind` is not a word"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
