//! Conditions of the quality gate, pinning, promotion and the serving pods.

use recommender_crds::{ConditionType, Reason, condition::ConditionUpdate};
use sidecar_contract::{Digest, LoadFailure, LoadedModel, Open, ServingMode};

use super::{StatusInput, training::trained};
use crate::{
    decide::{Choice, GateVerdict, result_digest},
    names::{Component, PROMOTE_ANNOTATION},
};

pub(super) fn gate(input: StatusInput<'_>) -> ConditionUpdate {
    let kind = ConditionType::QualityGatePassed;
    if input.choice() == Choice::Pinned {
        return pinned(input);
    }
    let Some(verdict) = &input.decision.gate else {
        return ConditionUpdate::unknown(kind, Reason::NotEvaluated, "no model has been trained yet");
    };
    match verdict {
        GateVerdict::Passed { low } => ConditionUpdate::is(
            kind,
            Reason::GatePassed,
            format!("the lower bound of the lift over the baseline is {:+.1} %", 100.0 * low),
        ),
        GateVerdict::Failed { low, required } => {
            let message = format!(
                "the lower bound of the lift over the baseline is {:+.1} %, but evaluation.gate.minLiftOverBaseline requires {:+.1} %; tune algorithm.als (more regularization, fewer factors), or lower minLiftOverBaseline",
                100.0 * low,
                100.0 * required
            );
            ConditionUpdate::is_not(kind, Reason::GateFailed, message)
        }
        GateVerdict::Regressed { low, allowed } => {
            let message = format!(
                "the lower bound of the lift over the model that served before is {:+.1} %, but evaluation.gate.maxRegression allows {:+.1} %; the current revision keeps serving. Tune the parameters, or raise maxRegression",
                100.0 * low,
                -100.0 * allowed
            );
            ConditionUpdate::is_not(kind, Reason::Regressed, message)
        }
        GateVerdict::Unknown => ConditionUpdate::unknown(
            kind,
            Reason::TooFewTestUsers,
            "the held-out set has too few users for a comparison with the baseline",
        ),
    }
}

/// Verdict of the gate on the pinned revision, which serves regardless.
fn pinned(input: StatusInput<'_>) -> ConditionUpdate {
    let pin = input.plan.pin().unwrap_or_default();
    let status = match input.decision.gate {
        Some(GateVerdict::Passed { .. }) => Some(true),
        Some(GateVerdict::Failed { .. } | GateVerdict::Regressed { .. }) => Some(false),
        Some(GateVerdict::Unknown) | None => None,
    };
    let message =
        format!("model.revision pins {pin}, which serves regardless of the gate; remove the field to unpin it");
    ConditionUpdate { condition: ConditionType::QualityGatePassed, status, reason: Reason::PinnedByUser, message }
}

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

pub(super) fn model_loaded(input: StatusInput<'_>) -> ConditionUpdate {
    let kind = ConditionType::ModelLoaded;
    let desired_replicas = input.plan.spec.serving.replicas;
    let Some(desired) = input.desired() else {
        return ConditionUpdate::is_not(kind, Reason::NoModel, "no model has been trained yet");
    };
    if let Some((pod, failure)) = load_failure(input) {
        let reason = if failure.reason == "DigestMismatch" { Reason::DigestMismatch } else { Reason::LoadFailed };
        let message = format!("pod {pod} cannot load {}: {}", failure.digest.revision(), failure.message);
        return ConditionUpdate::is_not(kind, reason, message);
    }
    let loaded = loaded(input);
    let source = match &desired.serving_mode {
        Open::Known(ServingMode::Personalized) => "the model",
        Open::Known(ServingMode::PopularityOnly) => "popularity only",
        Open::Unknown(mode) => mode,
    };
    let message = format!("{loaded} of {desired_replicas} pods serve {source}");
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
    let ready = input.applied.rollout.deployment.as_ref().map_or(0, |deployment| deployment.ready);
    let message = format!("{ready} of {desired_replicas} pods are ready");
    if ready >= desired_replicas {
        return ConditionUpdate::is(kind, Reason::ReplicasAvailable, message);
    }
    let serving = input.observed.pods.iter().filter(|pod| pod.component == Some(Component::Serving));
    let problem = serving.filter_map(|pod| pod.problem.as_ref()).map(|t| format!("; {}", t.message)).next();
    ConditionUpdate::is_not(kind, Reason::ReplicasUnavailable, format!("{message}{}", problem.unwrap_or_default()))
}

pub(super) fn ready(
    input: StatusInput<'_>,
    model_loaded: &ConditionUpdate,
    available: &ConditionUpdate,
) -> ConditionUpdate {
    let kind = ConditionType::Ready;
    if input.desired().is_none() {
        return ConditionUpdate::is_not(kind, Reason::AwaitingFirstModel, trained(input).message);
    }
    if input.choice() == Choice::PopularityOnly {
        let message = format!("serving popularity only until a model passes the gate: {}", gate_block_reason(input));
        return ConditionUpdate::is_not(kind, Reason::AwaitingFirstModel, message);
    }
    if input.plan.spec.serving.replicas == 0 {
        return ConditionUpdate::is(kind, Reason::ScaledToZero, "a model is trained; serving.replicas is 0");
    }
    if available.status != Some(true) {
        return ConditionUpdate::is_not(kind, available.reason, &*available.message);
    }
    // Every ready pod serves the desired or the last good revision.
    let mut message = if model_loaded.status == Some(true) {
        model_loaded.message.clone()
    } else {
        format!("serving the last good revision: {}", model_loaded.message)
    };
    if let Some(instructions) = promotion(input) {
        message = format!("{message}; {instructions}");
    }
    ConditionUpdate::is(kind, Reason::Serving, message)
}

/// Why no model may serve yet.
fn gate_block_reason(input: StatusInput<'_>) -> String {
    promotion(input).unwrap_or_else(|| gate(input).message)
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
    let pin = input.plan.pin()?;
    let revisions: Vec<&str> = input.results().filter_map(result_digest).map(Digest::revision).collect();
    let available = if revisions.is_empty() {
        "no revision is available yet".to_owned()
    } else {
        format!("available revisions: {}", revisions.join(", "))
    };
    let message = format!("model.revision: {pin} is not in the store; {available}. The current revision keeps serving");
    Some(ConditionUpdate::is(ConditionType::Stalled, Reason::RevisionNotFound, message))
}

/// Reports that only popularity serves until the user acts.
pub(super) fn no_servable_model(input: StatusInput<'_>) -> Option<ConditionUpdate> {
    if input.choice() != Choice::PopularityOnly || input.observed.runs.is_err() {
        return None;
    }
    let reason = if promotion(input).is_some() { Reason::AwaitingPromotion } else { gate(input).reason };
    Some(ConditionUpdate::is(ConditionType::Stalled, reason, gate_block_reason(input)))
}

#[cfg(test)]
mod tests;
