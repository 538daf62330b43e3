//! The Job that writes lists for all users. It contains its config, so that both are one immutable
//! object.

use serde_json::json;
use sidecar_contract::{BatchConfig, canonical_json, paths};

use super::{
    child::Child,
    task::{self, TaskChange, TaskInput, task_job},
    trainer_job::JobPod,
};
use crate::{
    decide::{Decision, NewBatch, TaskDecision},
    installation::Installation,
    names::{Component, Names},
    observed::Observed,
    validate::{BatchPlan, Plan},
};

/// What happens to the Job for a decision.
pub fn change(plan: &Plan, decision: &Decision, observed: &Observed, installation: &Installation) -> TaskChange {
    match (&decision.batch.decision, &plan.batch) {
        (TaskDecision::Start(new), Some(batch)) => TaskChange::Create(build(plan, batch, new, installation)),
        (decision, _) => task::change(decision, observed),
    }
}

fn build(plan: &Plan, batch: &BatchPlan, new: &NewBatch, installation: &Installation) -> Child {
    let NewBatch { id, revision } = new;
    let config = BatchConfig {
        id: id.clone(),
        name: plan.name.clone(),
        revision: revision.digest.clone(),
        snapshot_bytes: revision.snapshot_bytes,
        catalogue: revision.catalogue.clone(),
        n: batch.n,
        destination: batch.destination.clone(),
        spec_hash: batch.spec_hash.clone(),
        store: plan.store_scope().config(installation),
    };
    let env = vec![json!({"name": paths::BATCH_CONFIG_ENV, "value": canonical_json(&config)})];
    let mut pod = JobPod::new(plan, &installation.settings, env);
    if let Some(secret) = &batch.secret {
        pod.add_secret(paths::DESTINATION_SECRET_ENV_PREFIX, secret);
    }
    let input = TaskInput {
        component: Component::Batch,
        name: Names::new(&plan.name).batch_job(id.decided_at),
        id,
        spec_hash: batch.spec_hash.revision(),
        request: None,
        command: "batch",
        pod,
    };
    task_job(plan, &installation.settings, input)
}
