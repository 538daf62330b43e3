//! What is trained and what is tried, each as a hash: whether a model is due, and whether a failed run is tried again.

use sidecar_contract::{Digest, RunId, TrainingConfig, canonical_json, keys::FINGERPRINT_DIGITS, store::StoreConfig};

use crate::validate::Plan;

/// Version of the hashes below; raising it retrains everything, so it is raised only when what is trained changes.
const HASH_VERSION: u32 = 1;

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
        items: training.items.clone(),
        algorithm: training.algorithm.clone(),
        evaluation: training.evaluation.clone(),
        seed: training.seed,
        store,
        known_data_version,
        retrain_at: plan.retrain_at.clone(),
        incumbent: None,
    }
}

/// Hash of what the plan trains; a result with this hash is a model of this spec.
pub fn config_hash(plan: &Plan) -> Digest {
    let nowhere = StoreConfig { url: String::new(), endpoint: None, region: String::new(), prefix: String::new() };
    training_config(plan, RunId { number: 0, attempt: String::new() }, nowhere, None).config_hash()
}

/// Hash of what is tried: what is trained, and with which means. A failed attempt is tried again at once when it changes.
pub fn attempt(plan: &Plan) -> String {
    let mut means = serde_json::json!({
        "version": HASH_VERSION,
        "config": config_hash(plan),
        "deadlineSeconds": plan.training.deadline.as_secs(),
        "pod": plan.spec.training.pod,
        "secret": plan.spec.data.source.secret_ref,
        "retrainAt": plan.retrain_at,
    });
    // Said only where there is something to say, so that the hashes of other specs stay what they were.
    let items_secret = plan.spec.data.items.as_ref().and_then(|items| items.source.secret_ref.as_ref());
    if items_secret != plan.spec.data.source.secret_ref.as_ref()
        && let (Some(secret), Some(means)) = (items_secret, means.as_object_mut())
    {
        means.insert("itemsSecret".to_owned(), serde_json::json!(secret));
    }
    let mut hash = Digest::of(canonical_json(&means).as_bytes()).as_str().to_owned();
    hash.truncate(FINGERPRINT_DIGITS);
    hash
}
