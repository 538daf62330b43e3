//! When a run is due, with the time as an argument.

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

fn cause(decision: &Training) -> Option<(Cause, Option<&str>)> {
    match decision {
        Training::Start { cause, known_data_version, .. } => Some((*cause, known_data_version.as_deref())),
        _ => None,
    }
}

fn rests_until(next: i64) -> Training {
    Training::Idle { next: Some(next) }
}

fn hourly(plan: &Plan, results: &[RunResult], now: i64) -> Training {
    let before = RecommenderStatus::default();
    let rhythm = Rhythm { data_check_seconds: 3600, ..RHYTHM };
    training(plan, Past { results, jobs: &[], before: &before }, rhythm, now)
}

#[test]
fn the_schedule_starts_a_run_that_may_find_the_data_unchanged() {
    let plan = nightly();
    let results = [at(trained(&plan, 1, "a", None), MIDNIGHT)];
    assert_eq!(decide_at(&plan, &results, &[], THREE - 1), rests_until(THREE));
    assert_eq!(cause(&decide_at(&plan, &results, &[], THREE)), Some((Cause::Scheduled, Some("v1"))));
    for done in [at(unchanged(&plan, 2), THREE), at(trained(&plan, 2, "b", None), THREE + 9)] {
        let results = [results[0].clone(), done];
        assert_eq!(decide_at(&plan, &results, &[], THREE + 10), rests_until(THREE + DAY));
    }
}

#[test]
fn the_first_model_does_not_wait_for_the_schedule() {
    let plan = nightly();
    assert_eq!(cause(&decide_at(&plan, &[], &[], MIDNIGHT)), Some((Cause::NewSpec, None)));
}

#[test]
fn of_missed_starts_one_is_made_up_for_and_none_after_the_starting_deadline() {
    let plan = plan_of(|r| {
        r.spec.training.schedule = Some("0 3 * * *".to_owned());
        r.spec.training.starting_deadline = "2h".to_owned();
    });
    let results = [at(trained(&plan, 1, "a", None), THREE - 5 * DAY)];
    assert_eq!(cause(&decide_at(&plan, &results, &[], THREE + 7200)), Some((Cause::Scheduled, Some("v1"))));
    assert_eq!(decide_at(&plan, &results, &[], THREE + 7201), rests_until(THREE + DAY));
    let made_up = [results[0].clone(), at(unchanged(&plan, 2), THREE + 7200)];
    assert_eq!(decide_at(&plan, &made_up, &[], THREE + 7201), rests_until(THREE + DAY));
}

#[test]
fn the_schedule_goes_by_its_zone() {
    let plan = plan_of(|r| {
        r.spec.training.schedule = Some("0 3 * * *".to_owned());
        r.spec.training.time_zone = Some("Asia/Tokyo".to_owned());
    });
    let results = [at(trained(&plan, 1, "a", None), MIDNIGHT)];
    assert_eq!(decide_at(&plan, &results, &[], MIDNIGHT + 1), rests_until(MIDNIGHT + 18 * 3600));
}

#[test]
fn another_clock_has_no_say_in_what_is_due() {
    let plan = nightly();
    // The node's clock is ten minutes behind the operator's.
    let late = RunResult { started_at: THREE - 600, ..at(unchanged(&plan, 2), THREE) };
    let results = [at(trained(&plan, 1, "a", None), MIDNIGHT), late];
    assert_eq!(decide_at(&plan, &results, &[], THREE + 1), rests_until(THREE + DAY));
}

#[test]
fn data_is_looked_at_after_the_pause_and_a_quarter_of_it_at_most() {
    let mut pauses = Vec::new();
    for uid in 0..200 {
        let plan = plan_of(|r| r.metadata.uid = Some(format!("u-{uid}")));
        let results = [at(trained(&plan, 1, "a", None), MIDNIGHT)];
        let Training::Idle { next: Some(next) } = hourly(&plan, &results, MIDNIGHT) else { panic!("not idle") };
        assert_eq!(hourly(&plan, &results, next - 1), rests_until(next));
        assert_eq!(cause(&hourly(&plan, &results, next)), Some((Cause::DataCheck, Some("v1"))));
        pauses.push(next - MIDNIGHT);
    }
    assert!(pauses.iter().all(|pause| (3600..=4500).contains(pause)), "{pauses:?}");
    // In each tenth of the quarter there is somebody.
    for tenth in 0..10 {
        assert!(pauses.iter().any(|pause| (pause - 3600) / 91 == tenth), "nobody in tenth {tenth}");
    }
}

#[test]
fn nobody_looks_at_the_data_where_a_schedule_or_no_replica_says_so() {
    let by_schedule = nightly();
    let to_zero = plan_of(|r| r.spec.serving.replicas = 0);
    let never = plan_of(|r| r.spec.training.data_check_interval = Some("0s".to_owned()));
    for (plan, rests) in [(by_schedule, rests_until(THREE)), (to_zero, RESTS), (never, RESTS)] {
        let results = [at(trained(&plan, 1, "a", None), MIDNIGHT)];
        assert_eq!(hourly(&plan, &results, MIDNIGHT + 9000).clone(), rests);
    }
    let both = plan_of(|r| {
        r.spec.training.schedule = Some("0 3 * * *".to_owned());
        r.spec.training.data_check_interval = Some("15m".to_owned());
    });
    let results = [at(trained(&both, 1, "a", None), MIDNIGHT)];
    assert_eq!(cause(&hourly(&both, &results, MIDNIGHT + 1200)), Some((Cause::DataCheck, Some("v1"))));
}

#[test]
fn a_scheduled_run_that_failed_is_tried_again_until_one_succeeds() {
    let plan = nightly();
    let mut results = vec![at(trained(&plan, 1, "a", None), MIDNIGHT), at(failed(&plan, 2), THREE)];
    assert_eq!(decide_at(&plan, &results, &[], THREE + 1), Training::Wait { seconds: 9 });
    assert_eq!(cause(&decide_at(&plan, &results, &[], THREE + 10)), Some((Cause::Retry, Some("v1"))));
    results.push(at(failed(&plan, 3), THREE + 10));
    assert_eq!(decide_at(&plan, &results, &[], THREE + 11), Training::Wait { seconds: 19 });
    // The data is again what it was: nothing is left to do, and a later failure starts with the shortest pause.
    results.push(at(unchanged(&plan, 4), THREE + 40));
    assert_eq!(decide_at(&plan, &results, &[], THREE + 41), rests_until(THREE + DAY));
    results.push(at(failed(&plan, 5), THREE + DAY));
    assert_eq!(decide_at(&plan, &results, &[], THREE + DAY), Training::Wait { seconds: 10 });
}

#[test]
fn other_means_are_tried_at_once_and_do_not_train_what_is_trained() {
    let plan = nightly();
    let ampler = plan_of(|r| {
        r.spec.training.schedule = Some("0 3 * * *".to_owned());
        r.spec.training.deadline = "3h".to_owned();
    });
    let mut results = vec![at(trained(&plan, 1, "a", None), MIDNIGHT)];
    assert_eq!(decide_at(&ampler, &results, &[], MIDNIGHT), rests_until(THREE));
    results.push(at(failed(&plan, 2), THREE));
    assert_eq!(cause(&decide_at(&ampler, &results, &[], THREE)), Some((Cause::Retry, Some("v1"))));
}

#[test]
fn another_version_of_a_secret_is_tried_at_once_and_leaves_a_run_alone() {
    let with_version = |version: &str| {
        let mut plan = plan();
        plan.secret_versions = [("shop-s3".to_owned(), version.to_owned())].into();
        plan
    };
    let (old, new) = (with_version("1"), with_version("2"));
    assert_ne!(attempt(&old), attempt(&new));
    assert_eq!(decide_at(&old, &[failed(&old, 1)], &[], NOW), Training::Wait { seconds: 10 });
    assert_eq!(started(&decide_at(&new, &[failed(&old, 1)], &[], NOW)), Some(2));
    let running = job(&old, 1, JobState::Running);
    assert_eq!(decide_at(&new, &[], std::slice::from_ref(&running), NOW), Training::Running { job: running.name });
}

#[test]
fn a_lower_run_makes_room_for_a_higher_and_a_deleted_one_is_waited_for() {
    let plan = plan();
    let (lower, higher) = (job(&plan, 1, JobState::Running), job(&plan, 2, JobState::Running));
    let replace = Training::Replace { job: lower.name.clone() };
    assert_eq!(decide_at(&plan, &[], &[lower.clone(), higher.clone()], NOW), replace);
    assert_eq!(decide_at(&plan, &[], &[higher, lower.clone()], NOW), replace);
    let going = JobFacts { deleted: true, ..lower };
    assert_eq!(decide_at(&plan, &[], &[going], NOW), replace);
}

#[test]
fn what_the_annotation_asked_for_is_done_once_whatever_becomes_of_the_spec() {
    let asked = asking("monday");
    let other = {
        let mut other = plan_of(|r| r.spec.training.seed = 7);
        other.retrain_at.clone_from(&asked.retrain_at);
        other
    };
    // The run was made for another spec; a model of this one is there from before.
    let results = [trained(&plan(), 1, "a", None), trained(&other, 2, "b", None)];
    assert_eq!(decide_at(&asked, &results, &[], NOW), RESTS);
    // Nor when only the status remembers it.
    let before = RecommenderStatus { last_handled_retrain_at: "monday".to_owned(), ..RecommenderStatus::default() };
    let past = Past { results: &results[..1], jobs: &[], before: &before };
    assert_eq!(training(&asked, past, RHYTHM, NOW), RESTS);
    assert_eq!(cause(&decide_at(&asked, &results[..1], &[], NOW)), Some((Cause::Asked, None)));
}

#[test]
fn the_status_remembers_failures_and_numbers_that_no_job_tells_any_more() {
    let plan = plan();
    let last = LastRun { number: 9, attempt: attempt(&plan), outcome: StatusOutcome::Failed, ..LastRun::default() };
    let before = RecommenderStatus { failures: 4, last_run: Some(last), ..RecommenderStatus::default() };
    let jobs = [job(&plan, 9, JobState::Failed)];
    let past = Past { results: &[], jobs: &jobs, before: &before };
    assert_eq!(training(&plan, past, RHYTHM, NOW), Training::Wait { seconds: 60 });
    let past = Past { results: &[], jobs: &[], before: &before };
    assert_eq!(started(&training(&plan, past, RHYTHM, NOW)), Some(10));
}
