//! Tests of the status of runs: reasons, recommended values, and scheduled training.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use recommender_crds::{Recommender, RecommenderStatus, condition::is_true};
use serde_json::json;
use sidecar_contract::{Digest, RunId, RunResult, TerminationMessage};

use super::*;
use crate::{
    applied::Applied,
    decide::{Backoff, Decision, TrainingTiming, Trigger, decide},
    error::Error,
    observed::Observed,
    status::compute,
    validate::{self, Plan},
};

const NOW: i64 = 1_773_100_800;

fn plan(training: &str) -> Plan {
    let yaml = format!(
        "apiVersion: recmesh.dev/v1alpha1
kind: Recommender
metadata: {{name: movies, namespace: shop, uid: u-1, generation: 1}}
spec: {{data: {{source: {{configMap: {{name: ratings, key: ratings.csv}}}}}}, training: {training}, serving: {{replicas: 0}}}}
"
    );
    let recommender: Recommender = serde_yaml_ng::from_str(&yaml).unwrap();
    validate::plan(&recommender, &BTreeMap::new()).unwrap()
}

fn result(plan: &Plan, number: u32, outcome: &serde_json::Value) -> RunResult {
    let result = json!({
        "version": 1, "run": {"number": number, "attempt": plan.hashes.attempt}, "configHash": plan.hashes.config,
        "dataVersion": "v1", "outcome": outcome, "startedAt": NOW, "finishedAt": NOW,
    });
    serde_json::from_value(result).unwrap()
}

fn trained(plan: &Plan, number: u32) -> RunResult {
    let outcome = json!({
        "kind": "trained", "digest": Digest::of(b"a"), "snapshotBytes": 9, "algorithm": "als", "users": 3, "items": 4,
        "interactions": 5,
    });
    result(plan, number, &outcome)
}

fn failed_job(plan: &Plan, run: u32) -> JobFacts {
    JobFacts {
        name: format!("movies-train-{run}"),
        run,
        attempt: plan.hashes.attempt.clone(),
        spec_hash: plan.hashes.spec.clone(),
        deleted: false,
        state: JobState::Failed,
        finished_at: NOW,
        reason: "PodFailurePolicy".to_owned(),
        message: "message of the Job".to_owned(),
        ..JobFacts::default()
    }
}

fn pod(run: u32) -> PodFacts {
    PodFacts {
        name: format!("movies-train-{run}-x"),
        component: Some(Component::Trainer),
        run: Some(run),
        ..PodFacts::default()
    }
}

fn observed(results: &[RunResult], jobs: &[JobFacts], pods: &[PodFacts]) -> Observed {
    Observed { jobs: jobs.to_vec(), pods: pods.to_vec(), runs: Ok(results.to_vec()), ..Observed::nothing() }
}

/// The status after a pass that made this decision and has not applied anything else.
fn status(
    plan: &Plan,
    observed: &Observed,
    training: &TrainingDecision,
    before: &RecommenderStatus,
) -> RecommenderStatus {
    let job = match training {
        TrainingDecision::Idle { .. } | TrainingDecision::Wait { .. } => JobOutcome::None,
        _ => JobOutcome::InProgress,
    };
    status_after(plan, observed, training, &Applied { job, ..Applied::default() }, before)
}

fn status_after(
    plan: &Plan,
    observed: &Observed,
    training: &TrainingDecision,
    applied: &Applied,
    before: &RecommenderStatus,
) -> RecommenderStatus {
    let timing = TrainingTiming { backoff: Backoff { min: 10, max: 60 }, data_check_seconds: 0 };
    let decision = Decision { training: training.clone(), ..decide(plan, observed, before, timing, NOW) };
    let input = StatusInput { plan, observed, decision: &decision, applied, trainings_max: 3, signs: false, before };
    compute(input, Timestamp::from_second(NOW).unwrap())
}

fn start(plan: &Plan) -> TrainingDecision {
    TrainingDecision::Start {
        run: RunId { number: 2, attempt: plan.hashes.attempt.clone() },
        trigger: Trigger::Scheduled,
        decided_at: NOW,
        known_data_version: None,
    }
}

/// Status, reason and message of a condition.
fn condition(status: &RecommenderStatus, kind: ConditionType) -> (String, String, String) {
    let found = status.conditions.iter().find(|c| c.type_ == kind.as_str());
    found.map(|c| (c.status.clone(), c.reason.clone(), c.message.clone())).unwrap_or_default()
}

#[test]
fn insufficient_memory_recommends_a_limit() {
    let plan = plan("{resources: {limits: {memory: 1.5Gi}}}");
    let problem = PodProblem { reason: Reason::OOMKilled, message: String::new() };
    let pods = [pod(1), PodFacts { problem: Some(problem), ..pod(1) }];
    let wait = TrainingDecision::Wait { seconds: 30 };
    let killed = status(&plan, &observed(&[], &[failed_job(&plan, 1)], &pods), &wait, &RecommenderStatus::default());
    let failure = json!({"kind": "failed", "reason": "CapacityInsufficient", "message": "set it to 125Mi"});
    let observed_failure = observed(&[result(&plan, 1, &failure)], &[], &[]);
    let refused = status(&plan, &observed_failure, &wait, &RecommenderStatus::default());
    for (status, expected, reason) in
        [(killed, "limits.memory to 3072Mi", "OOMKilled"), (refused, "set it to 125Mi", "CapacityInsufficient")]
    {
        let (is, why, message) = condition(&status, ConditionType::CapacityInsufficient);
        assert_eq!((is.as_str(), why.as_str()), ("True", "MemoryInsufficient"));
        assert!(message.contains(expected), "{message}");
        let (is, why, _) = condition(&status, ConditionType::Trained);
        assert_eq!((is.as_str(), why.as_str()), ("False", reason));
        assert_eq!(condition(&status, ConditionType::Stalled).1, reason);
    }
}

#[test]
fn a_run_without_a_result_is_explained_by_its_termination_message_or_exit_code() {
    let plan = plan("{}");
    let wait = TrainingDecision::Wait { seconds: 30 };
    let termination_message = |reason: &str| {
        Some(TerminationMessage { reason: reason.to_owned(), message: "termination message".to_owned() })
    };
    for (pod, reason, message, stalls) in [
        (PodFacts { exit_code: Some(2), ..pod(1) }, "ConfigInvalid", "message of the Job", true),
        (PodFacts { exit_code: Some(65), ..pod(1) }, "DataInvalid", "message of the Job", true),
        (PodFacts { exit_code: Some(66), ..pod(1) }, "SourceNotFound", "message of the Job", true),
        (PodFacts { exit_code: Some(70), ..pod(1) }, "TrainingDiverged", "message of the Job", true),
        (PodFacts { exit_code: Some(71), ..pod(1) }, "CapacityInsufficient", "message of the Job", true),
        (
            PodFacts { exit_code: Some(2), termination_message: termination_message("NotSupported"), ..pod(1) },
            "NotSupported",
            "termination message",
            true,
        ),
        (
            PodFacts { exit_code: Some(1), termination_message: termination_message("Retry"), ..pod(1) },
            "TrainingFailed",
            "termination message",
            false,
        ),
    ] {
        let status =
            status(&plan, &observed(&[], &[failed_job(&plan, 1)], &[pod]), &wait, &RecommenderStatus::default());
        let (is, why, actual) = condition(&status, ConditionType::Trained);
        assert_eq!((is.as_str(), why.as_str(), actual.as_str()), ("False", reason, message));
        assert_eq!(condition(&status, ConditionType::Stalled).0 == "True", stalls, "{reason}");
        assert_eq!((status.failures, status.last_run.unwrap().outcome), (1, StatusOutcome::Failed));
    }
}

#[test]
fn an_exceeded_deadline_names_the_settings_to_change() {
    for (training, expected) in [
        ("{deadline: 10m}", "the run exceeded training.deadline (10m); raise the deadline"),
        (
            "{deadline: 10m, tuning: {trials: 9}}",
            "the run exceeded training.deadline (10m); raise the deadline, or reduce training.tuning (9 trials, budget 20m)",
        ),
    ] {
        let plan = plan(training);
        let job = JobFacts { reason: "DeadlineExceeded".to_owned(), ..failed_job(&plan, 1) };
        let wait = TrainingDecision::Wait { seconds: 30 };
        let status = status(&plan, &observed(&[], &[job], &[pod(1)]), &wait, &RecommenderStatus::default());
        let (_, why, message) = condition(&status, ConditionType::Trained);
        assert_eq!((why.as_str(), message.as_str()), ("DeadlineExceeded", expected));
    }
}

#[test]
fn scheduled_training_does_not_change_the_conditions() {
    let plan = plan("{schedule: '0 3 * * *'}");
    let results = [trained(&plan, 1)];
    let next = TrainingDecision::Idle { next: Some(NOW + 60) };
    let idle = status(&plan, &observed(&results, &[], &[]), &next, &RecommenderStatus::default());
    let idle = status(&plan, &observed(&results, &[], &[]), &next, &idle);
    assert_eq!(idle.next_run_time.as_ref().map(|t| t.0.as_second()), Some(NOW + 60));
    let job = JobFacts { state: JobState::Running, finished_at: 0, ..failed_job(&plan, 2) };
    let problem = Some(PodProblem { reason: Reason::TrainingPending, message: "no node yet".to_owned() });
    let pending = PodFacts { problem, ..pod(2) };
    let running = TrainingDecision::Running { job: job.name.clone() };
    for (training, job_outcome) in [(start(&plan), JobOutcome::Queued), (running, JobOutcome::InProgress)] {
        let status = status_after(
            &plan,
            &observed(&results, std::slice::from_ref(&job), std::slice::from_ref(&pending)),
            &training,
            &Applied { job: job_outcome, ..Applied::default() },
            &idle,
        );
        assert!(!is_true(&status.conditions, ConditionType::Reconciling), "{training:?}");
        for kind in [ConditionType::Ready, ConditionType::Trained, ConditionType::DataReady] {
            assert_eq!(condition(&status, kind), condition(&idle, kind), "{training:?}");
        }
    }
    // A run that finds the data unchanged does not change DataReady.
    let results = [results[0].clone(), result(&plan, 2, &json!({"kind": "unchanged"}))];
    let checked = status(&plan, &observed(&results, &[], &[]), &next, &idle);
    assert_eq!(condition(&checked, ConditionType::DataReady), condition(&idle, ConditionType::DataReady));
    assert_eq!(checked.last_run.unwrap().outcome, StatusOutcome::Unchanged);
}

#[test]
fn a_queued_training_of_a_new_spec_is_reported() {
    let plan = plan("{}");
    let queued = Applied { job: JobOutcome::Queued, ..Applied::default() };
    let before = RecommenderStatus::default();
    let status = status_after(&plan, &observed(&[], &[], &[]), &start(&plan), &queued, &before);
    let (is, why, message) = condition(&status, ConditionType::Trained);
    assert_eq!((is.as_str(), why.as_str()), ("False", "TrainingQueued"));
    assert!(
        message.starts_with(
            "queued: no training slot is free for this namespace (chart value operator.trainingsMax is 3;"
        ),
        "{message}"
    );
    assert_eq!(condition(&status, ConditionType::Reconciling).1, "TrainingQueued");
}

#[test]
fn a_refused_job_stalls_and_is_not_reported_as_running() {
    let plan = plan("{}");
    let forbidden = kube::core::Status::failure("quota exceeded", "").with_code(403);
    let error = Error::api("cannot create Job shop/movies-train-1")(kube::Error::Api(Box::new(forbidden)));
    let refused = Applied { job: JobOutcome::Refused, refused: vec![error], ..Applied::default() };
    let before = RecommenderStatus::default();
    let status = status_after(&plan, &observed(&[], &[], &[]), &start(&plan), &refused, &before);
    let (is, why, message) = condition(&status, ConditionType::Stalled);
    assert_eq!((is.as_str(), why.as_str()), ("True", "Forbidden"));
    assert_eq!(message, "cannot create Job shop/movies-train-1: rejected by the API server: quota exceeded");
    assert_eq!(condition(&status, ConditionType::Trained).1, "TrainingPending");
    assert!(!is_true(&status.conditions, ConditionType::Reconciling));
}

#[test]
fn deleted_results_are_not_in_the_history() {
    let plan = plan("{}");
    let results = [trained(&plan, 1), trained(&plan, 2)];
    let applied = Applied { deleted_runs: vec![results[0].run.clone()], ..Applied::default() };
    let idle = TrainingDecision::Idle { next: None };
    let status = status_after(&plan, &observed(&results, &[], &[]), &idle, &applied, &RecommenderStatus::default());
    assert_eq!(status.history.iter().map(|entry| entry.run).collect::<Vec<_>>(), [2]);
}

#[test]
fn the_recommended_limit_is_twice_the_quantity() {
    for (quantity, mebibytes) in [
        ("512Mi", Some(1024)),
        ("1.5Gi", Some(3072)),
        ("1G", Some(1908)),
        ("1048576", Some(2)),
        ("lots", None),
        ("0", None),
    ] {
        assert_eq!(twice_in_mebibytes(quantity), mebibytes, "{quantity}");
    }
}
