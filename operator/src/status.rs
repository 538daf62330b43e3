//! From what was observed and decided to the status. Pure: the time is an argument.

mod serving;
mod training;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use recommender_crds::{
    ConditionType, HISTORY_ENTRIES_MAX, HistoryEntry, Interval, Measurement, ModelMetrics, ModelParameters,
    ModelStatus, Reason, RecommenderStatus,
    condition::{Verdict, merge},
};
use sidecar_contract::{Algorithm, Answers, Metrics, RunOutcome, RunResult, ports};

use crate::{
    decide::{self, Serving, Training},
    names::selector_text,
    observe::Observed,
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
    /// How many Recommenders may train at once.
    pub trainings_max: usize,
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
        status.last_run = training::last_run(facts);
        status.failures = training::failures(facts);
        status.last_handled_retrain_at = training::last_handled_retrain_at(facts);
        status.history = history(facts);
        if let Training::Idle { next: Some(next) } = training {
            status.next_run_time = time(*next);
        }
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
        status.last_handled_retrain_at.clone_from(&before.last_handled_retrain_at);
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

/// Whether pods are still to become what the status says that they should be.
pub fn is_settling(plan: &Plan, status: &RecommenderStatus) -> bool {
    let is_true = |kind| recommender_crds::condition::is_true(&status.conditions, kind);
    let answers = is_true(ConditionType::ModelLoaded) && is_true(ConditionType::ServingAvailable);
    is_true(ConditionType::Reconciling) || (plan.spec.serving.replicas > 0 && status.model.is_some() && !answers)
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
    let Facts { plan, observed, training, before, .. } = facts;
    let mut verdicts = vec![training::data_ready(facts), training::trained(facts), serving::gate(facts)];
    let model_loaded = serving::model_loaded(facts);
    let available = serving::available(facts);
    let answers = model_loaded.status == Some(true) && available.status == Some(true);
    verdicts.push(serving::ready(facts, &model_loaded, &available));
    verdicts.extend(serving::rolled_back(facts));
    let trains = matches!(
        training,
        Training::Running { .. } | Training::Replace { .. } | Training::Start { .. } | Training::Queued
    );
    let run_is_new = trains && !training::known_trained(facts);
    // What comes with a generation; a model that came by the schedule or with new data rolls out quietly.
    let rolls_out_generation = before.observed_generation != plan.generation
        || recommender_crds::condition::is_true(&before.conditions, ConditionType::Reconciling);
    let rolling = plan.spec.serving.replicas > 0 && !answers && status.model.is_some();
    let reconciling = if run_is_new && *training == Training::Queued {
        Some((Reason::TrainingQueued, "a model of this spec waits for other trainings"))
    } else if run_is_new {
        Some((Reason::NewGeneration, "a model of this spec is being trained"))
    } else if !rolls_out_generation {
        None
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
    verdicts.extend(training::stall(facts));
    verdicts.extend(training::capacity(facts));
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

fn results(facts: Facts<'_>) -> &[RunResult] {
    facts.observed.runs.as_deref().unwrap_or_default()
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
    let RunOutcome::Trained {
        digest, snapshot_bytes, algorithm, parameters, users, items, interactions, metrics, ..
    } = &result.outcome
    else {
        return None;
    };
    Some(ModelStatus {
        revision: digest.revision().to_owned(),
        digest: digest.as_str().to_owned(),
        algorithm: algorithm.clone(),
        parameters: parameters.as_ref().map(parameters_of),
        run: result.run.number,
        users: *users,
        items: *items,
        interactions: *interactions,
        snapshot_bytes: *snapshot_bytes,
        metrics: metrics.as_ref().map(model_metrics),
        trained_at: time(result.finished_at),
    })
}

/// By the names of the spec.
fn parameters_of(algorithm: &Algorithm) -> ModelParameters {
    match algorithm {
        Algorithm::Als(als) => ModelParameters {
            factors: als.factors,
            iterations: Some(als.iterations),
            regularization: als.regularization,
            regularization_exponent: Some(als.regularization_exponent),
            unobserved_weight: Some(als.unobserved_weight),
            degree_exponent: Some(als.degree_exponent),
            degree_return: Some(als.degree_return).filter(|share| *share > 0.0),
            samples: Some(als.samples).filter(|samples| *samples > 0),
            ..ModelParameters::default()
        },
        Algorithm::Svd(svd) => ModelParameters {
            factors: svd.factors,
            iterations: Some(svd.iterations),
            degree_exponent: Some(svd.degree_exponent),
            ..ModelParameters::default()
        },
        Algorithm::Bpr(bpr) => ModelParameters {
            factors: bpr.factors,
            iterations: Some(bpr.iterations),
            regularization: Some(bpr.regularization),
            learning_rate: Some(bpr.learning_rate),
            ..ModelParameters::default()
        },
    }
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
