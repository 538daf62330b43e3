//! Hashes of the training config, the spec and the attempt. They determine whether a model is due,
//! whether a running Job is still valid, and whether a failed run is retried.

use std::collections::BTreeMap;

use recommender_crds::{DataSpec, PodSettings, RecommenderSpec};
use serde_json::{Map, Value, json};
use sidecar_contract::{Digest, RunId, canonical_json, keys::FINGERPRINT_DIGITS, store::StoreConfig};

use super::TrainingPlan;

/// Version of the attempt hash. Raising it retries every failed run.
const ATTEMPT_VERSION: u32 = 1;

/// Hashes of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashes {
    /// Hash of the training config. A result with this hash is a model of this spec.
    pub config: Digest,
    /// Hash of the training config and all other inputs of an attempt except Secret versions. A
    /// running Job with another hash is replaced.
    pub spec: String,
    /// Hash of an attempt: the inputs of [`Self::spec`], and the versions of the Secrets that the
    /// trainer receives. When it changes, a failed attempt is retried immediately; a running Job
    /// continues if only a Secret changed.
    pub attempt: String,
}

impl Hashes {
    /// Computes the hashes.
    pub fn of(
        spec: &RecommenderSpec,
        data: &DataSpec,
        training: &TrainingPlan,
        retrain_at: Option<&str>,
        secret_versions: &BTreeMap<String, String>,
    ) -> Self {
        let config = config_hash(training);
        let mut inputs = attempt_inputs(spec, data, training, &config, retrain_at);
        let spec = short(&inputs);
        if !secret_versions.is_empty() {
            inputs.insert("secrets".to_owned(), json!(secret_versions));
        }
        Self { config, spec, attempt: short(&inputs) }
    }
}

fn config_hash(training: &TrainingPlan) -> Digest {
    // Neither run nor store is an input of the hash.
    let no_store = StoreConfig { url: String::new(), endpoint: None, region: String::new(), prefix: String::new() };
    training.config(RunId { number: 0, attempt: String::new() }, no_store).config_hash()
}

/// Inputs of an attempt by name, without defaults and Secret versions.
fn attempt_inputs(
    spec: &RecommenderSpec,
    data: &DataSpec,
    training: &TrainingPlan,
    config: &Digest,
    retrain_at: Option<&str>,
) -> Map<String, Value> {
    let mut inputs = Map::new();
    let mut insert = |name: &str, value: Value| inputs.insert(name.to_owned(), value);
    insert("version", json!(ATTEMPT_VERSION));
    insert("config", json!(config));
    insert("deadlineSeconds", json!(training.deadline.as_secs()));
    if spec.training.pod != PodSettings::default() {
        insert("pod", json!(spec.training.pod));
    }
    if let Some(requested) = retrain_at {
        insert("retrainAt", json!(requested));
    }
    let items = data.items.as_ref().filter(|_| training.items.is_some()).map(|items| &items.source);
    for (name, source) in [("secret", Some(&data.source)), ("itemsSecret", items)] {
        if let Some(secret) = source.and_then(|source| source.secret_ref.as_ref()) {
            insert(name, json!(secret.name));
        }
    }
    inputs
}

fn short(inputs: &Map<String, Value>) -> String {
    let mut hash = Digest::of(canonical_json(inputs).as_bytes()).as_str().to_owned();
    hash.truncate(FINGERPRINT_DIGITS);
    hash
}
