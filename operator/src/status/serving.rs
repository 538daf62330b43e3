//! Conditions of the serving pods, and of pins and promotions.

use recommender_crds::{
    ConditionType, Reason,
    condition::{ConditionUpdate, is_true},
};
use sidecar_contract::{Digest, LoadFailure, LoadedModel, Open, ServingMode, ports};

use super::{StatusInput, block::block, gate, training::trained};
use crate::{
    decide::{Choice, RefusedPromotion, result_digest},
    names::{Component, PROMOTE_ANNOTATION},
    observed::{
        DeploymentFacts, Observed,
        pod_problem::{advice, field},
    },
};

/// Number of pods that serve the desired revision in its serving mode.
pub(super) fn loaded(input: StatusInput<'_>) -> i32 {
    let Some(desired) = input.desired() else { return 0 };
    let matches = |loaded: &LoadedModel| loaded.digest == desired.digest && loaded.serving_mode == desired.serving_mode;
    let count = input.observed.reports.iter().filter(|(_, report)| report.loaded.as_ref().is_some_and(matches)).count();
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn load_failure(input: StatusInput<'_>) -> Option<(&str, &LoadFailure)> {
    input.observed.reports.iter().find_map(|(pod, report)| Some((pod.as_str(), report.failure.as_ref()?)))
}

/// Whether the serving config names a revision of which only the popularity ranking serves.
pub(super) fn is_popularity_only(input: StatusInput<'_>) -> bool {
    input.desired().is_some_and(|desired| desired.serving_mode == ServingMode::PopularityOnly)
}

/// Whether no running pod answers the operator although pods are ready.
fn are_pods_unreachable(input: StatusInput<'_>) -> bool {
    ready_pods(input) > 0 && input.observed.reports.is_empty()
}

fn ready_pods(input: StatusInput<'_>) -> i32 {
    input.applied.rollout.deployment.as_ref().map_or(0, |deployment| deployment.ready)
}

pub(super) fn model_loaded(input: StatusInput<'_>) -> ConditionUpdate {
    let kind = ConditionType::ModelLoaded;
    let desired_replicas = input.plan.spec.serving.replicas;
    let Some(desired) = input.desired() else {
        return awaiting_catalogue(input, kind)
            .unwrap_or_else(|| ConditionUpdate::is_not(kind, Reason::NoModel, "no model has been trained yet"));
    };
    if let Some((pod, failure)) = load_failure(input) {
        let reason = if failure.reason == "DigestMismatch" { Reason::DigestMismatch } else { Reason::LoadFailed };
        let message = format!("pod {pod} cannot load {}: {}", failure.digest.revision(), failure.message);
        return ConditionUpdate::is_not(kind, reason, message);
    }
    if are_pods_unreachable(input) {
        let message = format!(
            "{} of {desired_replicas} pods are ready, but none answers the operator on port {}, so what they serve is \
             unknown: allow the operator's pods to connect to it (NetworkPolicy, mutual TLS of a service mesh)",
            ready_pods(input),
            ports::ADMIN
        );
        return ConditionUpdate::unknown(kind, Reason::PodsUnreachable, message);
    }
    let (loaded, revision) = (loaded(input), desired.digest.revision());
    let what = match &desired.serving_mode {
        Open::Known(ServingMode::Personalized) => revision.to_owned(),
        Open::Known(ServingMode::PopularityOnly) => format!("the popularity ranking of {revision}"),
        Open::Unknown(mode) => format!("{revision} in the mode {mode}"),
    };
    let message = format!("{loaded} of {desired_replicas} pods serve {what}");
    if loaded >= desired_replicas {
        return ConditionUpdate::is(kind, Reason::Loaded, message);
    }
    ConditionUpdate::is_not(kind, Reason::Loading, message)
}

pub(super) fn available(input: StatusInput<'_>) -> ConditionUpdate {
    let kind = ConditionType::ServingAvailable;
    let desired_replicas = input.plan.spec.serving.replicas;
    if desired_replicas == 0 {
        return ConditionUpdate::is(kind, Reason::ScaledToZero, "serving.replicas is 0");
    }
    let ready = ready_pods(input);
    let message = format!("{ready} of {desired_replicas} pods are ready");
    if ready >= desired_replicas {
        return ConditionUpdate::is(kind, Reason::ReplicasAvailable, message);
    }
    let problem = pod_problem(input.applied.rollout.deployment.as_ref(), input.observed)
        .map(|problem| format!("; {problem}"))
        .unwrap_or_default();
    ConditionUpdate::is_not(kind, Reason::ReplicasUnavailable, format!("{message}{problem}"))
}

/// What prevents serving pods from being created or from running.
pub(super) fn pod_problem(deployment: Option<&DeploymentFacts>, observed: &Observed) -> Option<String> {
    let rejected = deployment.and_then(|deployment| deployment.problem.as_ref());
    if let Some(message) = rejected {
        return Some(format!("{message}; {}", advice(message, field(Some(Component::Serving)))));
    }
    let serving = observed.pods.iter().filter(|pod| pod.component == Some(Component::Serving));
    serving.filter_map(|pod| pod.problem.as_ref()).map(|problem| problem.message.clone()).next()
}

/// The condition `Ready`: the required pods are ready, and a pod serves a model.
pub(super) fn ready(input: StatusInput<'_>, model_loaded: &ConditionUpdate) -> ConditionUpdate {
    let kind = ConditionType::Ready;
    if input.desired().is_none() {
        if let Some(ConditionUpdate { reason, message, .. }) = pin_not_found(input) {
            return ConditionUpdate::is_not(kind, reason, message);
        }
        if let Some(awaiting) = awaiting_catalogue(input, kind) {
            return awaiting;
        }
        let ConditionUpdate { status, reason, message, .. } = trained(input);
        let reason = if status == Some(true) { Reason::NoModel } else { reason };
        return ConditionUpdate::is_not(kind, reason, message);
    }
    if is_popularity_only(input) {
        let (reason, why) = why_popularity_only(input);
        let message = format!("serving popularity only until a model may serve: {why}");
        return ConditionUpdate::is_not(kind, reason, message);
    }
    let desired_replicas = input.plan.spec.serving.replicas;
    if desired_replicas == 0 {
        return ConditionUpdate::is(kind, Reason::ScaledToZero, "a model is trained; serving.replicas is 0");
    }
    let ready = ready_pods(input);
    if ready < required_pods(input) {
        let available = available(input);
        return ConditionUpdate::is_not(kind, available.reason, available.message);
    }
    if !are_pods_unreachable(input) && !does_a_pod_personalize(input) {
        return ConditionUpdate::is_not(kind, Reason::Loading, &*model_loaded.message);
    }
    let mut message = model_loaded.message.clone();
    if model_loaded.status == Some(false) && ready >= desired_replicas {
        message = format!("serving the last good revision: {message}");
    }
    if let Some(instructions) = promotion(input) {
        message = format!("{message}; {instructions}");
    }
    ConditionUpdate::is(kind, Reason::Serving, message)
}

/// The first model is trained, but has no catalogue yet.
fn awaiting_catalogue(input: StatusInput<'_>, kind: ConditionType) -> Option<ConditionUpdate> {
    let revision = input.decision.awaits_catalogue.as_ref()?.revision();
    let message = match super::catalogue::held(input) {
        None => format!("revision {revision} is trained and serves as soon as its catalogue is made"),
        Some(held) => format!("revision {revision} is trained and has no catalogue: {}", held.message),
    };
    Some(ConditionUpdate::is_not(kind, Reason::AwaitingCatalogue, message))
}

/// Whether a pod reports that it serves personalized lists, of the desired or of another revision.
fn does_a_pod_personalize(input: StatusInput<'_>) -> bool {
    let mut loaded = input.observed.reports.iter().filter_map(|(_, report)| report.loaded.as_ref());
    loaded.any(|loaded| loaded.serving_mode == ServingMode::Personalized)
}

/// Number of ready pods that `Ready` requires: all of them, but while more pods start, those that
/// were ready before suffice.
fn required_pods(input: StatusInput<'_>) -> i32 {
    let desired = input.plan.spec.serving.replicas;
    if is_true(&input.before.conditions, ConditionType::Ready) {
        return desired.min(input.before.ready_replicas.max(1));
    }
    desired
}

/// Why only popularity serves.
fn why_popularity_only(input: StatusInput<'_>) -> (Reason, String) {
    if let Some(instructions) = promotion(input) {
        return (Reason::AwaitingPromotion, instructions);
    }
    let blocked = input.decision.gate.as_ref().and_then(|judged| block(input, judged));
    blocked.unwrap_or_else(|| {
        let ConditionUpdate { reason, message, .. } = gate::condition(input);
        (reason, message)
    })
}

/// Message with the command that promotes the waiting revision, if promotion is manual.
fn promotion(input: StatusInput<'_>) -> Option<String> {
    let plan = input.plan;
    let revision = input.decision.serving.awaits_promotion.as_ref()?.revision();
    Some(format!(
        "revision {revision} passed the gate and awaits promotion: kubectl -n {} annotate --overwrite recommender {} {PROMOTE_ANNOTATION}={revision}",
        plan.namespace, plan.name
    ))
}

/// Reports that an older model serves than the newest one that may.
pub(super) fn rolled_back(input: StatusInput<'_>) -> Option<ConditionUpdate> {
    let kind = ConditionType::RolledBack;
    let desired = input.desired()?;
    if input.choice() == Choice::Pinned {
        let candidate = input.decision.serving.candidate.as_ref()?;
        let message = format!(
            "model.revision pins {}; {} serves after the field is removed",
            desired.digest.revision(),
            candidate.revision()
        );
        return Some(ConditionUpdate::is(kind, Reason::PinnedByUser, message));
    }
    let (pod, failure) = load_failure(input).filter(|(_, failure)| failure.digest == desired.digest)?;
    let serving: Vec<&LoadedModel> =
        input.observed.reports.iter().filter_map(|(_, report)| report.loaded.as_ref()).collect();
    if serving.iter().any(|loaded| loaded.digest == desired.digest) {
        return None; // A pod has loaded it, and the others follow.
    }
    let message = format!(
        "{} serves, because pod {pod} cannot load {}: {}",
        serving.first()?.digest.revision(),
        desired.digest.revision(),
        failure.message
    );
    Some(ConditionUpdate::is(kind, Reason::FellBackToLastGood, message))
}

/// Reports a pin whose revision does not exist. Nothing is reported while the store is down.
pub(super) fn pin_not_found(input: StatusInput<'_>) -> Option<ConditionUpdate> {
    if input.choice() != Choice::PinNotFound || input.observed.runs.is_err() {
        return None;
    }
    let message = not_in_store(input, "model.revision", input.plan.pin()?);
    Some(ConditionUpdate::is(ConditionType::Stalled, Reason::RevisionNotFound, message))
}

/// Reports a requested promotion that has no effect. Nothing is reported while the store is down.
pub(super) fn refused_promotion(input: StatusInput<'_>) -> Option<ConditionUpdate> {
    if input.observed.runs.is_err() {
        return None;
    }
    let requested = input.plan.promote.as_deref()?;
    let field = format!("annotation {PROMOTE_ANNOTATION}");
    let (reason, message) = match input.decision.serving.refused_promotion.as_ref()? {
        RefusedPromotion::NotFound => (Reason::RevisionNotFound, not_in_store(input, &field, requested)),
        RefusedPromotion::MayNotServe(judged) => {
            let (reason, why) = block(input, judged)?;
            (reason, format!("{field}: {requested} may not serve: {why}"))
        }
    };
    Some(ConditionUpdate::is(ConditionType::Stalled, reason, message))
}

/// Message about a named revision that does not exist.
fn not_in_store(input: StatusInput<'_>, field: &str, named: &str) -> String {
    let mut revisions: Vec<&str> = Vec::new();
    for revision in input.results().filter_map(result_digest).map(Digest::revision) {
        if !revisions.contains(&revision) {
            revisions.push(revision);
        }
    }
    let available = if revisions.is_empty() {
        "no revision is available yet".to_owned()
    } else {
        format!("available revisions: {}", revisions.join(", "))
    };
    format!("{field}: {named} is not in the store; {available}. The current revision keeps serving")
}

/// Reports that only popularity serves until the user acts.
pub(super) fn no_servable_model(input: StatusInput<'_>) -> Option<ConditionUpdate> {
    if !is_popularity_only(input) || input.observed.runs.is_err() {
        return None;
    }
    let (reason, message) = why_popularity_only(input);
    Some(ConditionUpdate::is(ConditionType::Stalled, reason, message))
}

#[cfg(test)]
mod tests;
