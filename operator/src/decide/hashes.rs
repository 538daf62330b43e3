//! What is trained and what is tried, each as a hash: whether a model is due, and whether a failed run is tried again.

use recommender_crds::PodSettings;
use serde_json::{Map, Value, json};
use sidecar_contract::{Digest, RunId, TrainingConfig, canonical_json, keys::FINGERPRINT_DIGITS, store::StoreConfig};

use crate::validate::Plan;

/// Version of the hash of an attempt; raising it tries everything again that failed.
const ATTEMPT_VERSION: u32 = 1;

/// The training config of a run.
pub fn training_config(
    plan: &Plan,
    run: RunId,
    store: StoreConfig,
    known_data_version: Option<String>,
) -> TrainingConfig {
    let training = &plan.training;
    TrainingConfig {
        run,
        source: training.source.clone(),
        format: training.format,
        csv: training.csv.clone(),
        columns: training.columns.clone(),
        signal: training.signal,
        weights: training.weights.clone(),
        items: training.items.clone(),
        algorithm: training.algorithm.clone(),
        tuning: training.tuning.clone(),
        evaluation: training.evaluation.clone(),
        seed: training.seed,
        warm_start: None,
        store,
        known_data_version,
        retrain_at: plan.retrain_at.clone(),
        decided_at: None,
        incumbent: None,
    }
}

/// Hash of what the plan trains; a result with this hash is a model of this spec.
pub fn config_hash(plan: &Plan) -> Digest {
    let nowhere = StoreConfig { url: String::new(), endpoint: None, region: String::new(), prefix: String::new() };
    training_config(plan, RunId { number: 0, attempt: String::new() }, nowhere, None).config_hash()
}

/// Hash of what is wanted: what is trained, and with which means. A run of something else makes room for one of this.
pub fn wanted(plan: &Plan) -> String {
    short(means(plan))
}

/// Hash of what is tried: what is wanted, and the versions of the Secrets that the trainer is given. A failed attempt is tried
/// again at once when it changes; one that runs goes on when only a Secret changed.
pub fn attempt(plan: &Plan) -> String {
    let mut means = means(plan);
    if !plan.secret_versions.is_empty() {
        means.insert("secrets".to_owned(), json!(plan.secret_versions));
    }
    short(means)
}

/// Every means by name, defaults left out.
fn means(plan: &Plan) -> Map<String, Value> {
    let mut means = Map::new();
    let mut put = |name: &str, value: Value| means.insert(name.to_owned(), value);
    put("version", json!(ATTEMPT_VERSION));
    put("config", json!(config_hash(plan)));
    put("deadlineSeconds", json!(plan.training.deadline.as_secs()));
    if plan.spec.training.pod != PodSettings::default() {
        put("pod", json!(plan.spec.training.pod));
    }
    if let Some(asked) = &plan.retrain_at {
        put("retrainAt", json!(asked));
    }
    let items = plan.spec.data.items.as_ref().map(|items| &items.source);
    for (name, source) in [("secret", Some(&plan.spec.data.source)), ("itemsSecret", items)] {
        if let Some(secret) = source.and_then(|source| source.secret_ref.as_ref()) {
            put(name, json!(secret.name));
        }
    }
    means
}

fn short(means: Map<String, Value>) -> String {
    let mut hash = Digest::of(canonical_json(&Value::Object(means)).as_bytes()).as_str().to_owned();
    hash.truncate(FINGERPRINT_DIGITS);
    hash
}
