//! What the conditions say of gate, pin, promotion, and of the pods that serve.

use recommender_crds::{ConditionType, Promotion, Reason, condition::Verdict};
use sidecar_contract::{Answers, Digest, LoadFailure, LoadedModel, RunOutcome, RunResult};

use super::{Facts, results, training::trained};
use crate::{
    decide::{self, Choice},
    names::{Component, PROMOTE_ANNOTATION},
};

pub(super) fn gate(facts: Facts<'_>) -> Verdict {
    let kind = ConditionType::QualityGatePassed;
    if facts.serving.choice == Choice::Pinned {
        return pinned(facts);
    }
    let Some(newest) = newest_trained(facts) else {
        return Verdict::unknown(kind, Reason::NotEvaluated, "there is no model to judge yet");
    };
    match decide::gate(facts.plan, newest) {
        decide::Verdict::Passed { low } => {
            Verdict::is(kind, Reason::GatePassed, format!("lift over the baseline is at least {:+.1} %", 100.0 * low))
        }
        decide::Verdict::Failed { low, wanted } => {
            let message = format!(
                "lift over the baseline may be as low as {:+.1} %, and evaluation.gate.minLiftOverBaseline asks for {:+.1} %; tune algorithm.als (more regularization, fewer factors), or lower the gate",
                100.0 * low,
                100.0 * wanted
            );
            Verdict::is_not(kind, Reason::GateFailed, message)
        }
        decide::Verdict::Regressed { low, allowed } => {
            let message = format!(
                "against the model that served, the lift may be as low as {:+.1} %, and evaluation.gate.maxRegression allows {:+.1} %; that model goes on serving. Change the parameters, or raise maxRegression",
                100.0 * low,
                -100.0 * allowed
            );
            Verdict::is_not(kind, Reason::Regressed, message)
        }
        decide::Verdict::Unknown => {
            Verdict::unknown(kind, Reason::TooFewTestUsers, "too few users with kept rows to compare with the baseline")
        }
    }
}

/// The gate's word on a pinned revision, which serves whatever it is.
fn pinned(facts: Facts<'_>) -> Verdict {
    let pin = decide::pin(facts.plan).unwrap_or_default();
    let named = results(facts).iter().filter(|result| decide::digest(result).is_some_and(|d| decide::names(pin, d)));
    let status = named.max_by_key(|result| result.run.number).and_then(|r| match decide::gate(facts.plan, r) {
        decide::Verdict::Passed { .. } => Some(true),
        decide::Verdict::Failed { .. } | decide::Verdict::Regressed { .. } => Some(false),
        decide::Verdict::Unknown => None,
    });
    let message =
        format!("model.revision pins {pin}, which serves whatever the gate says; remove the field to go back");
    Verdict { condition: ConditionType::QualityGatePassed, status, reason: Reason::PinnedByUser, message }
}

fn newest_trained(facts: Facts<'_>) -> Option<&RunResult> {
    let trained = results(facts).iter().filter(|r| matches!(r.outcome, RunOutcome::Trained { .. }));
    trained.max_by_key(|r| r.run.number)
}

/// Pods that answer with what should serve.
pub(super) fn loaded(facts: Facts<'_>) -> i32 {
    let Some(desired) = &facts.serving.desired else { return 0 };
    let fits = |loaded: &LoadedModel| loaded.digest == desired.digest && loaded.answers == desired.answers;
    let count = facts.observed.reports.iter().filter(|(_, report)| report.loaded.as_ref().is_some_and(fits)).count();
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn load_failure(facts: Facts<'_>) -> Option<(&str, &LoadFailure)> {
    facts.observed.reports.iter().find_map(|(pod, report)| Some((pod.as_str(), report.failure.as_ref()?)))
}

pub(super) fn model_loaded(facts: Facts<'_>) -> Verdict {
    let kind = ConditionType::ModelLoaded;
    let wanted = facts.plan.spec.serving.replicas;
    let Some(desired) = &facts.serving.desired else {
        return Verdict::is_not(kind, Reason::NoModel, "there is no model to load yet");
    };
    if let Some((pod, failure)) = load_failure(facts) {
        let reason = if failure.reason == "DigestMismatch" { Reason::DigestMismatch } else { Reason::LoadFailed };
        let message = format!("pod {pod} cannot load {}: {}", failure.digest.revision(), failure.message);
        return Verdict::is_not(kind, reason, message);
    }
    let loaded = loaded(facts);
    let what = match desired.answers {
        Answers::Full => "the model",
        Answers::Popular => "what is popular",
    };
    let message = format!("{loaded} of {wanted} pods answer with {what}");
    if loaded >= wanted {
        return Verdict::is(kind, Reason::Loaded, message);
    }
    Verdict::is_not(kind, Reason::Loading, message)
}

pub(super) fn available(facts: Facts<'_>) -> Verdict {
    let kind = ConditionType::ServingAvailable;
    let wanted = facts.plan.spec.serving.replicas;
    if wanted == 0 {
        return Verdict::is(kind, Reason::ScaledToZero, "serving.replicas is 0");
    }
    let ready = facts.observed.deployment.as_ref().map_or(0, |deployment| deployment.ready);
    let message = format!("{ready} of {wanted} pods are ready");
    if ready >= wanted {
        return Verdict::is(kind, Reason::ReplicasAvailable, message);
    }
    let serving = facts.observed.pods.iter().filter(|pod| pod.component == Some(Component::Serving));
    let trouble = serving.filter_map(|pod| pod.trouble.as_ref()).map(|t| format!("; {}", t.message)).next();
    Verdict::is_not(kind, Reason::ReplicasUnavailable, format!("{message}{}", trouble.unwrap_or_default()))
}

pub(super) fn ready(facts: Facts<'_>, model_loaded: &Verdict, available: &Verdict) -> Verdict {
    let kind = ConditionType::Ready;
    if facts.serving.desired.is_none() {
        return Verdict::is_not(kind, Reason::AwaitingFirstModel, trained(facts).message);
    }
    if facts.serving.choice == Choice::PopularOnly {
        let message = format!("what is popular answers until a model may serve: {}", why_not(facts));
        return Verdict::is_not(kind, Reason::AwaitingFirstModel, message);
    }
    if facts.plan.spec.serving.replicas == 0 {
        return Verdict::is(kind, Reason::ScaledToZero, "trained; serving.replicas is 0");
    }
    if available.status != Some(true) {
        return Verdict::is_not(kind, available.reason, &*available.message);
    }
    // Every ready pod answers, with this revision or the last good one.
    let mut message = if model_loaded.status == Some(true) {
        model_loaded.message.clone()
    } else {
        format!("the last good model answers: {}", model_loaded.message)
    };
    if let Some(how) = promotion(facts) {
        message = format!("{message}; {how}");
    }
    Verdict::is(kind, Reason::Serving, message)
}

/// Why no model may serve yet.
fn why_not(facts: Facts<'_>) -> String {
    promotion(facts).unwrap_or_else(|| gate(facts).message)
}

/// The exact command that promotes a waiting revision, where people promote.
fn promotion(facts: Facts<'_>) -> Option<String> {
    let plan = facts.plan;
    if plan.spec.promotion != Promotion::Manual || plan.spec.suspend || decide::pin(plan).is_some() {
        return None;
    }
    let revision = waiting(facts)?.revision();
    Some(format!(
        "revision {revision} passed the gate and waits for you: kubectl -n {} annotate --overwrite recommender {} {PROMOTE_ANNOTATION}={revision}",
        plan.namespace, plan.name
    ))
}

/// A revision that passed and does not answer with its factors.
fn waiting(facts: Facts<'_>) -> Option<&Digest> {
    let newer = facts.serving.candidate.as_ref();
    if newer.is_some() || facts.serving.choice != Choice::PopularOnly {
        return newer;
    }
    let newest = newest_trained(facts)?;
    decide::digest(newest).filter(|_| decide::gate(facts.plan, newest).may_serve())
}

/// Says that an older model serves than the newest that may.
pub(super) fn rolled_back(facts: Facts<'_>) -> Option<Verdict> {
    let kind = ConditionType::RolledBack;
    let desired = facts.serving.desired.as_ref()?;
    if facts.serving.choice == Choice::Pinned {
        let newer = facts.serving.candidate.as_ref()?;
        let message = format!(
            "model.revision pins {}; {} serves once the field is removed",
            desired.digest.revision(),
            newer.revision()
        );
        return Some(Verdict::is(kind, Reason::PinnedByUser, message));
    }
    let (pod, failure) = load_failure(facts).filter(|(_, failure)| failure.digest == desired.digest)?;
    let answering: Vec<&LoadedModel> =
        facts.observed.reports.iter().filter_map(|(_, report)| report.loaded.as_ref()).collect();
    if answering.iter().any(|loaded| loaded.digest == desired.digest) {
        return None; // Some pod has it: the others are to follow.
    }
    let message = format!(
        "{} answers, because pod {pod} cannot load {}: {}",
        answering.first()?.digest.revision(),
        desired.digest.revision(),
        failure.message
    );
    Some(Verdict::is(kind, Reason::LastGoodServes, message))
}

/// A pin that names nothing that is kept. Nobody can tell as long as the store is down.
pub(super) fn pin_not_found(facts: Facts<'_>) -> Option<Verdict> {
    if facts.serving.choice != Choice::PinNotFound || facts.observed.runs.is_err() {
        return None;
    }
    let pin = decide::pin(facts.plan)?;
    let kept: Vec<&str> = results(facts).iter().filter_map(decide::digest).map(Digest::revision).collect();
    let kept =
        if kept.is_empty() { "no revision is kept yet".to_owned() } else { format!("kept are {}", kept.join(", ")) };
    let message = format!("model.revision: {pin} is not in the store; {kept}. What served goes on serving");
    Some(Verdict::is(ConditionType::Stalled, Reason::RevisionNotFound, message))
}

/// Popularity answers, and only the user can change that.
pub(super) fn nothing_may_serve(facts: Facts<'_>) -> Option<Verdict> {
    if facts.serving.choice != Choice::PopularOnly || facts.observed.runs.is_err() {
        return None;
    }
    let reason = if promotion(facts).is_some() { Reason::AwaitingPromotion } else { gate(facts).reason };
    Some(Verdict::is(ConditionType::Stalled, reason, why_not(facts)))
}

#[cfg(test)]
mod tests;
