//! The serving config: which revisions the pods should have.

use serde_json::json;
use sidecar_contract::{
    Answers, RevisionRef, RevisionRole, RunOutcome, RunResult, ServingConfig, ServingLimits, StoreConfig,
    canonical_json, paths,
};

use super::{Child, Kind, metadata};
use crate::{
    names::{Component, Names},
    validate::Plan,
};

/// The config for these results: the desired revision first, then the last good one.
pub fn serving_config(plan: &Plan, serving: &[&RunResult], store: StoreConfig) -> ServingConfig {
    let limits = &plan.spec.serving.limits;
    let roles = [RevisionRole::Desired, RevisionRole::LastGood];
    let revisions = serving.iter().zip(roles).filter_map(|(result, role)| match &result.outcome {
        RunOutcome::Trained { digest, snapshot_bytes, metrics, .. } => Some(RevisionRef {
            digest: digest.clone(),
            snapshot_bytes: *snapshot_bytes,
            role,
            weight: 100,
            trained_at: result.finished_at,
            answers: Answers::Full,
            metrics: metrics.clone(),
        }),
        RunOutcome::Unchanged | RunOutcome::Failed { .. } => None,
    });
    ServingConfig {
        namespace: plan.namespace.clone(),
        name: plan.name.clone(),
        revisions: revisions.collect(),
        loads_first: None,
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
