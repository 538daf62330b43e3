//! The status of a composition. Pure: the time is an argument.

use k8s_openapi::jiff::Timestamp;
use recommender_crds::{
    ConditionType, Reason, RecommenderStatus,
    condition::{ConditionUpdate, is_true, merge},
};
use sidecar_contract::{CompositionConfig, ports};

use super::{access, reason, serving::pod_problem, stall, was_not_applied};
use crate::{
    applied::AppliedComposition, names::selector_text, observed::Observed, validate::composition::CompositionPlan,
};

/// Input of the status of a composition.
#[derive(Clone, Copy, Debug)]
pub struct CompositionInput<'a> {
    /// The validated spec, and what is wrong with the parts.
    pub plan: &'a CompositionPlan,
    /// The observed pods and reports.
    pub observed: &'a Observed,
    /// The children as the API server returned them.
    pub applied: &'a AppliedComposition,
    /// Whether the installation signs certificates.
    pub signs: bool,
    /// The current status.
    pub before: &'a RecommenderStatus,
}

impl CompositionInput<'_> {
    fn replicas(self) -> i32 {
        self.plan.workload.spec.serving.replicas
    }

    fn ready_pods(self) -> i32 {
        self.applied.rollout.deployment.as_ref().map_or(0, |deployment| deployment.ready)
    }

    /// Number of pods that report the composition.
    fn loaded(self) -> i32 {
        let Some(hash) = self.plan.config().as_ref().map(CompositionConfig::hash) else { return 0 };
        let reports = self.observed.reports.iter();
        let count = reports.filter(|(_, report)| report.config_hash.as_ref() == Some(&hash)).count();
        i32::try_from(count).unwrap_or(i32::MAX)
    }
}

/// The status of a composition whose spec is valid.
pub fn composition(input: CompositionInput<'_>, now: Timestamp) -> RecommenderStatus {
    let CompositionInput { plan, applied, signs, before, .. } = input;
    let workload = &plan.workload;
    let deployment = applied.rollout.deployment.clone().unwrap_or_default();
    let conditions = merge(&before.conditions, &updates(input), workload.generation, now);
    RecommenderStatus {
        observed_generation: workload.generation,
        replicas: deployment.replicas,
        ready_replicas: deployment.ready,
        loaded_replicas: input.loaded(),
        selector: selector_text(&workload.name),
        algorithm: format!("compose:{}", plan.rule.kind()),
        url: format!("http://{}.{}.svc:{}", workload.name, workload.namespace, ports::APP),
        access: Some(access::mode(workload, signs)),
        reason: reason::reason(&conditions),
        conditions,
        ..RecommenderStatus::default()
    }
}

/// Whether all pods have the applied template and composition.
pub fn composition_has_rolled_out(input: CompositionInput<'_>) -> bool {
    let deployment = input.applied.rollout.deployment.clone().unwrap_or_default();
    let desired = input.replicas();
    let settled = deployment.current && deployment.updated >= desired && deployment.replicas == desired;
    !input.applied.rollout.queued && !input.applied.config_pending && settled && input.ready_pods() >= desired
}

fn updates(input: CompositionInput<'_>) -> Vec<ConditionUpdate> {
    let CompositionInput { plan, applied, before, .. } = input;
    let parts = plan.condition();
    let (loaded, available) = (loaded(input), available(input));
    let mut updates = vec![ready(input, &loaded, &available)];
    let generation_is_new = before.observed_generation != plan.workload.generation
        || is_true(&before.conditions, ConditionType::Reconciling)
        || was_not_applied(before);
    if generation_is_new && plan.config().is_some() && !composition_has_rolled_out(input) {
        let (reason, message) = if applied.rollout.queued {
            (Reason::RolloutQueued, "the rollout waits for other Recommenders; the current pods keep serving")
        } else {
            (Reason::RollingOut, "pods are starting or loading the composition")
        };
        updates.push(ConditionUpdate::is(ConditionType::Reconciling, reason, message));
    }
    let problem = plan.problem.as_ref().filter(|problem| !problem.is_partial);
    let stalled = problem.map(|problem| ConditionUpdate::is(ConditionType::Stalled, problem.reason, &*problem.message));
    updates.extend(stall::refused(&applied.refused).or(stalled));
    updates.extend([parts, loaded, available]);
    updates
}

fn loaded(input: CompositionInput<'_>) -> ConditionUpdate {
    let kind = ConditionType::ModelLoaded;
    let desired = input.replicas();
    let Some(config) = input.plan.config() else {
        return ConditionUpdate::is_not(kind, Reason::NoModel, "the composition cannot be served; see PartsReady");
    };
    if input.ready_pods() > 0 && input.observed.reports.is_empty() {
        let message = format!(
            "{} of {desired} pods are ready, but none answers the operator on port {}: allow the operator's pods to connect \
             to it (NetworkPolicy, mutual TLS of a service mesh)",
            input.ready_pods(),
            ports::ADMIN
        );
        return ConditionUpdate::unknown(kind, Reason::PodsUnreachable, message);
    }
    let loaded = input.loaded();
    let message = format!("{loaded} of {desired} pods serve the composition {}", config.rule.digest().revision());
    if loaded >= desired {
        return ConditionUpdate::is(kind, Reason::Loaded, message);
    }
    ConditionUpdate::is_not(kind, Reason::Loading, message)
}

fn available(input: CompositionInput<'_>) -> ConditionUpdate {
    let kind = ConditionType::ServingAvailable;
    let desired = input.replicas();
    if desired == 0 {
        return ConditionUpdate::is(kind, Reason::ScaledToZero, "serving.replicas is 0");
    }
    let ready = input.ready_pods();
    let message = format!("{ready} of {desired} pods are ready");
    if ready >= desired {
        return ConditionUpdate::is(kind, Reason::ReplicasAvailable, message);
    }
    let problem = pod_problem(input.applied.rollout.deployment.as_ref(), input.observed);
    let problem = problem.map(|problem| format!("; {problem}")).unwrap_or_default();
    ConditionUpdate::is_not(kind, Reason::ReplicasUnavailable, format!("{message}{problem}"))
}

/// The pods are ready. A missing part does not make the composition unready: the others answer.
fn ready(input: CompositionInput<'_>, loaded: &ConditionUpdate, available: &ConditionUpdate) -> ConditionUpdate {
    let kind = ConditionType::Ready;
    let before = &input.before.conditions;
    let ready = input.ready_pods();
    let required = if is_true(before, ConditionType::Ready) {
        input.replicas().min(input.before.ready_replicas.max(1))
    } else {
        input.replicas()
    };
    let problem = input.plan.problem.as_ref();
    if let Some(problem) = problem.filter(|problem| !problem.is_partial && (ready == 0 || input.replicas() == 0)) {
        return ConditionUpdate::is_not(kind, problem.reason, &*problem.message);
    }
    if input.replicas() == 0 {
        return ConditionUpdate::is(kind, Reason::ScaledToZero, "serving.replicas is 0");
    }
    if ready < required {
        return ConditionUpdate::is_not(kind, available.reason, &*available.message);
    }
    let message =
        problem.map_or_else(|| loaded.message.clone(), |problem| format!("{}; {}", loaded.message, problem.message));
    ConditionUpdate::is(kind, Reason::Serving, message)
}

#[cfg(test)]
pub(super) mod tests;
