//! Owns the decision table of training, the gate, and the choice of what serves.

use recommender_crds::{Recommender, RecommenderStatus};
use serde_json::{Value, json};

use super::{
    Backoff, Cause, Past, Rhythm, Training, Verdict, attempt, config_hash, gate, is_honoured, is_trained, training,
    wanted,
};
use crate::{
    names::RETRAIN_AT_ANNOTATION,
    observe::{JobFacts, JobState},
    validate::{Plan, validate},
};
use sidecar_contract::{Digest, RunResult};

mod due;
mod retention;
mod serving;

const MINIMAL: &str = "
apiVersion: recmesh.dev/v1alpha1
kind: Recommender
metadata: {name: movies, namespace: shop, uid: u-1, generation: 1}
spec: {data: {source: {configMap: {name: ratings, key: ratings.csv}}}}
";
const RHYTHM: Rhythm = Rhythm { backoff: Backoff { min: 10, max: 60 }, data_check_seconds: 0 };
const RESTS: Training = Training::Idle { next: None };
const NOW: i64 = 1_000_000;

fn plan_of(change: impl FnOnce(&mut Recommender)) -> Plan {
    let mut recommender: Recommender = serde_yaml_ng::from_str(MINIMAL).unwrap();
    change(&mut recommender);
    validate(&recommender).unwrap()
}

fn plan() -> Plan {
    plan_of(|_| {})
}

fn asking(value: &str) -> Plan {
    plan_of(|r| {
        r.metadata.annotations = Some([(RETRAIN_AT_ANNOTATION.to_owned(), value.to_owned())].into());
    })
}

#[expect(clippy::needless_pass_by_value, reason = "reads better in the tables")]
fn result(plan: &Plan, number: u32, outcome: Value) -> RunResult {
    serde_json::from_value(json!({
        "version": 1,
        "run": {"number": number, "attempt": attempt(plan)},
        "configHash": config_hash(plan),
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
        attempt: attempt(plan),
        wanted: wanted(plan),
        deleted: false,
        state,
        finished_at: if state == JobState::Running { 0 } else { NOW },
        reason: String::new(),
        message: String::new(),
    }
}

fn decide_at(plan: &Plan, results: &[RunResult], jobs: &[JobFacts], now: i64) -> Training {
    training(plan, Past { results, jobs, before: &RecommenderStatus::default() }, RHYTHM, now)
}

fn started(decision: &Training) -> Option<u32> {
    match decision {
        Training::Start { run, .. } => Some(run.number),
        _ => None,
    }
}

#[test]
fn a_new_recommender_starts_run_one() {
    let plan = plan();
    let decision = decide_at(&plan, &[], &[], NOW);
    assert!(matches!(&decision, Training::Start { run, .. } if run.number == 1 && run.attempt == attempt(&plan)));
}

#[test]
fn a_trained_spec_rests_even_when_its_jobs_are_gone() {
    let plan = plan();
    assert_eq!(decide_at(&plan, &[trained(&plan, 1, "a", None)], &[], NOW), RESTS);
}

#[test]
fn either_suspend_starts_nothing() {
    for plan in [plan_of(|r| r.spec.suspend = true), plan_of(|r| r.spec.training.suspend = true)] {
        assert_eq!(decide_at(&plan, &[], &[], NOW), RESTS);
    }
}

#[test]
fn a_running_job_goes_on_for_its_attempt_and_yields_to_another() {
    let (old, new) = (plan(), plan_of(|r| r.spec.training.seed = 7));
    let jobs = [job(&old, 1, JobState::Running)];
    let name = jobs[0].name.clone();
    assert_eq!(decide_at(&old, &[], &jobs, NOW), Training::Running { job: name.clone() });
    assert_eq!(decide_at(&new, &[], &jobs, NOW), Training::Replace { job: name });
}

#[test]
fn pauses_double_up_to_the_cap() {
    let plan = plan();
    let mut results = Vec::new();
    for (number, seconds) in (1..).zip([10, 20, 40, 60, 60]) {
        results.push(failed(&plan, number));
        assert_eq!(decide_at(&plan, &results, &[], NOW), Training::Wait { seconds }, "failure {number}");
        let due = NOW + i64::try_from(seconds).unwrap();
        assert_eq!(decide_at(&plan, &results, &[], due - 1), Training::Wait { seconds: 1 });
        assert_eq!(started(&decide_at(&plan, &results, &[], due)), Some(number + 1));
    }
}

#[test]
fn a_job_that_failed_silently_counts_once() {
    let plan = plan();
    let jobs = [job(&plan, 1, JobState::Failed)];
    assert_eq!(decide_at(&plan, &[], &jobs, NOW), Training::Wait { seconds: 10 });
    assert_eq!(decide_at(&plan, &[failed(&plan, 1)], &jobs, NOW), Training::Wait { seconds: 10 });
}

#[test]
fn a_changed_spec_is_tried_at_once_with_the_next_number() {
    let (old, new) = (plan(), plan_of(|r| r.spec.training.seed = 7));
    assert_eq!(started(&decide_at(&new, &[failed(&old, 3)], &[], NOW)), Some(4));
    assert_eq!(started(&decide_at(&new, &[], &[job(&old, 5, JobState::Failed)], NOW)), Some(6));
}

#[test]
fn a_request_for_a_run_is_honoured_once() {
    let (before, asked) = (plan(), asking("monday"));
    let mut results = vec![trained(&before, 1, "a", None)];
    let before = RecommenderStatus::default();
    let honoured = |results: &[RunResult]| is_honoured(&asked, Past { results, jobs: &[], before: &before });
    assert!(is_trained(&asked, &results) && !honoured(&results));
    assert_eq!(started(&decide_at(&asked, &results, &[], NOW)), Some(2));
    results.push(trained(&asked, 2, "a", None));
    assert!(honoured(&results));
    assert_eq!(decide_at(&asked, &results, &[], NOW), RESTS);
    assert_eq!(started(&decide_at(&asking("tuesday"), &results, &[], NOW)), Some(3));
}

#[test]
fn the_gate_looks_at_the_lower_bound() {
    let plan = plan_of(|r| r.spec.evaluation.gate.min_lift_over_baseline = 0.05);
    assert_eq!(gate(&plan, &trained(&plan, 1, "a", Some(0.05))), Verdict::Passed { low: 0.05 });
    assert_eq!(gate(&plan, &trained(&plan, 1, "a", Some(0.04))), Verdict::Failed { low: 0.04, wanted: 0.05 });
    assert_eq!(gate(&plan, &trained(&plan, 1, "a", None)), Verdict::Unknown);
    assert_eq!(gate(&plan, &failed(&plan, 1)), Verdict::Unknown);
}

#[test]
fn the_hashes_of_a_release_do_not_change() {
    // Golden, as sha256sum says it of the canonical texts: a change of the first retrains every Recommender of every user at
    // upgrade, a change of the second tries everything again that failed.
    let plan = plan();
    assert_eq!((config_hash(&plan).revision(), attempt(&plan).as_str()), ("689e5acabf", "62ef38326a"));
}
