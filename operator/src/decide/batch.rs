//! Whether to write lists for all users now: after another model is served, or by the schedule.

use sidecar_contract::{BatchId, BatchResult, RevisionRef, ServingMode};

use super::{
    Backoff, Serving,
    task::{TaskDecision, TaskDue, TaskFailures, task},
};
use crate::{
    names::Component,
    observed::{EndedBatches, JobState, Observed, TaskFacts},
    validate::{BatchPlan, Plan},
};

/// Results that are retained in the store: they have the newest lists and the failures since.
pub const BATCHES_RETAINED: usize = 20;

/// A batch to start.
#[derive(Clone, Debug, PartialEq)]
pub struct NewBatch {
    /// Its identity.
    pub id: BatchId,
    /// The revision that computes the lists.
    pub revision: RevisionRef,
}

/// What a pass knows and decides about lists for all users.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Whether to write lists.
    pub decision: TaskDecision<NewBatch>,
    /// The newest lists of the current spec.
    pub newest: Option<BatchResult>,
    /// Batches that failed since.
    pub failures: TaskFailures,
    /// Why the last of them failed; empty if it is not known.
    pub failure: String,
}

/// Decides on lists for all users.
pub(super) fn batch(plan: &Plan, observed: &Observed, serving: &Serving, backoff: Backoff, now: i64) -> Batch {
    let tasks = observed.tasks.iter().filter(|task| task.component == Component::Batch);
    let spec_hash = plan.batch.as_ref().map(|batch| batch.spec_hash.revision());
    let known = observed.batches.as_ref();
    let History { newest, failures, failure } = match (&plan.batch, known) {
        (Some(wanted), Ok(ended)) => history(wanted, ended, tasks.clone()),
        _ => History::default(),
    };
    let revision = serving.desired.as_ref().filter(|revision| revision.serving_mode == ServingMode::Personalized);
    let due = || match (&plan.batch, revision) {
        (Some(wanted), Some(revision)) if known.is_ok() && !plan.spec.suspend => {
            due(wanted, newest.as_ref(), revision, now)
        }
        _ => TaskDue::Never,
    };
    let start = || {
        let revision = revision?.clone();
        // Ids sort by time, also if two batches are decided within a second.
        let last = known.ok().into_iter().flat_map(|ended| &ended.newest).map(|result| result.id.decided_at).max();
        let decided_at = last.map_or(now, |last| now.max(last.saturating_add(1)));
        Some(NewBatch { id: BatchId::new(decided_at, &revision.digest), revision })
    };
    let decision = task(tasks, spec_hash, due, failures, backoff, now, start);
    Batch { decision, newest, failures, failure }
}

#[derive(Default)]
struct History {
    newest: Option<BatchResult>,
    failures: TaskFailures,
    failure: String,
}

/// The newest lists of a spec and the failures since, with or without a result.
fn history<'a>(wanted: &BatchPlan, ended: &EndedBatches, tasks: impl Iterator<Item = &'a TaskFacts>) -> History {
    let of_spec = || ended.newest.iter().filter(|result| result.spec_hash == wanted.spec_hash);
    let newest = of_spec().find(|result| result.lists.is_some()).cloned();
    let since = newest.as_ref().map_or(i64::MIN, |newest| newest.id.decided_at);
    let failed: Vec<&BatchResult> =
        of_spec().filter(|result| result.lists.is_none() && result.id.decided_at > since).collect();
    let without_result: Vec<&TaskFacts> = tasks
        .filter(|task| task.state == JobState::Failed && task.spec_hash == wanted.spec_hash.revision())
        .filter(|task| task.id.decided_at > since && !ended.newest.iter().any(|result| result.id == task.id))
        .collect();
    let results = failed.iter().map(|result| (result.finished_at, result.failure.as_str()));
    let ends = || results.clone().chain(without_result.iter().map(|task| (task.finished_at, task.message.as_str())));
    History {
        failures: TaskFailures::of(ends().map(|(end, _)| end)),
        failure: ends().max_by_key(|(end, _)| *end).map(|(_, failure)| failure.to_owned()).unwrap_or_default(),
        newest,
    }
}

fn due(wanted: &BatchPlan, newest: Option<&BatchResult>, revision: &RevisionRef, now: i64) -> TaskDue {
    let Some(newest) = newest else { return TaskDue::Now };
    match &wanted.schedule {
        None if newest.revision == revision.digest => TaskDue::Never,
        None => TaskDue::Now,
        // Several missed starts are made up for by one batch.
        Some(schedule) => match schedule.next_after(newest.id.decided_at) {
            Some(at) if at <= now => TaskDue::Now,
            Some(at) => TaskDue::At(at),
            None => TaskDue::Never,
        },
    }
}

/// Results of batches that are deleted from the store, oldest last.
pub(super) fn garbage(observed: &Observed) -> Vec<BatchId> {
    observed.batches.as_ref().map(|ended| ended.older.clone()).unwrap_or_default()
}
