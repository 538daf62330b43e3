//! Tests of when a run is due, with the time as an argument.

use recommender_crds::{LastRun, RunOutcome as StatusOutcome};

use super::*;

const DAY: i64 = 86_400;
/// 2026-03-10 00:00:00 in UTC.
const MIDNIGHT: i64 = 1_773_100_800;
const THREE: i64 = MIDNIGHT + 3 * 3600;

fn nightly() -> Plan {
    plan_of(|r| r.spec.training.schedule = Some("0 3 * * *".to_owned()))
}

fn at(result: RunResult, second: i64) -> RunResult {
    RunResult { decided_at: Some(second), started_at: second, finished_at: second, ..result }
}

fn unchanged(plan: &Plan, number: u32) -> RunResult {
    result(plan, number, json!({"kind": "unchanged"}))
}

fn trigger_of(decision: &TrainingDecision) -> Option<(Trigger, Option<&str>)> {
    match decision {
        TrainingDecision::Start { trigger, known_data_version, .. } => Some((*trigger, known_data_version.as_deref())),
        _ => None,
    }
}

fn idle_until(next: i64) -> TrainingDecision {
    TrainingDecision::Idle { next: Some(next) }
}

fn hourly(plan: &Plan, results: &[RunResult], now: i64) -> TrainingDecision {
    let before = RecommenderStatus::default();
    let timing = TrainingTiming { data_check_seconds: 3600, ..TIMING };
    training_of(plan, RunHistory { results, jobs: &[], before: &before }, timing, now)
}

#[test]
fn a_scheduled_run_may_find_the_data_unchanged() {
    let plan = nightly();
    let results = [at(trained(&plan, 1, "a", None), MIDNIGHT)];
    assert_eq!(decide_at(&plan, &results, &[], THREE - 1), idle_until(THREE));
    assert_eq!(trigger_of(&decide_at(&plan, &results, &[], THREE)), Some((Trigger::Scheduled, Some("v1"))));
    for done in [at(unchanged(&plan, 2), THREE), at(trained(&plan, 2, "b", None), THREE + 9)] {
        let results = [results[0].clone(), done];
        assert_eq!(decide_at(&plan, &results, &[], THREE + 10), idle_until(THREE + DAY));
    }
}

#[test]
fn the_first_model_does_not_wait_for_the_schedule() {
    let plan = nightly();
    assert_eq!(trigger_of(&decide_at(&plan, &[], &[], MIDNIGHT)), Some((Trigger::NewSpec, None)));
}

#[test]
fn one_missed_start_is_made_up_for_within_the_starting_deadline() {
    let plan = plan_of(|r| {
        r.spec.training.schedule = Some("0 3 * * *".to_owned());
        r.spec.training.starting_deadline = "2h".to_owned();
    });
    let results = [at(trained(&plan, 1, "a", None), THREE - 5 * DAY)];
    assert_eq!(trigger_of(&decide_at(&plan, &results, &[], THREE + 7200)), Some((Trigger::Scheduled, Some("v1"))));
    assert_eq!(decide_at(&plan, &results, &[], THREE + 7201), idle_until(THREE + DAY));
    let made_up = [results[0].clone(), at(unchanged(&plan, 2), THREE + 7200)];
    assert_eq!(decide_at(&plan, &made_up, &[], THREE + 7201), idle_until(THREE + DAY));
}

#[test]
fn the_schedule_uses_its_time_zone() {
    let plan = plan_of(|r| {
        r.spec.training.schedule = Some("0 3 * * *".to_owned());
        r.spec.training.time_zone = Some("Asia/Tokyo".to_owned());
    });
    let results = [at(trained(&plan, 1, "a", None), MIDNIGHT)];
    assert_eq!(decide_at(&plan, &results, &[], MIDNIGHT + 1), idle_until(MIDNIGHT + 18 * 3600));
}

#[test]
fn clock_skew_of_a_node_does_not_affect_the_schedule() {
    let plan = nightly();
    // The clock of the node is ten minutes behind the clock of the operator.
    let late = RunResult { started_at: THREE - 600, ..at(unchanged(&plan, 2), THREE) };
    let results = [at(trained(&plan, 1, "a", None), MIDNIGHT), late];
    assert_eq!(decide_at(&plan, &results, &[], THREE + 1), idle_until(THREE + DAY));
}

#[test]
fn data_checks_are_spread_over_a_quarter_of_the_interval() {
    let mut intervals = Vec::new();
    for uid in 0..200 {
        let plan = plan_of(|r| r.metadata.uid = Some(format!("u-{uid}")));
        let results = [at(trained(&plan, 1, "a", None), MIDNIGHT)];
        let TrainingDecision::Idle { next: Some(next) } = hourly(&plan, &results, MIDNIGHT) else { panic!("not idle") };
        assert_eq!(hourly(&plan, &results, next - 1), idle_until(next));
        assert_eq!(trigger_of(&hourly(&plan, &results, next)), Some((Trigger::DataCheck, Some("v1"))));
        intervals.push(next - MIDNIGHT);
    }
    assert!(intervals.iter().all(|interval| (3600..=4500).contains(interval)), "{intervals:?}");
    // Each tenth of the quarter has a check.
    for tenth in 0..10 {
        assert!(intervals.iter().any(|interval| (interval - 3600) / 91 == tenth), "no check in tenth {tenth}");
    }
}

#[test]
fn a_schedule_or_zero_replicas_disable_data_checks_by_default() {
    let by_schedule = nightly();
    let to_zero = plan_of(|r| r.spec.serving.replicas = 0);
    let never = plan_of(|r| r.spec.training.data_check_interval = Some("0s".to_owned()));
    for (plan, expected) in [(by_schedule, idle_until(THREE)), (to_zero, IDLE), (never, IDLE)] {
        let results = [at(trained(&plan, 1, "a", None), MIDNIGHT)];
        assert_eq!(hourly(&plan, &results, MIDNIGHT + 9000), expected);
    }
    let both = plan_of(|r| {
        r.spec.training.schedule = Some("0 3 * * *".to_owned());
        r.spec.training.data_check_interval = Some("15m".to_owned());
    });
    let results = [at(trained(&both, 1, "a", None), MIDNIGHT)];
    assert_eq!(trigger_of(&hourly(&both, &results, MIDNIGHT + 1200)), Some((Trigger::DataCheck, Some("v1"))));
}

#[test]
fn a_failed_scheduled_run_is_retried_until_one_succeeds() {
    let plan = nightly();
    let mut results = vec![at(trained(&plan, 1, "a", None), MIDNIGHT), at(failed(&plan, 2), THREE)];
    assert_eq!(decide_at(&plan, &results, &[], THREE + 1), TrainingDecision::Wait { seconds: 9 });
    assert_eq!(trigger_of(&decide_at(&plan, &results, &[], THREE + 10)), Some((Trigger::Retry, Some("v1"))));
    results.push(at(failed(&plan, 3), THREE + 10));
    assert_eq!(decide_at(&plan, &results, &[], THREE + 11), TrainingDecision::Wait { seconds: 19 });
    // The data is unchanged again: no run is due, and the back-off of a later failure starts at the
    // minimum.
    results.push(at(unchanged(&plan, 4), THREE + 40));
    assert_eq!(decide_at(&plan, &results, &[], THREE + 41), idle_until(THREE + DAY));
    results.push(at(failed(&plan, 5), THREE + DAY));
    assert_eq!(decide_at(&plan, &results, &[], THREE + DAY), TrainingDecision::Wait { seconds: 10 });
}

#[test]
fn other_attempt_inputs_retry_immediately_but_do_not_retrain() {
    let plan = nightly();
    let longer = plan_of(|r| {
        r.spec.training.schedule = Some("0 3 * * *".to_owned());
        r.spec.training.deadline = "3h".to_owned();
    });
    let mut results = vec![at(trained(&plan, 1, "a", None), MIDNIGHT)];
    assert_eq!(decide_at(&longer, &results, &[], MIDNIGHT), idle_until(THREE));
    results.push(at(failed(&plan, 2), THREE));
    assert_eq!(trigger_of(&decide_at(&longer, &results, &[], THREE)), Some((Trigger::Retry, Some("v1"))));
}

#[test]
fn a_new_secret_version_retries_immediately_but_does_not_replace_a_run() {
    let with_version = |version: &str| {
        let recommender: Recommender = serde_yaml_ng::from_str(MINIMAL).unwrap();
        validate::plan(&recommender, &[("shop-s3".to_owned(), version.to_owned())].into()).unwrap()
    };
    let (old, new) = (with_version("1"), with_version("2"));
    assert_ne!(old.hashes.attempt, new.hashes.attempt);
    assert_eq!(decide_at(&old, &[failed(&old, 1)], &[], NOW), TrainingDecision::Wait { seconds: 10 });
    assert_eq!(started(&decide_at(&new, &[failed(&old, 1)], &[], NOW)), Some(2));
    let running = job(&old, 1, JobState::Running);
    assert_eq!(
        decide_at(&new, &[], std::slice::from_ref(&running), NOW),
        TrainingDecision::Running { job: running.name }
    );
}

#[test]
fn a_lower_run_is_replaced_and_a_deleted_job_is_awaited() {
    let plan = plan();
    let (lower, higher) = (job(&plan, 1, JobState::Running), job(&plan, 2, JobState::Running));
    let replace = TrainingDecision::Replace { job: lower.name.clone() };
    assert_eq!(decide_at(&plan, &[], &[lower.clone(), higher.clone()], NOW), replace);
    assert_eq!(decide_at(&plan, &[], &[higher, lower.clone()], NOW), replace);
    let deleted = JobFacts { deleted: true, ..lower };
    assert_eq!(decide_at(&plan, &[], &[deleted], NOW), replace);
}

#[test]
fn a_requested_run_is_handled_once_even_if_the_spec_changes() {
    let requesting = plan_requesting("monday");
    let other = Plan { retrain_at: requesting.retrain_at.clone(), ..plan_of(|r| r.spec.training.seed = 7) };
    // The requested run was made for another spec; this spec has an earlier model.
    let results = [trained(&plan(), 1, "a", None), trained(&other, 2, "b", None)];
    assert_eq!(decide_at(&requesting, &results, &[], NOW), IDLE);
    // The request is also handled if only the status records it.
    let before = RecommenderStatus { last_handled_retrain_at: "monday".to_owned(), ..RecommenderStatus::default() };
    let history = RunHistory { results: &results[..1], jobs: &[], before: &before };
    assert_eq!(training_of(&requesting, history, TIMING, NOW), IDLE);
    assert_eq!(trigger_of(&decide_at(&requesting, &results[..1], &[], NOW)), Some((Trigger::Requested, None)));
}

#[test]
fn the_status_preserves_failures_and_numbers_of_deleted_jobs() {
    let plan = plan();
    let last = LastRun {
        number: 9,
        attempt: plan.hashes.attempt.clone(),
        outcome: StatusOutcome::Failed,
        ..LastRun::default()
    };
    let before = RecommenderStatus { failures: 4, last_run: Some(last), ..RecommenderStatus::default() };
    let jobs = [job(&plan, 9, JobState::Failed)];
    let history = RunHistory { results: &[], jobs: &jobs, before: &before };
    assert_eq!(training_of(&plan, history, TIMING, NOW), TrainingDecision::Wait { seconds: 60 });
    let history = RunHistory { results: &[], jobs: &[], before: &before };
    assert_eq!(started(&training_of(&plan, history, TIMING, NOW)), Some(10));
}
