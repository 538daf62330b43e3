//! Tests of when lists for all users are written, with the time as an argument.

use recommender_crds::{BatchDestination, BatchSpec};
use sidecar_contract::{BatchResult, TimedId, WrittenLists};

use super::*;
use crate::{
    decide::{Batch, NewBatch, TaskDecision, TaskFailures, batch},
    names::Component,
    observed::{EndedBatches, Observed, TaskFacts},
};

const DAY: i64 = 86_400;
/// 2026-03-10 00:00:00 in UTC.
const MIDNIGHT: i64 = 1_773_100_800;
const FIVE: i64 = MIDNIGHT + 5 * 3600;

fn lists(schedule: Option<&str>) -> Plan {
    plan_of(|r| {
        r.spec.batch = Some(BatchSpec {
            schedule: schedule.map(str::to_owned),
            time_zone: None,
            items_per_user: 20,
            destination: BatchDestination { url: "s3://shop/lists".to_owned(), secret_ref: None },
        });
    })
}

/// A batch of a revision that was decided and ended at this second.
fn ended(plan: &Plan, revision: &str, at: i64, is_written: bool) -> BatchResult {
    let revision = Digest::of(revision.as_bytes());
    let url = "s3://shop/lists/movies.parquet".to_owned();
    BatchResult {
        version: 1,
        id: TimedId::new(at, &revision),
        spec_hash: plan.batch.as_ref().unwrap().spec_hash.clone(),
        revision,
        lists: is_written.then_some(WrittenLists { url, bytes: 9, users: 3, rows: 60 }),
        failure: if is_written { String::new() } else { "access denied".to_owned() },
        started_at: at,
        finished_at: at,
    }
}

fn task_of(plan: &Plan, at: i64, state: JobState) -> TaskFacts {
    TaskFacts {
        component: Component::Batch,
        name: format!("movies-batch-{at}"),
        id: TimedId::new(at, &Digest::of(b"a")),
        spec_hash: plan.batch.as_ref().unwrap().spec_hash.revision().to_owned(),
        request: None,
        deleted: false,
        state,
        finished_at: at,
        message: "the deadline was exceeded".to_owned(),
    }
}

/// The decision while this revision is desired. `batches` are the newest first.
fn decided(plan: &Plan, revision: &str, batches: &[BatchResult], tasks: &[TaskFacts], now: i64) -> Batch {
    let serving = serving_of(plan, &[trained(plan, 1, revision, None)], None);
    let batches = Ok(EndedBatches { newest: batches.to_vec(), older: Vec::new() });
    let observed = Observed { batches, tasks: tasks.to_vec(), ..Observed::nothing() };
    batch::batch(plan, &observed, &serving, TIMING.backoff, now)
}

/// Time and revision of a batch that starts.
fn started(batch: &Batch) -> Option<(i64, Digest)> {
    match &batch.decision {
        TaskDecision::Start(NewBatch { id, revision }) => Some((id.decided_at, revision.digest.clone())),
        _ => None,
    }
}

fn idle(next: Option<i64>) -> TaskDecision<NewBatch> {
    TaskDecision::Idle { next }
}

#[test]
fn lists_follow_each_promotion() {
    let plan = lists(None);
    let of = |content: &str| Digest::of(content.as_bytes());
    assert_eq!(started(&decided(&plan, "a", &[], &[], NOW)), Some((NOW, of("a"))));
    let first = ended(&plan, "a", NOW, true);
    assert_eq!(decided(&plan, "a", std::slice::from_ref(&first), &[], NOW + DAY).decision, idle(None));
    assert_eq!(started(&decided(&plan, "b", std::slice::from_ref(&first), &[], NOW)), Some((NOW + 1, of("b"))));
    // Lists of another length do not satisfy the spec.
    let other = BatchResult { spec_hash: Digest::of(b"another spec"), ..first };
    assert_eq!(started(&decided(&plan, "a", &[other], &[], NOW + DAY)), Some((NOW + DAY, of("a"))));
}

#[test]
fn a_schedule_repeats_lists_and_does_not_follow_promotions() {
    let plan = lists(Some("0 5 * * *"));
    assert!(started(&decided(&plan, "a", &[], &[], MIDNIGHT)).is_some(), "the first lists do not wait");
    let first = [ended(&plan, "a", MIDNIGHT, true)];
    assert_eq!(decided(&plan, "b", &first, &[], FIVE - 1).decision, idle(Some(FIVE)));
    assert_eq!(started(&decided(&plan, "b", &first, &[], FIVE)), Some((FIVE, Digest::of(b"b"))));
    let made_up = [ended(&plan, "b", FIVE + 3 * DAY + 1, true), first[0].clone()];
    assert_eq!(decided(&plan, "b", &made_up, &[], FIVE + 3 * DAY + 2).decision, idle(Some(FIVE + 4 * DAY)));
}

#[test]
fn failures_with_and_without_a_result_are_retried_with_pauses() {
    let plan = lists(None);
    let batches =
        [ended(&plan, "a", NOW + 20, false), ended(&plan, "a", NOW + 10, false), ended(&plan, "b", NOW, true)];
    let failed = decided(&plan, "a", &batches, &[], NOW + 39);
    assert_eq!(failed.decision, TaskDecision::Wait { until: NOW + 40 });
    assert_eq!(failed.failures, TaskFailures { count: 2, last_end: Some(NOW + 20) });
    assert_eq!(failed.newest.as_ref().map(|newest| newest.id.decided_at), Some(NOW));
    assert_eq!(failed.failure, "access denied");
    assert!(started(&decided(&plan, "a", &batches, &[], NOW + 40)).is_some());
    let killed = [task_of(&plan, NOW + 30, JobState::Failed)];
    let failed = decided(&plan, "a", &batches, &killed, NOW + 31);
    assert_eq!((failed.failures.count, failed.failure.as_str()), (3, "the deadline was exceeded"));
    assert_eq!(failed.decision, TaskDecision::Wait { until: NOW + 70 });
}

#[test]
fn a_running_job_is_kept_until_the_spec_changes() {
    let plan = lists(None);
    let running = [task_of(&plan, NOW, JobState::Running)];
    assert_eq!(decided(&plan, "b", &[], &running, NOW).decision, TaskDecision::Running);
    let outdated = TaskFacts { spec_hash: "0123456789".to_owned(), ..running[0].clone() };
    let replaced = TaskDecision::Replace { job: outdated.name.clone() };
    assert_eq!(decided(&plan, "b", &[], &[outdated], NOW).decision, replaced);
    // The spec does not ask for lists any more.
    let without = plan_of(|_| {});
    assert_eq!(decided(&without, "b", &[], &running, NOW).decision, replaced);
    assert_eq!(decided(&without, "b", &[], &[], NOW).decision, idle(None));
}

#[test]
fn nothing_starts_while_it_is_unknown_suspended_or_nothing_personalizes() {
    let plan = lists(None);
    let serving = serving_of(&plan, &[trained(&plan, 1, "a", None)], None);
    let unknown = Observed { batches: Err("no route".to_owned()), ..Observed::nothing() };
    assert_eq!(batch::batch(&plan, &unknown, &serving, TIMING.backoff, NOW).decision, idle(None));
    let mut suspended = plan.clone();
    suspended.workload.spec.suspend = true;
    assert_eq!(decided(&suspended, "a", &[], &[], NOW).decision, idle(None));
    let popularity = serving_of(&plan, &[trained(&plan, 1, "a", Some(-0.5))], None);
    assert_eq!(batch::batch(&plan, &Observed::nothing(), &popularity, TIMING.backoff, NOW).decision, idle(None));
}
