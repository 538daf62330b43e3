//! What is said of runs: reasons, numbers to set, and that nightly training is quiet.

use k8s_openapi::jiff::Timestamp;
use recommender_crds::{Recommender, RecommenderStatus, condition::is_true};
use serde_json::json;
use sidecar_contract::{Digest, TerminationHint};

use super::*;
use crate::{
    decide::{attempt, config_hash, wanted},
    observe::Observed,
    status::compute,
    validate::{Plan, validate},
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
    validate(&recommender).unwrap()
}

fn result(plan: &Plan, number: u32, outcome: &serde_json::Value) -> RunResult {
    let result = json!({
        "version": 1, "run": {"number": number, "attempt": attempt(plan)}, "configHash": config_hash(plan),
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
        attempt: attempt(plan),
        wanted: wanted(plan),
        deleted: false,
        state: JobState::Failed,
        finished_at: NOW,
        reason: "PodFailurePolicy".to_owned(),
        message: "the Job says this".to_owned(),
    }
}

fn pod(run: u32) -> PodFacts {
    PodFacts {
        name: format!("movies-train-{run}-x"),
        ip: None,
        component: Some(Component::Trainer),
        run: Some(run),
        running: false,
        asked_hash: None,
        trouble: None,
        exit_code: None,
        hint: None,
    }
}

fn observed(results: &[RunResult], jobs: &[JobFacts], pods: &[PodFacts]) -> Observed {
    Observed {
        jobs: jobs.to_vec(),
        pods: pods.to_vec(),
        deployment: None,
        config: None,
        taken: Vec::new(),
        runs: Ok(results.to_vec()),
        reports: Vec::new(),
    }
}

fn status(plan: &Plan, observed: &Observed, training: &Training, before: &RecommenderStatus) -> RecommenderStatus {
    let serving = decide::serving(plan, observed.runs.as_deref().unwrap_or_default(), None);
    let facts = Facts { plan, observed, training, serving: &serving, queued: false, trainings_max: 3, before };
    compute(facts, Timestamp::from_second(NOW).unwrap())
}

/// Status, reason and message of a condition.
fn said(status: &RecommenderStatus, kind: ConditionType) -> (String, String, String) {
    let condition = status.conditions.iter().find(|c| c.type_ == kind.as_str());
    condition.map(|c| (c.status.clone(), c.reason.clone(), c.message.clone())).unwrap_or_default()
}

#[test]
fn memory_that_would_not_do_says_the_number_to_set() {
    let plan = plan("{resources: {limits: {memory: 1.5Gi}}}");
    let trouble = Trouble { reason: Reason::OOMKilled, message: String::new() };
    let pods = [pod(1), PodFacts { trouble: Some(trouble), ..pod(1) }];
    let wait = Training::Wait { seconds: 30 };
    let killed = status(&plan, &observed(&[], &[failed_job(&plan, 1)], &pods), &wait, &RecommenderStatus::default());
    let refusal = json!({"kind": "failed", "reason": "CapacityInsufficient", "message": "set it to 125Mi"});
    let refused = observed(&[result(&plan, 1, &refusal)], &[], &[]);
    let refused = status(&plan, &refused, &wait, &RecommenderStatus::default());
    for (status, words, reason) in
        [(killed, "limits.memory to 3072Mi", "OOMKilled"), (refused, "set it to 125Mi", "CapacityInsufficient")]
    {
        let (is, why, message) = said(&status, ConditionType::CapacityInsufficient);
        assert_eq!((is.as_str(), why.as_str()), ("True", "MemoryInsufficient"));
        assert!(message.contains(words), "{message}");
        let (is, why, _) = said(&status, ConditionType::Trained);
        assert_eq!((is.as_str(), why.as_str()), ("False", reason));
        assert_eq!(said(&status, ConditionType::Stalled).1, reason);
    }
}

#[test]
fn a_run_without_a_result_is_explained_by_its_hint_or_its_exit_code() {
    let plan = plan("{}");
    let wait = Training::Wait { seconds: 30 };
    let hint =
        |reason: &str| Some(TerminationHint { reason: reason.to_owned(), message: "the hint says this".to_owned() });
    for (pod, reason, message, stalls) in [
        (PodFacts { exit_code: Some(2), ..pod(1) }, "ConfigInvalid", "the Job says this", true),
        (PodFacts { exit_code: Some(65), ..pod(1) }, "DataInvalid", "the Job says this", true),
        (PodFacts { exit_code: Some(66), ..pod(1) }, "SourceNotFound", "the Job says this", true),
        (PodFacts { exit_code: Some(70), ..pod(1) }, "TrainingDiverged", "the Job says this", true),
        (PodFacts { exit_code: Some(71), ..pod(1) }, "CapacityInsufficient", "the Job says this", true),
        (
            PodFacts { exit_code: Some(2), hint: hint("NotSupported"), ..pod(1) },
            "NotSupported",
            "the hint says this",
            true,
        ),
        (PodFacts { exit_code: Some(1), hint: hint("Retry"), ..pod(1) }, "TrainingFailed", "the hint says this", false),
    ] {
        let status =
            status(&plan, &observed(&[], &[failed_job(&plan, 1)], &[pod]), &wait, &RecommenderStatus::default());
        let (is, why, said_of_it) = said(&status, ConditionType::Trained);
        assert_eq!((is.as_str(), why.as_str(), said_of_it.as_str()), ("False", reason, message));
        assert_eq!(said(&status, ConditionType::Stalled).0 == "True", stalls, "{reason}");
        assert_eq!((status.failures, status.last_run.unwrap().outcome), (1, StatusOutcome::Failed));
    }
}

#[test]
fn a_run_that_took_too_long_says_what_takes_long() {
    for (training, expected) in [
        ("{deadline: 10m}", "the run took longer than training.deadline, 10m; raise it"),
        (
            "{deadline: 10m, tuning: {trials: 9}}",
            "the run took longer than training.deadline, 10m; raise it, or lower training.tuning: 9 trials in at most 20m",
        ),
    ] {
        let plan = plan(training);
        let job = JobFacts { reason: "DeadlineExceeded".to_owned(), ..failed_job(&plan, 1) };
        let wait = Training::Wait { seconds: 30 };
        let status = status(&plan, &observed(&[], &[job], &[pod(1)]), &wait, &RecommenderStatus::default());
        let (_, why, message) = said(&status, ConditionType::Trained);
        assert_eq!((why.as_str(), message.as_str()), ("DeadlineExceeded", expected));
    }
}

#[test]
fn nightly_training_is_quiet() {
    let plan = plan("{schedule: '0 3 * * *'}");
    let results = [trained(&plan, 1)];
    let next = Training::Idle { next: Some(NOW + 60) };
    let rests = status(&plan, &observed(&results, &[], &[]), &next, &RecommenderStatus::default());
    let rests = status(&plan, &observed(&results, &[], &[]), &next, &rests);
    assert_eq!(rests.next_run_time.as_ref().map(|t| t.0.as_second()), Some(NOW + 60));
    let job = JobFacts { state: JobState::Running, finished_at: 0, ..failed_job(&plan, 2) };
    let trouble = Some(Trouble { reason: Reason::TrainingPending, message: "no node yet".to_owned() });
    let waits = PodFacts { trouble, ..pod(2) };
    for training in [Training::Queued, Training::Running { job: job.name.clone() }] {
        let status = status(
            &plan,
            &observed(&results, std::slice::from_ref(&job), std::slice::from_ref(&waits)),
            &training,
            &rests,
        );
        assert!(!is_true(&status.conditions, ConditionType::Reconciling), "{training:?}");
        for kind in [ConditionType::Ready, ConditionType::Trained, ConditionType::DataReady] {
            assert_eq!(said(&status, kind), said(&rests, kind), "{training:?}");
        }
    }
    // The same model from a run that found nothing new: what was said of the data stays.
    let results = [results[0].clone(), result(&plan, 2, &json!({"kind": "unchanged"}))];
    let checked = status(&plan, &observed(&results, &[], &[]), &next, &rests);
    assert_eq!(said(&checked, ConditionType::DataReady), said(&rests, ConditionType::DataReady));
    assert_eq!(checked.last_run.unwrap().outcome, StatusOutcome::Unchanged);
}

#[test]
fn a_new_spec_that_waits_for_others_says_so() {
    let plan = plan("{}");
    let status = status(&plan, &observed(&[], &[], &[]), &Training::Queued, &RecommenderStatus::default());
    let (is, why, message) = said(&status, ConditionType::Trained);
    assert_eq!((is.as_str(), why.as_str()), ("False", "TrainingQueued"));
    assert!(message.starts_with("3 Recommenders train"), "{message}");
    assert_eq!(said(&status, ConditionType::Reconciling).1, "TrainingQueued");
}

#[test]
fn twice_what_people_write_for_memory() {
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
