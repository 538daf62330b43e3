//! From what was observed and decided to the status. Pure: the time is an argument.

mod serving;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use recommender_crds::{
    ConditionType, HISTORY_ENTRIES_MAX, HistoryEntry, Interval, LastRun, Measurement, ModelMetrics, ModelStatus,
    Reason, RecommenderStatus, Rows, RunOutcome as StatusOutcome,
    condition::{Verdict, merge},
};
use sidecar_contract::{Answers, Metrics, RunOutcome, RunResult, ports};

use crate::{
    decide::{self, Serving, Training},
    names::{Component, selector_text},
    observe::{JobState, Observed},
    validate::Plan,
};

/// All that a status is computed from.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What the user wants.
    pub plan: &'a Plan,
    /// What is the case.
    pub observed: &'a Observed,
    /// What was decided about training.
    pub training: &'a Training,
    /// What should serve.
    pub serving: &'a Serving,
    /// A new model or template waits until other Recommenders have rolled out.
    pub queued: bool,
    /// The status so far: transition times, and what stays said while the store is down.
    pub before: &'a RecommenderStatus,
}

/// The status of a Recommender whose spec can be worked with.
pub fn compute(facts: Facts<'_>, now: Timestamp) -> RecommenderStatus {
    let Facts { plan, observed, training, before, .. } = facts;
    let deployment = observed.deployment.clone().unwrap_or_default();
    let known = observed.runs.is_ok();
    let mut status = RecommenderStatus {
        observed_generation: plan.generation,
        replicas: deployment.replicas,
        ready_replicas: deployment.ready,
        loaded_replicas: serving::loaded(facts),
        selector: selector_text(&plan.name),
        url: format!("http://{}.{}.svc:{}", plan.name, plan.namespace, ports::APP),
        ..RecommenderStatus::default()
    };
    if known {
        status.model = serving_model(facts);
        status.metric = status.model.as_ref().map(metric_text).unwrap_or_default();
        status.last_run = last_run(facts);
        status.failures = failures(facts);
        status.history = history(facts);
        if let Training::Wait { seconds } = training {
            let at = now.as_second().saturating_add(i64::try_from(*seconds).unwrap_or(0));
            // Kept while it is about the same, so that every look does not write.
            let kept = before.next_run_time.clone().filter(|t| (t.0.as_second() - at).abs() <= 5);
            status.next_run_time = kept.or_else(|| time(at));
        }
    } else {
        // The store is down: what was known stays said.
        status.model.clone_from(&before.model);
        status.metric.clone_from(&before.metric);
        status.last_run.clone_from(&before.last_run);
        status.failures = before.failures;
        status.history.clone_from(&before.history);
        status.next_run_time.clone_from(&before.next_run_time);
    }
    status.conditions = merge(&before.conditions, &verdicts(facts, &status), plan.generation, now);
    status
}

/// Whether the pods are what they should be and have what they should have, as far as can be seen.
pub fn has_rolled_out(facts: Facts<'_>) -> bool {
    let wanted = facts.plan.spec.serving.replicas;
    let deployment = facts.observed.deployment.clone().unwrap_or_default();
    let settled = deployment.current && deployment.updated >= wanted && deployment.replicas == wanted;
    !facts.queued
        && settled
        && serving::model_loaded(facts).status == Some(true)
        && serving::available(facts).status == Some(true)
}

/// The status of a Recommender whose spec cannot be worked with, or whose children's names are taken: what serves is left
/// alone, and the user is told.
pub fn stalled(
    before: &RecommenderStatus,
    generation: i64,
    reason: Reason,
    message: &str,
    now: Timestamp,
) -> RecommenderStatus {
    let mut verdicts: Vec<Verdict> = before
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
            Some(Verdict { condition: kind, status, reason, message: condition.message.clone() })
        })
        .collect();
    if !verdicts.iter().any(|v| v.condition == ConditionType::Ready && v.status == Some(true)) {
        verdicts.push(Verdict::is_not(ConditionType::Ready, reason, message));
    }
    verdicts.push(Verdict::is(ConditionType::Stalled, reason, message));
    let conditions = merge(&before.conditions, &verdicts, generation, now);
    RecommenderStatus { observed_generation: generation, conditions, ..before.clone() }
}

fn verdicts(facts: Facts<'_>, status: &RecommenderStatus) -> Vec<Verdict> {
    let Facts { plan, observed, training, .. } = facts;
    let mut verdicts = vec![data_ready(facts), trained(facts), serving::gate(facts)];
    let model_loaded = serving::model_loaded(facts);
    let available = serving::available(facts);
    let answers = model_loaded.status == Some(true) && available.status == Some(true);
    verdicts.push(serving::ready(facts, &model_loaded, &available));
    verdicts.extend(serving::rolled_back(facts));
    let run_is_new = matches!(training, Training::Running { .. } | Training::Replace { .. } | Training::Start { .. })
        && !known_trained(facts);
    let rolling = plan.spec.serving.replicas > 0 && !answers && status.model.is_some();
    let reconciling = if run_is_new {
        Some((Reason::NewGeneration, "a model of this spec is being trained"))
    } else if facts.queued {
        Some((Reason::RolloutQueued, "other Recommenders roll out first; what serves goes on serving"))
    } else if rolling {
        Some((Reason::RollingOut, "pods are starting or loading the model"))
    } else {
        None
    };
    if let Some((reason, message)) = reconciling {
        verdicts.push(Verdict::is(ConditionType::Reconciling, reason, message));
    }
    verdicts.extend(stall(facts));
    if plan.spec.suspend || plan.spec.training.suspend {
        let message = "no new runs start; set suspend to false to go on";
        verdicts.push(Verdict::is(ConditionType::Suspended, Reason::SuspendedByUser, message));
    }
    let short = observed.reports.iter().filter_map(|(pod, report)| Some((pod, report.failure.as_ref()?)));
    if let Some((pod, failure)) = short.into_iter().find(|(_, f)| f.reason == "CapacityInsufficient") {
        let message = format!("pod {pod}: {}", failure.message);
        verdicts.push(Verdict::is(ConditionType::CapacityInsufficient, Reason::MemoryInsufficient, message));
    }
    verdicts.push(model_loaded);
    verdicts.push(available);
    verdicts
}

fn known_trained(facts: Facts<'_>) -> bool {
    facts.observed.runs.as_ref().is_ok_and(|results| decide::is_trained(facts.plan, results))
}

fn results(facts: Facts<'_>) -> &[RunResult] {
    facts.observed.runs.as_deref().unwrap_or_default()
}

/// The newest finished run, if it failed and was of what is wanted now.
fn failed_run(facts: Facts<'_>) -> Option<(&RunResult, &str, &str)> {
    let newest = results(facts).iter().max_by_key(|r| r.run.number)?;
    match &newest.outcome {
        RunOutcome::Failed { reason, message } if newest.run.attempt == decide::attempt(facts.plan) => {
            Some((newest, reason, message))
        }
        _ => None,
    }
}

/// What keeps the training pod from running, if anything does.
fn trainer_trouble(facts: Facts<'_>) -> Option<&crate::observe::Trouble> {
    let Training::Running { .. } = facts.training else { return None };
    let trainers = facts.observed.pods.iter().filter(|pod| pod.component == Some(Component::Trainer));
    trainers.max_by_key(|pod| pod.run).and_then(|pod| pod.trouble.as_ref())
}

/// The Job of the present attempt that failed without a result, if it is the newest word.
fn silent_failure(facts: Facts<'_>) -> Option<(&crate::observe::JobFacts, Reason, String)> {
    let attempt = decide::attempt(facts.plan);
    let job = facts
        .observed
        .jobs
        .iter()
        .filter(|j| j.state == JobState::Failed && j.attempt == attempt)
        .max_by_key(|j| j.run)?;
    if results(facts).iter().any(|r| r.run.number >= job.run) {
        return None;
    }
    let pod = facts.observed.pods.iter().find(|pod| pod.run == Some(job.run));
    if let Some(trouble) = pod.and_then(|pod| pod.trouble.as_ref()).filter(|t| t.reason == Reason::OOMKilled) {
        let message = "the trainer was killed for memory; raise training.resources.limits.memory".to_owned();
        return Some((job, trouble.reason, message));
    }
    if job.reason == "DeadlineExceeded" {
        let message =
            format!("the run took longer than training.deadline, {}; raise it", facts.plan.spec.training.deadline);
        return Some((job, Reason::DeadlineExceeded, message));
    }
    let said = pod.and_then(|pod| pod.hint.as_ref()).map_or_else(|| job.message.clone(), |hint| hint.message.clone());
    Some((job, Reason::TrainingFailed, said))
}

fn data_ready(facts: Facts<'_>) -> Verdict {
    let kind = ConditionType::DataReady;
    if let Some(trouble) = trainer_trouble(facts).filter(|t| t.reason == Reason::ReferenceNotFound) {
        return Verdict::is_not(kind, trouble.reason, &*trouble.message);
    }
    if let Some((_, reason, message)) = failed_run(facts) {
        if let Some(reason @ (Reason::DataInvalid | Reason::SourceNotFound | Reason::TooFewInteractions)) =
            Reason::parse(reason)
        {
            return Verdict::is_not(kind, reason, message);
        }
        return Verdict::is(kind, Reason::DataRead, "the data was read by the last run");
    }
    let newest = results(facts).iter().max_by_key(|r| r.run.number);
    match newest {
        Some(result) => {
            let rows = &result.rows;
            let dropped: u64 = rows.dropped.values().sum();
            let message =
                format!("{} of {} rows kept, {dropped} dropped, {} merged", rows.kept, rows.read, rows.merged);
            Verdict::is(kind, Reason::DataRead, message)
        }
        None => Verdict::unknown(kind, Reason::DataNotChecked, "no run has read the data yet"),
    }
}

fn trained(facts: Facts<'_>) -> Verdict {
    let kind = ConditionType::Trained;
    if let Err(problem) = &facts.observed.runs {
        let message = format!("the store does not answer, what is trained is unknown: {problem}");
        return Verdict::unknown(kind, Reason::StoreUnreachable, message);
    }
    if let Some(trouble) = trainer_trouble(facts) {
        return Verdict::is_not(kind, Reason::TrainingPending, &*trouble.message);
    }
    if known_trained(facts) {
        let run = results(facts)
            .iter()
            .filter(|r| r.config_hash == decide::config_hash(facts.plan))
            .map(|r| r.run.number)
            .max();
        let message = format!("run {} trained a model of this spec", run.unwrap_or_default());
        return Verdict::is(kind, Reason::TrainingSucceeded, message);
    }
    let running =
        matches!(facts.training, Training::Running { .. } | Training::Start { .. } | Training::Replace { .. });
    let failure = failed_run(facts)
        .map(|(_, reason, message)| (Reason::parse(reason).unwrap_or(Reason::TrainingFailed), message.to_owned()))
        .or_else(|| silent_failure(facts).map(|(_, reason, message)| (reason, message)));
    match (failure, facts.training) {
        (Some((reason, message)), _) => Verdict::is_not(kind, reason, message),
        (None, _) if running => Verdict::is_not(kind, Reason::TrainingRunning, "a run is under way"),
        (None, _) => Verdict::is_not(kind, Reason::TrainingPending, "no run has made a model of this spec"),
    }
}

/// What only the user can mend.
fn stall(facts: Facts<'_>) -> Option<Verdict> {
    let kind = ConditionType::Stalled;
    if let Some(trouble) = trainer_trouble(facts).filter(|t| t.reason == Reason::ReferenceNotFound) {
        return Some(Verdict::is(kind, trouble.reason, &*trouble.message));
    }
    if let Some(stall) = serving::pin_not_found(facts) {
        return Some(stall);
    }
    if let Some((_, reason, message)) = failed_run(facts) {
        return Some(Verdict::is(kind, Reason::parse(reason).unwrap_or(Reason::TrainingFailed), message));
    }
    // While a run may change that, nobody has to act.
    let idle = matches!(facts.training, Training::Idle | Training::Wait { .. });
    serving::nothing_may_serve(facts).filter(|_| idle)
}

fn failures(facts: Facts<'_>) -> u32 {
    let attempt = decide::attempt(facts.plan);
    let failed =
        results(facts).iter().filter(|r| r.run.attempt == attempt && matches!(r.outcome, RunOutcome::Failed { .. }));
    u32::try_from(failed.count()).unwrap_or(u32::MAX)
}

fn last_run(facts: Facts<'_>) -> Option<LastRun> {
    let newest = results(facts).iter().max_by_key(|r| r.run.number);
    let running = facts
        .observed
        .jobs
        .iter()
        .filter(|job| job.state == JobState::Running && newest.is_none_or(|r| job.run > r.run.number))
        .max_by_key(|job| job.run);
    if let Some(job) = running {
        return Some(LastRun { number: job.run, attempt: job.attempt.clone(), ..LastRun::default() });
    }
    if let Some((job, reason, message)) = silent_failure(facts) {
        return Some(LastRun {
            number: job.run,
            attempt: job.attempt.clone(),
            outcome: StatusOutcome::Failed,
            reason: reason.to_string(),
            message,
            finished_at: time(job.finished_at),
            ..LastRun::default()
        });
    }
    let result = newest?;
    let (outcome, reason, message) = match &result.outcome {
        RunOutcome::Trained { .. } => (StatusOutcome::Trained, String::new(), String::new()),
        RunOutcome::Unchanged => (StatusOutcome::Unchanged, String::new(), String::new()),
        RunOutcome::Failed { reason, message } => (StatusOutcome::Failed, reason.clone(), message.clone()),
    };
    Some(LastRun {
        number: result.run.number,
        attempt: result.run.attempt.clone(),
        outcome,
        reason,
        message,
        started_at: time(result.started_at),
        finished_at: time(result.finished_at),
        data_version: result.data_version.clone(),
        rows: Some(Rows {
            read: result.rows.read,
            kept: result.rows.kept,
            dropped: result.rows.dropped.clone(),
            merged: result.rows.merged,
        }),
    })
}

fn history(facts: Facts<'_>) -> Vec<HistoryEntry> {
    let mut trained: Vec<(&RunResult, ModelStatus)> =
        results(facts).iter().filter_map(|result| Some((result, model(result)?))).collect();
    trained.sort_by_key(|(result, _)| std::cmp::Reverse(result.run.number));
    let entry = |(result, model): (&RunResult, ModelStatus)| HistoryEntry {
        run: result.run.number,
        metric: metric_text(&model),
        revision: model.revision,
        digest: model.digest,
        trained_at: model.trained_at,
    };
    trained.into_iter().take(HISTORY_ENTRIES_MAX).map(entry).collect()
}

/// The model that should serve: what its run says of it, or, when the run is not there any more, what was said before.
fn serving_model(facts: Facts<'_>) -> Option<ModelStatus> {
    let desired = facts.serving.desired.as_ref().filter(|revision| revision.answers == Answers::Full)?;
    let of_run =
        results(facts).iter().filter(|r| decide::digest(r) == Some(&desired.digest)).max_by_key(|r| r.run.number);
    of_run.and_then(model).or_else(|| {
        let said = facts.before.model.clone().filter(|model| model.digest == desired.digest.as_str());
        Some(said.unwrap_or_else(|| ModelStatus {
            revision: desired.digest.revision().to_owned(),
            digest: desired.digest.as_str().to_owned(),
            snapshot_bytes: desired.snapshot_bytes,
            metrics: desired.metrics.as_ref().map(model_metrics),
            trained_at: time(desired.trained_at),
            ..ModelStatus::default()
        }))
    })
}

fn model(result: &RunResult) -> Option<ModelStatus> {
    let RunOutcome::Trained { digest, snapshot_bytes, algorithm, users, items, interactions, metrics, .. } =
        &result.outcome
    else {
        return None;
    };
    Some(ModelStatus {
        revision: digest.revision().to_owned(),
        digest: digest.as_str().to_owned(),
        algorithm: algorithm.clone(),
        run: result.run.number,
        users: *users,
        items: *items,
        interactions: *interactions,
        snapshot_bytes: *snapshot_bytes,
        metrics: metrics.as_ref().map(model_metrics),
        trained_at: time(result.finished_at),
    })
}

fn model_metrics(metrics: &Metrics) -> ModelMetrics {
    let measurement =
        |m: &sidecar_contract::Measurement| Measurement { recall: m.recall, ndcg: m.ndcg, rmse: m.rmse, mae: m.mae };
    ModelMetrics {
        metric: metrics.metric.clone(),
        k: metrics.k,
        test_users: metrics.test_users,
        model: measurement(&metrics.model),
        baseline: measurement(&metrics.baseline),
        lift: metrics.lift.map(|lift| Interval { estimate: lift.estimate, low: lift.low, high: lift.high }),
    }
}

fn metric_text(model: &ModelStatus) -> String {
    let Some(metrics) = &model.metrics else { return "not measured".to_owned() };
    // Ratings have both; their errors are what the gate looks at.
    let (name, value) = match (metrics.model.rmse, metrics.model.ndcg) {
        (Some(rmse), _) => ("rmse".to_owned(), rmse),
        (None, Some(ndcg)) => (format!("ndcg@{}", metrics.k), ndcg),
        (None, None) => return "not measured".to_owned(),
    };
    let lift = metrics.lift.map(|lift| format!(" ({:+.0} %)", 100.0 * lift.estimate)).unwrap_or_default();
    format!("{name} {value:.3}{lift}")
}

fn time(seconds: i64) -> Option<Time> {
    Timestamp::from_second(seconds).ok().map(Time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metric_column_shows_what_the_gate_looks_at() {
        let text = |metrics: serde_json::Value| {
            metric_text(&ModelStatus { metrics: serde_json::from_value(metrics).unwrap(), ..ModelStatus::default() })
        };
        let ranked = serde_json::json!({"metric": "ndcg", "k": 20, "model": {"ndcg": 0.4123, "recall": 0.3},
            "lift": {"estimate": 0.234, "low": 0.2, "high": 0.3}});
        assert_eq!(text(ranked), "ndcg@20 0.412 (+23 %)");
        let rated = serde_json::json!({"metric": "rmse", "k": 10, "model": {"rmse": 0.9114, "mae": 0.7, "ndcg": 0.1},
            "lift": {"estimate": 0.032, "low": 0.01, "high": 0.05}});
        assert_eq!(text(rated), "rmse 0.911 (+3 %)");
        assert_eq!(text(serde_json::json!({"metric": "rmse", "model": {"rmse": 1.5}})), "rmse 1.500");
        assert_eq!(text(serde_json::Value::Null), "not measured");
    }
}
