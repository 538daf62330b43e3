//! Tests of the training decision, the gate, and the choice of the desired revision.

use recommender_crds::{Recommender, RecommenderStatus};
use serde_json::{Value, json};

use std::collections::BTreeMap;

use super::{
    Backoff, Progress, RunHistory, Serving, TrainingDecision, TrainingTiming, Trigger, models, serving, training,
};
use crate::{
    names::RETRAIN_AT_ANNOTATION,
    observed::{JobFacts, JobState},
    validate::{self, Plan},
};
use sidecar_contract::{Digest, GateVerdict, Incumbent, RunResult, ServingConfig};

mod batch;
mod catalogue;
mod data_guard;
mod due;
mod retention;
mod revisions;

const MINIMAL: &str = "
apiVersion: recmesh.dev/v1alpha1
kind: Recommender
metadata: {name: movies, namespace: shop, uid: u-1, generation: 1}
spec: {data: {source: {configMap: {name: ratings, key: ratings.csv}}}}
";
const TIMING: TrainingTiming = TrainingTiming { backoff: Backoff { min: 10, max: 60 }, data_check_seconds: 0 };
const IDLE: TrainingDecision = TrainingDecision::Idle { next: None };
const NOW: i64 = 1_000_000;

fn plan_of(change: impl FnOnce(&mut Recommender)) -> Plan {
    let mut recommender: Recommender = serde_yaml_ng::from_str(MINIMAL).unwrap();
    change(&mut recommender);
    validate::plan(&recommender, &BTreeMap::new()).unwrap()
}

fn plan() -> Plan {
    plan_of(|_| {})
}

fn plan_requesting(value: &str) -> Plan {
    plan_of(|r| {
        r.metadata.annotations = Some([(RETRAIN_AT_ANNOTATION.to_owned(), value.to_owned())].into());
    })
}

#[expect(clippy::needless_pass_by_value, reason = "reads better in the tables")]
fn result(plan: &Plan, number: u32, outcome: Value) -> RunResult {
    serde_json::from_value(json!({
        "version": 1,
        "run": {"number": number, "attempt": plan.hashes.attempt},
        "configHash": plan.hashes.config,
        "dataVersion": "v1",
        "outcome": outcome,
        "retrainAt": plan.retrain_at,
        "startedAt": NOW - 5,
        "finishedAt": NOW,
    }))
    .unwrap()
}

fn trained(plan: &Plan, number: u32, content: &str, low: Option<f64>) -> RunResult {
    let mut outcome = json!({
        "kind": "trained", "digest": Digest::of(content.as_bytes()), "snapshotBytes": 9, "algorithm": "als",
        "users": 3, "items": 4, "interactions": 5,
    });
    if let Some(low) = low {
        outcome["metrics"] = json!({
            "metric": "ndcg", "k": 10, "testUsers": 100, "model": {"ndcg": 0.3}, "baseline": {"ndcg": 0.2},
            "lift": {"estimate": 0.5, "low": low, "high": 0.9},
        });
    }
    result(plan, number, outcome)
}

fn failed(plan: &Plan, number: u32) -> RunResult {
    result(plan, number, json!({"kind": "failed", "reason": "DataInvalid", "message": "no rows"}))
}

fn job(plan: &Plan, run: u32, state: JobState) -> JobFacts {
    JobFacts {
        name: format!("movies-train-{run}"),
        run,
        attempt: plan.hashes.attempt.clone(),
        spec_hash: plan.hashes.spec.clone(),
        deleted: false,
        state,
        finished_at: if state == JobState::Running { 0 } else { NOW },
        reason: String::new(),
        message: String::new(),
        ..JobFacts::default()
    }
}

fn decide_at(plan: &Plan, results: &[RunResult], jobs: &[JobFacts], now: i64) -> TrainingDecision {
    training_of(plan, RunHistory { results, jobs, before: &RecommenderStatus::default() }, TIMING, now)
}

fn training_of(plan: &Plan, history: RunHistory<'_>, timing: TrainingTiming, now: i64) -> TrainingDecision {
    training::training(plan, history.jobs, &Progress::of(plan, history), timing, now)
}

fn serving_of(plan: &Plan, results: &[RunResult], config: Option<&ServingConfig>) -> Serving {
    serving::serving(plan, &models(plan, results, serving::personalizing_digest(config)), config)
}

fn incumbent_of(plan: &Plan, results: &[RunResult], config: &ServingConfig) -> Option<Incumbent> {
    serving::incumbent(plan, &models(plan, results, serving::personalizing_digest(Some(config))), Some(config))
}

/// Verdict of the gate on the model of a run.
fn gate(plan: &Plan, result: &RunResult) -> GateVerdict {
    models(plan, std::slice::from_ref(result), None).first().map_or(GateVerdict::Unknown, |model| model.verdict)
}

fn started(decision: &TrainingDecision) -> Option<u32> {
    match decision {
        TrainingDecision::Start { run, .. } => Some(run.number),
        _ => None,
    }
}

#[test]
fn a_new_recommender_starts_run_1() {
    let plan = plan();
    let decision = decide_at(&plan, &[], &[], NOW);
    assert!(
        matches!(&decision, TrainingDecision::Start { run, .. } if run.number == 1 && run.attempt == plan.hashes.attempt)
    );
}

#[test]
fn a_trained_spec_is_idle_after_its_jobs_are_deleted() {
    let plan = plan();
    assert_eq!(decide_at(&plan, &[trained(&plan, 1, "a", None)], &[], NOW), IDLE);
}

#[test]
fn both_suspend_fields_prevent_runs() {
    for plan in [plan_of(|r| r.spec.suspend = true), plan_of(|r| r.spec.training.suspend = true)] {
        assert_eq!(decide_at(&plan, &[], &[], NOW), IDLE);
    }
}

#[test]
fn a_running_job_continues_for_its_spec_and_is_replaced_for_another() {
    let (old, new) = (plan(), plan_of(|r| r.spec.training.seed = 7));
    let jobs = [job(&old, 1, JobState::Running)];
    let name = jobs[0].name.clone();
    assert_eq!(decide_at(&old, &[], &jobs, NOW), TrainingDecision::Running { job: name.clone() });
    assert_eq!(decide_at(&new, &[], &jobs, NOW), TrainingDecision::Replace { job: name });
}

#[test]
fn back_off_doubles_up_to_the_maximum() {
    let plan = plan();
    let mut results = Vec::new();
    for (number, seconds) in (1..).zip([10, 20, 40, 60, 60]) {
        results.push(failed(&plan, number));
        assert_eq!(decide_at(&plan, &results, &[], NOW), TrainingDecision::Wait { seconds }, "failure {number}");
        let due = NOW + i64::try_from(seconds).unwrap();
        assert_eq!(decide_at(&plan, &results, &[], due - 1), TrainingDecision::Wait { seconds: 1 });
        assert_eq!(started(&decide_at(&plan, &results, &[], due)), Some(number + 1));
    }
}

#[test]
fn a_job_that_failed_without_a_result_counts_once() {
    let plan = plan();
    let jobs = [job(&plan, 1, JobState::Failed)];
    assert_eq!(decide_at(&plan, &[], &jobs, NOW), TrainingDecision::Wait { seconds: 10 });
    assert_eq!(decide_at(&plan, &[failed(&plan, 1)], &jobs, NOW), TrainingDecision::Wait { seconds: 10 });
}

#[test]
fn failures_are_counted_on_after_their_jobs_are_deleted() {
    let plan = plan();
    let count = |jobs: &[JobFacts], last: u32, outcome: &str, failures: u32| {
        let before = json!({
            "failures": failures, "lastRun": {"number": last, "attempt": plan.hashes.attempt, "outcome": outcome},
        });
        let before: RecommenderStatus = serde_json::from_value(before).unwrap();
        Progress::of(&plan, RunHistory { results: &[], jobs, before: &before }).failures.count
    };
    let jobs: Vec<JobFacts> = (7..10).map(|run| job(&plan, run, JobState::Failed)).collect();
    assert_eq!(count(&jobs, 9, "Failed", 9), 9, "each is counted once");
    assert_eq!(count(&jobs, 8, "Failed", 8), 9, "run 9 is new");
    assert_eq!(count(&jobs, 9, "Running", 8), 9, "run 9 was in progress");
    assert_eq!(count(&jobs, 0, "Failed", 0), 3, "the status was lost");
}

#[test]
fn a_changed_spec_starts_immediately_with_the_next_number() {
    let (old, new) = (plan(), plan_of(|r| r.spec.training.seed = 7));
    assert_eq!(started(&decide_at(&new, &[failed(&old, 3)], &[], NOW)), Some(4));
    assert_eq!(started(&decide_at(&new, &[], &[job(&old, 5, JobState::Failed)], NOW)), Some(6));
}

#[test]
fn a_requested_run_is_handled_once() {
    let (initial, requesting) = (plan(), plan_requesting("monday"));
    let mut results = vec![trained(&initial, 1, "a", None)];
    let before = RecommenderStatus::default();
    let progress =
        |results: &[RunResult]| Progress::of(&requesting, RunHistory { results, jobs: &[], before: &before });
    assert!(progress(&results).is_trained() && !progress(&results).request_handled);
    assert_eq!(started(&decide_at(&requesting, &results, &[], NOW)), Some(2));
    results.push(trained(&requesting, 2, "a", None));
    assert!(progress(&results).request_handled);
    assert_eq!(decide_at(&requesting, &results, &[], NOW), IDLE);
    assert_eq!(started(&decide_at(&plan_requesting("tuesday"), &results, &[], NOW)), Some(3));
}

#[test]
fn the_gate_compares_the_lower_bound() {
    let plan = plan_of(|r| r.spec.evaluation.gate.min_lift_over_baseline = 0.05);
    assert_eq!(gate(&plan, &trained(&plan, 1, "a", Some(0.05))), GateVerdict::Passed { low: 0.05 });
    assert_eq!(gate(&plan, &trained(&plan, 1, "a", Some(0.04))), GateVerdict::Failed { low: 0.04, required: 0.05 });
    assert_eq!(gate(&plan, &trained(&plan, 1, "a", None)), GateVerdict::Unknown);
    assert_eq!(gate(&plan, &failed(&plan, 1)), GateVerdict::Unknown);
}

#[test]
fn hashes_do_not_change_between_releases() {
    // Golden values, computed with sha256sum from the canonical texts. A change of the first one
    // retrains every Recommender at the upgrade; a change of the second one retries every failed
    // run.
    let hashes = plan().hashes;
    assert_eq!((hashes.config.revision(), hashes.attempt.as_str()), ("2d0d139525", "968d15fbe9"));
}
