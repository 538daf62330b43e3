//! When the next run of a spec is due: because there is no model of it, because it was asked for, by the schedule, or to look
//! whether the data changed. Runs that failed are due until one succeeds; how soon is the back-off's to say.

use recommender_crds::RecommenderStatus;
use sidecar_contract::{Digest, RunOutcome, RunResult};

use super::{attempt, config_hash};
use crate::{
    observe::{JobFacts, JobState},
    validate::Plan,
};

/// Why a run starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There is no model of this spec.
    NewSpec,
    /// The annotation asks for one.
    Asked,
    /// The last one failed.
    Retry,
    /// By the schedule.
    Scheduled,
    /// To look whether the data changed.
    DataCheck,
}

impl Cause {
    /// For logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NewSpec => "new spec",
            Self::Asked => "asked for",
            Self::Retry => "retry",
            Self::Scheduled => "schedule",
            Self::DataCheck => "data check",
        }
    }

    /// Whether the trainer may end at once when the data is what the newest model was made of.
    pub fn is_content_with_unchanged_data(self) -> bool {
        match self {
            Self::NewSpec | Self::Asked => false,
            Self::Retry | Self::Scheduled | Self::DataCheck => true,
        }
    }
}

/// When a run is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Now.
    Now(Cause),
    /// At this second since 1970.
    At(i64),
    /// When something changes.
    Never,
}

/// What happened to a spec so far.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    /// Finished runs, in any order.
    pub results: &'a [RunResult],
    /// Training Jobs.
    pub jobs: &'a [JobFacts],
    /// The status as it stands: it remembers what neither results nor Jobs tell any more, and is not needed otherwise.
    pub before: &'a RecommenderStatus,
}

/// When the next run is due. `data_check_seconds` is the pause where the spec names none; 0 for never.
pub fn due(plan: &Plan, past: Past<'_>, data_check_seconds: u64, now: i64) -> Due {
    if plan.spec.suspend || plan.spec.training.suspend {
        return Due::Never;
    }
    if !is_trained(plan, past.results) {
        return Due::Now(Cause::NewSpec);
    }
    if !is_honoured(plan, past) {
        return Due::Now(Cause::Asked);
    }
    if failed_since_success(plan, past) {
        return Due::Now(Cause::Retry);
    }
    let last = successes(plan, past.results).map(decided_at).max().unwrap_or(0);
    let scheduled = plan.training.schedule.as_ref().and_then(|schedule| {
        // A start that was missed by more than the deadline is left out, and of several only one is made up for.
        schedule.next_after(last.max(now.saturating_sub(signed(plan.training.starting_deadline.as_secs())) - 1))
    });
    let checked = pause_between_checks(plan, data_check_seconds).map(|pause| last.saturating_add(signed(pause)));
    match (scheduled, checked) {
        (Some(at), _) if at <= now => Due::Now(Cause::Scheduled),
        (_, Some(at)) if at <= now => Due::Now(Cause::DataCheck),
        (scheduled, checked) => scheduled.into_iter().chain(checked).min().map_or(Due::Never, Due::At),
    }
}

/// Whether a model of this spec is there.
pub fn is_trained(plan: &Plan, results: &[RunResult]) -> bool {
    newest_model(plan, results).is_some()
}

/// The newest model of this spec.
pub fn newest_model<'a>(plan: &Plan, results: &'a [RunResult]) -> Option<&'a RunResult> {
    let trained = successes(plan, results).filter(|result| matches!(result.outcome, RunOutcome::Trained { .. }));
    trained.max_by_key(|result| result.run.number)
}

/// Whether the run that the annotation asks for was made; it is made once, whatever becomes of the spec.
pub fn is_honoured(plan: &Plan, past: Past<'_>) -> bool {
    plan.retrain_at.as_deref().is_none_or(|asked| {
        past.before.last_handled_retrain_at == asked
            || past.results.iter().any(|result| {
                result.retrain_at.as_deref() == Some(asked) && matches!(result.outcome, RunOutcome::Trained { .. })
            })
    })
}

/// Number of the newest run of this spec that did not fail; 0 if there is none.
pub(super) fn newest_success(plan: &Plan, results: &[RunResult]) -> u32 {
    successes(plan, results).map(|result| result.run.number).max().unwrap_or(0)
}

/// Runs of this spec that did not fail.
fn successes<'a>(plan: &Plan, results: &'a [RunResult]) -> impl Iterator<Item = &'a RunResult> {
    let hash = config_hash(plan);
    results.iter().filter(move |result| {
        result.config_hash == hash && matches!(result.outcome, RunOutcome::Trained { .. } | RunOutcome::Unchanged)
    })
}

/// Whether a run of this spec failed, with whatever means, and none succeeded since.
fn failed_since_success(plan: &Plan, past: Past<'_>) -> bool {
    let (hash, attempt, success) = (config_hash(plan), attempt(plan), newest_success(plan, past.results));
    past.results.iter().any(|result| {
        result.run.number > success && result.config_hash == hash && matches!(result.outcome, RunOutcome::Failed { .. })
    }) || silent_failures(past, &attempt, success).next().is_some()
}

/// The Jobs of an attempt that failed after the last success and left no result.
pub(super) fn silent_failures<'a>(
    past: Past<'a>,
    attempt: &'a str,
    success: u32,
) -> impl Iterator<Item = &'a JobFacts> {
    past.jobs.iter().filter(move |job| {
        job.run > success
            && job.state == JobState::Failed
            && job.attempt == attempt
            && !past.results.iter().any(|result| result.run.number == job.run)
    })
}

/// By the operator's clock where the result has it.
fn decided_at(result: &RunResult) -> i64 {
    result.decided_at.unwrap_or(result.started_at)
}

/// Seconds from one run to the next look at the data: up to a quarter longer than what is asked for, by the Recommender's
/// identity, so that a fleet does not look in step.
fn pause_between_checks(plan: &Plan, by_default: u64) -> Option<u64> {
    let seconds = match plan.training.data_check {
        Some(explicit) => explicit.as_secs(),
        None if plan.training.schedule.is_some() || plan.spec.serving.replicas == 0 => 0,
        None => by_default,
    };
    let digest = Digest::of(plan.uid.as_bytes());
    let splay = u64::from_str_radix(digest.as_str().get(..8).unwrap_or("0"), 16).unwrap_or(0);
    (seconds > 0).then(|| seconds.saturating_add(splay % (seconds / 4 + 1)))
}

fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX / 4)
}
