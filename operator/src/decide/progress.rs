//! What past runs mean for the current spec: its newest model, its failures, and whether a
//! requested run has succeeded.

use recommender_crds::{RecommenderStatus, RunOutcome as StatusOutcome};
use sidecar_contract::{RunOutcome, RunResult};

use crate::{
    observed::{JobFacts, JobState},
    validate::Plan,
};

/// Past runs of a Recommender.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunHistory<'a> {
    /// Finished runs, in any order.
    pub results: &'a [RunResult],
    /// Training Jobs.
    pub jobs: &'a [JobFacts],
    /// The current status. It is needed only for runs whose results and Jobs were deleted.
    pub before: &'a RecommenderStatus,
}

/// What past runs mean for the current spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The newest model of this spec.
    pub newest_model: Option<ModelRun>,
    /// Whether the run that the annotation requests has succeeded. A request is handled once, even
    /// if the spec changes later.
    pub request_handled: bool,
    /// Failures of the current attempt.
    pub failures: Failures,
    /// Whether a run of this spec failed, with any attempt inputs, and none has succeeded since.
    pub failed_since_success: bool,
    /// Second since 1970 when the newest run of this spec that did not fail was started; 0 if there
    /// is none.
    pub last_success_at: i64,
    /// The highest known run number.
    pub highest_number: u32,
}

/// The run of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRun {
    /// Number of the run.
    pub number: u32,
    /// Version of the data that the run read.
    pub data_version: String,
}

/// Consecutive failures of the current attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// Number of failures.
    pub count: u32,
    /// When the last one ended, in seconds since 1970.
    pub last_end: Option<i64>,
}

impl Progress {
    /// Summarizes the past runs.
    pub(super) fn of(plan: &Plan, history: RunHistory<'_>) -> Self {
        let successes: Vec<&RunResult> = history
            .results
            .iter()
            .filter(|result| {
                result.config_hash == plan.hashes.config
                    && matches!(result.outcome, RunOutcome::Trained { .. } | RunOutcome::Unchanged)
            })
            .collect();
        let newest_model = successes
            .iter()
            .filter(|result| matches!(result.outcome, RunOutcome::Trained { .. }))
            .max_by_key(|result| result.run.number)
            .map(|result| ModelRun { number: result.run.number, data_version: result.data_version.clone() });
        let newest_success = successes.iter().map(|result| result.run.number).max().unwrap_or(0);
        Self {
            newest_model,
            request_handled: is_request_handled(plan, history),
            failures: failures(plan, history, newest_success),
            failed_since_success: failed_since_success(plan, history, newest_success),
            last_success_at: successes.iter().map(|result| decided_at(result)).max().unwrap_or(0),
            highest_number: highest_number(history),
        }
    }

    /// Whether a model of this spec exists.
    pub fn is_trained(&self) -> bool {
        self.newest_model.is_some()
    }
}

fn is_request_handled(plan: &Plan, history: RunHistory<'_>) -> bool {
    plan.retrain_at.as_deref().is_none_or(|requested| {
        history.before.last_handled_retrain_at == requested
            || history.results.iter().any(|result| {
                result.retrain_at.as_deref() == Some(requested) && matches!(result.outcome, RunOutcome::Trained { .. })
            })
    })
}

/// Counts failed results, and failed Jobs without a result. Because old ones are deleted, those
/// that the status has counted are not counted again.
fn failures(plan: &Plan, history: RunHistory<'_>, newest_success: u32) -> Failures {
    let attempt = &plan.hashes.attempt;
    let failed = history.results.iter().filter(|result| {
        result.run.number > newest_success && result.run.attempt == *attempt && is_failure(&result.outcome)
    });
    let without_result = failures_without_result(history, attempt, newest_success);
    // Numbers and ends of the failed runs.
    let failed: Vec<(u32, i64)> = failed
        .map(|result| (result.run.number, result.finished_at))
        .chain(without_result.map(|job| (job.run, job.finished_at)))
        .collect();
    let count_after =
        |number: u32| u32::try_from(failed.iter().filter(|(n, _)| *n > number).count()).unwrap_or(u32::MAX);
    let before = history.before;
    let counted = before
        .last_run
        .as_ref()
        .filter(|run| run.number > newest_success && run.attempt == *attempt && !failed.is_empty());
    let counted = counted.map(|run| {
        // A run that was in progress is not part of the count.
        let is_counted = run.outcome == StatusOutcome::Failed;
        let last_counted = if is_counted { run.number } else { run.number.saturating_sub(1) };
        before.failures.saturating_add(count_after(last_counted))
    });
    Failures { count: count_after(0).max(counted.unwrap_or(0)), last_end: failed.into_iter().map(|(_, end)| end).max() }
}

fn failed_since_success(plan: &Plan, history: RunHistory<'_>, newest_success: u32) -> bool {
    history.results.iter().any(|result| {
        result.run.number > newest_success && result.config_hash == plan.hashes.config && is_failure(&result.outcome)
    }) || failures_without_result(history, &plan.hashes.attempt, newest_success).next().is_some()
}

/// Failed Jobs of an attempt that are newer than the last success and left no result.
fn failures_without_result<'a>(
    history: RunHistory<'a>,
    attempt: &'a str,
    newest_success: u32,
) -> impl Iterator<Item = &'a JobFacts> {
    history.jobs.iter().filter(move |job| {
        job.run > newest_success
            && job.state == JobState::Failed
            && job.attempt == attempt
            && !history.results.iter().any(|result| result.run.number == job.run)
    })
}

/// Whether a run failed. An outcome of a newer trainer counts as a failure, because it is unknown
/// whether there is a model.
fn is_failure(outcome: &RunOutcome) -> bool {
    matches!(outcome, RunOutcome::Failed { .. } | RunOutcome::Unknown { .. })
}

/// Second since 1970 when the operator started the run, by its own clock; without one, when the
/// trainer started.
fn decided_at(result: &RunResult) -> i64 {
    result.decided_at.unwrap_or(result.started_at)
}

fn highest_number(history: RunHistory<'_>) -> u32 {
    let results = history.results.iter().map(|result| result.run.number);
    let jobs = history.jobs.iter().map(|job| job.run);
    let in_status = history.before.last_run.as_ref().map(|run| run.number);
    results.chain(jobs).chain(in_status).max().unwrap_or(0)
}
