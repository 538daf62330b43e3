//! Computes the status from the decisions and from what was applied. Pure: the time is an argument.

mod access;
mod batch;
mod block;
mod catalogue;
mod composition;
mod data;
mod gate;
mod model;
mod reason;
mod serving;
mod stall;
mod training;

pub use self::composition::{CompositionInput, composition, composition_has_rolled_out};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use recommender_crds::{
    ConditionType, Reason, RecommenderStatus,
    condition::{ConditionUpdate, is_true, merge},
};
use sidecar_contract::{RevisionRef, RevisionRole, RunResult, ports};

use crate::{
    applied::{Applied, JobOutcome},
    decide::{Choice, Decision, TrainingDecision},
    names::selector_text,
    observed::{JobFacts, Observed, PodFacts},
    validate::Plan,
};

/// Input of the status.
#[derive(Clone, Copy, Debug)]
pub struct StatusInput<'a> {
    /// The validated spec.
    pub plan: &'a Plan,
    /// The observed runs, pods and reports.
    pub observed: &'a Observed,
    /// The decisions.
    pub decision: &'a Decision,
    /// The children as the API server returned them.
    pub applied: &'a Applied,
    /// Maximum number of Recommenders that train concurrently.
    pub trainings_max: usize,
    /// Whether the installation signs certificates.
    pub signs: bool,
    /// The current status: transition times, and the last known values for use while the store is
    /// down.
    pub before: &'a RecommenderStatus,
}

impl<'a> StatusInput<'a> {
    /// The revision that the pods should load, by the serving config in force.
    fn desired(self) -> Option<&'a RevisionRef> {
        self.applied.rollout.config.as_ref()?.revision(RevisionRole::Desired)
    }

    /// Why that revision is desired.
    fn choice(self) -> Choice {
        if self.applied.rollout.queued {
            return self.decision.serving_while_queued.choice;
        }
        self.decision.serving.choice
    }

    /// The finished runs whose results are in the store.
    fn results(self) -> impl Iterator<Item = &'a RunResult> {
        let deleted = &self.applied.deleted_runs;
        self.observed.results().iter().filter(move |result| !deleted.contains(&result.run))
    }
}

/// The status of a Recommender whose spec is valid.
pub fn compute(input: StatusInput<'_>, now: Timestamp) -> RecommenderStatus {
    let StatusInput { plan, observed, decision, applied, before, .. } = input;
    let deployment = applied.rollout.deployment.clone().unwrap_or_default();
    let mut status = RecommenderStatus {
        observed_generation: plan.generation,
        replicas: deployment.replicas,
        ready_replicas: deployment.ready,
        loaded_replicas: serving::loaded(input),
        selector: selector_text(&plan.name),
        algorithm: plan.training.algorithm.name().to_owned(),
        url: format!("http://{}.{}.svc:{}", plan.name, plan.namespace, ports::APP),
        access: Some(access::mode(plan, input.signs)),
        ..RecommenderStatus::default()
    };
    if observed.runs.is_ok() {
        status.model = model::serving(input);
        status.metric = status.model.as_ref().map(model::metric_text).unwrap_or_default();
        status.last_run = training::last_run(input);
        status.failures = decision.progress.failures.count;
        status.last_handled_retrain_at = training::last_handled_retrain_at(input);
        status.history = model::history(input);
        if let TrainingDecision::Idle { next: Some(next) } = decision.training {
            status.next_run_time = time(next);
        }
        if let TrainingDecision::Wait { seconds } = decision.training {
            let at = now.as_second().saturating_add(i64::try_from(seconds).unwrap_or(0));
            // An approximately equal time is kept, so that not every reconcile writes the status.
            let unchanged = before.next_run_time.clone().filter(|t| (t.0.as_second() - at).abs() <= 5);
            status.next_run_time = unchanged.or_else(|| time(at));
        }
    } else {
        // The store is down: keep the last known status.
        status.model.clone_from(&before.model);
        status.metric.clone_from(&before.metric);
        status.last_run.clone_from(&before.last_run);
        status.failures = before.failures;
        status.last_handled_retrain_at.clone_from(&before.last_handled_retrain_at);
        status.history.clone_from(&before.history);
        status.next_run_time.clone_from(&before.next_run_time);
    }
    status.batch = batch::status(input);
    status.catalogue = catalogue::status(input);
    status.conditions = merge(&before.conditions, &condition_updates(input, &status), plan.generation, now);
    status.reason = reason::reason(&status.conditions);
    status
}

/// Whether all pods have the applied template and serving config, and have loaded the desired
/// revision.
pub fn has_rolled_out(input: StatusInput<'_>) -> bool {
    let desired = input.plan.spec.serving.replicas;
    let Applied { rollout, config_pending, .. } = input.applied;
    let deployment = rollout.deployment.clone().unwrap_or_default();
    let settled = deployment.current && deployment.updated >= desired && deployment.replicas == desired;
    !rollout.queued
        && !config_pending
        && settled
        && serving::model_loaded(input).status == Some(true)
        && serving::available(input).status == Some(true)
}

/// Whether the Recommender need not be polled: the pods have reached the desired state. A store
/// that failed states itself when to read it again.
pub fn has_settled(input: StatusInput<'_>, status: &RecommenderStatus) -> bool {
    let is_true = |kind| is_true(&status.conditions, kind);
    let serves = is_true(ConditionType::ModelLoaded) && is_true(ConditionType::ServingAvailable);
    let is_loading = input.plan.spec.serving.replicas > 0 && status.model.is_some() && !serves;
    // What keeps a Job without a pod, or a pod, from starting is looked up some seconds after its
    // creation. No watched object may change until then.
    let Observed { jobs, pods, .. } = input.observed;
    let is_without_pod = |job: &JobFacts| job.problem.is_none() && job.is_without_pod(pods);
    let is_starting = jobs.iter().any(is_without_pod) || pods.iter().any(PodFacts::is_starting);
    !input.applied.config_pending && !is_starting && !is_loading && !is_true(ConditionType::Reconciling)
}

/// The status of a Recommender that cannot be reconciled, for example because its spec is invalid
/// or names conflict. The current revision keeps serving.
pub fn stalled(
    before: &RecommenderStatus,
    generation: i64,
    reason: Reason,
    message: &str,
    now: Timestamp,
) -> RecommenderStatus {
    let mut updates: Vec<ConditionUpdate> = before
        .conditions
        .iter()
        .filter_map(|condition| {
            let kind = ConditionType::parse(&condition.type_)?;
            if matches!(kind, ConditionType::Reconciling | ConditionType::Stalled) {
                return None;
            }
            let status = match condition.status.as_str() {
                "True" => Some(true),
                "False" => Some(false),
                _ => None,
            };
            let reason = Reason::parse(&condition.reason).unwrap_or(reason);
            Some(ConditionUpdate { condition: kind, status, reason, message: condition.message.clone() })
        })
        .collect();
    if !updates.iter().any(|update| update.condition == ConditionType::Ready && update.status == Some(true)) {
        updates.push(ConditionUpdate::is_not(ConditionType::Ready, reason, message));
    }
    updates.push(ConditionUpdate::is(ConditionType::Stalled, reason, message));
    let conditions = merge(&before.conditions, &updates, generation, now);
    let reason = reason::reason(&conditions);
    RecommenderStatus { observed_generation: generation, conditions, reason, ..before.clone() }
}

/// Whether the last reconcile stopped before it applied the generation that it observed.
fn was_not_applied(before: &RecommenderStatus) -> bool {
    let stalled = before.conditions.iter().find(|c| c.type_ == ConditionType::Stalled.as_str() && c.status == "True");
    stalled.is_some_and(|c| matches!(Reason::parse(&c.reason), Some(Reason::InvalidSpec | Reason::NameConflict)))
}

fn condition_updates(input: StatusInput<'_>, status: &RecommenderStatus) -> Vec<ConditionUpdate> {
    let StatusInput { plan, observed, decision, applied, before, .. } = input;
    let mut updates = vec![data::condition(input), training::trained(input), gate::condition(input)];
    let model_loaded = serving::model_loaded(input);
    let available = serving::available(input);
    let serves = model_loaded.status == Some(true) && available.status == Some(true);
    updates.push(serving::ready(input, &model_loaded));
    updates.extend(serving::rolled_back(input));
    let trains_new_spec = applied.job.uses_slot() && !decision.progress.is_trained();
    // Only a new generation is Reconciling; a model of the schedule or of new data rolls out
    // without that condition.
    let generation_is_new = before.observed_generation != plan.generation
        || is_true(&before.conditions, ConditionType::Reconciling)
        || was_not_applied(before);
    let rolling_out = plan.spec.serving.replicas > 0 && !serves && status.model.is_some();
    let reconciling = if trains_new_spec && applied.job == JobOutcome::Queued {
        Some((Reason::TrainingQueued, "training of this spec is queued behind other trainings"))
    } else if trains_new_spec {
        Some((Reason::NewGeneration, "a model of this spec is being trained"))
    } else if !generation_is_new {
        None
    } else if applied.rollout.queued {
        Some((Reason::RolloutQueued, "the rollout waits for other Recommenders; the current revision keeps serving"))
    } else if rolling_out {
        Some((Reason::RollingOut, "pods are starting or loading the model"))
    } else {
        None
    };
    if let Some((reason, message)) = reconciling {
        updates.push(ConditionUpdate::is(ConditionType::Reconciling, reason, message));
    }
    updates.extend(stall::stall(input));
    updates.extend(training::capacity(input));
    if is_suspended(plan) {
        let message = "no new runs start; set suspend to false to resume";
        updates.push(ConditionUpdate::is(ConditionType::Suspended, Reason::SuspendedByUser, message));
    }
    let mut failures = observed.reports.iter().filter_map(|(pod, report)| Some((pod, report.failure.as_ref()?)));
    if let Some((pod, failure)) = failures.find(|(_, f)| f.reason == "CapacityInsufficient") {
        let message = format!("pod {pod}: {}", failure.message);
        updates.push(ConditionUpdate::is(ConditionType::CapacityInsufficient, Reason::MemoryInsufficient, message));
    }
    updates.extend(batch::failed(input));
    updates.extend(catalogue::held(input));
    updates.push(model_loaded);
    updates.push(available);
    updates
}

/// Whether the spec stops new runs.
fn is_suspended(plan: &Plan) -> bool {
    plan.spec.suspend || plan.spec.training.suspend
}

/// A fraction as a percentage with its sign: `+2.5 %`.
fn percent(fraction: f64) -> String {
    format!("{:+.1} %", 100.0 * fraction)
}

/// A fraction as a percentage: `2.5 %`.
fn percent_of(fraction: f64) -> String {
    format!("{:.1} %", 100.0 * fraction)
}

fn time(seconds: i64) -> Option<Time> {
    Timestamp::from_second(seconds).ok().map(Time)
}

#[cfg(test)]
mod table;
