//! The Job that makes a catalogue. It contains its config, so that both are one immutable object.

use serde_json::json;
use sidecar_contract::{CatalogueConfig, TimedId, canonical_json, paths};

use super::{
    child::Child,
    task::{self, TaskChange, TaskInput, task_job},
    trainer_job::JobPod,
};
use crate::{
    decide::{Decision, NewCatalogue, TaskDecision, request_hash},
    installation::Installation,
    names::{Component, Names},
    observed::Observed,
    validate::{CataloguePlan, ITEMS_MOUNT, Plan},
};

/// What happens to the Job for a decision.
pub fn change(plan: &Plan, decision: &Decision, observed: &Observed, installation: &Installation) -> TaskChange {
    match (&decision.catalogue.decision, &plan.catalogue) {
        (TaskDecision::Start(new), Some(wanted)) => TaskChange::Create(build(plan, wanted, new, installation)),
        (decision, _) => task::change(decision, observed),
    }
}

fn build(plan: &Plan, wanted: &CataloguePlan, new: &NewCatalogue, installation: &Installation) -> Child {
    let NewCatalogue { decided_at, revision, known, held, accepted } = new;
    let config = CatalogueConfig {
        decided_at: *decided_at,
        revision: revision.digest.clone(),
        snapshot_bytes: revision.snapshot_bytes,
        items: wanted.items.clone(),
        filters: wanted.filters.clone(),
        known: known.clone(),
        held: held.clone(),
        accepted: accepted.clone(),
        spec_hash: wanted.spec_hash.clone(),
        store: plan.store_scope().config(installation),
    };
    let env = vec![json!({"name": paths::CATALOGUE_CONFIG_ENV, "value": canonical_json(&config)})];
    let mut pod = JobPod::new(plan, &installation.settings, env);
    if let Some(items) = &plan.data.items {
        pod.add_source(ITEMS_MOUNT, paths::ITEMS_SECRET_ENV_PREFIX, &items.source);
    }
    let input = TaskInput {
        component: Component::Catalogue,
        name: Names::new(&plan.name).catalogue_job(*decided_at),
        id: &TimedId::new(*decided_at, &revision.digest),
        spec_hash: wanted.spec_hash.revision(),
        request: plan.refresh_catalogue.as_deref().map(request_hash),
        command: "catalogue",
        pod,
    };
    task_job(plan, &installation.settings, input)
}
