//! The ConfigMap with the serving config, which names the revisions that the pods should load.

use serde_json::json;
use sidecar_contract::{CompositionConfig, ServingConfig, ServingLimits, StoreConfig, canonical_json, paths};

use super::child::{Child, metadata};
use crate::{
    child_kind::ChildKind,
    decide::Serving,
    names::{Component, Names},
    validate::{Plan, Workload},
};

/// The serving config for a decision: the desired revision first, then the last good one.
pub fn serving_config(plan: &Plan, serving: &Serving, store: StoreConfig) -> ServingConfig {
    let limits = &plan.spec.serving.limits;
    ServingConfig {
        namespace: plan.namespace.clone(),
        name: plan.name.clone(),
        revisions: serving.desired.iter().chain(&serving.last_good).cloned().collect(),
        loads_first: serving.loads_first.as_ref().map(|first| first.pod.clone()),
        loads_first_since: serving.loads_first.as_ref().map(|first| first.since),
        fallback: plan.fallback.clone(),
        store,
        limits: ServingLimits {
            items_per_answer_max: limits.items_per_answer_max,
            history_per_request_max: limits.history_per_request_max,
            requests_per_batch_max: limits.requests_per_batch_max,
            latency_budget_milliseconds: limits.latency_budget_milliseconds,
        },
        gate: Some(plan.gate()),
        access: plan.access.clone(),
    }
}

/// Builds the ConfigMap that the pods mount.
pub fn build(plan: &Plan, config: &ServingConfig) -> Child {
    config_map(plan, paths::SERVING_CONFIG_FILE, &canonical_json(config))
}

/// Builds the ConfigMap with a composition.
pub fn of_composition(workload: &Workload, config: &CompositionConfig) -> Child {
    config_map(workload, paths::COMPOSITION_FILE, &canonical_json(config))
}

fn config_map(plan: &Workload, file: &str, text: &str) -> Child {
    Child {
        kind: ChildKind::ConfigMap,
        manifest: json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(plan, &Names::new(&plan.name).serving_config(), Component::Serving),
            "data": {file: text},
        }),
    }
}
