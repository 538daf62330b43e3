//! The serving config: which revisions the pods should have.

use serde_json::json;
use sidecar_contract::{ServingConfig, ServingLimits, StoreConfig, canonical_json, paths};

use super::{Child, Kind, metadata};
use crate::{
    decide::Serving,
    names::{Component, Names},
    validate::Plan,
};

/// The config for this choice: the desired revision first, then the last good one.
pub fn serving_config(
    plan: &Plan,
    serving: &Serving,
    loads_first: Option<String>,
    store: StoreConfig,
) -> ServingConfig {
    let limits = &plan.spec.serving.limits;
    ServingConfig {
        namespace: plan.namespace.clone(),
        name: plan.name.clone(),
        revisions: serving.desired.iter().chain(&serving.last_good).cloned().collect(),
        loads_first,
        fallback: plan.fallback.clone(),
        store,
        limits: ServingLimits {
            items_per_answer_max: limits.items_per_answer_max,
            history_per_request_max: limits.history_per_request_max,
            requests_per_batch_max: limits.requests_per_batch_max,
        },
    }
}

/// The ConfigMap that the pods mount.
pub fn build(plan: &Plan, config: &ServingConfig) -> Child {
    Child {
        kind: Kind::ConfigMap,
        manifest: json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(plan, &Names::new(&plan.name).serving_config(), Component::Serving),
            "data": {paths::SERVING_CONFIG_FILE: canonical_json(config)},
        }),
    }
}
