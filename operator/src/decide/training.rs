//! Whether to train now.

use recommender_crds::RunOutcome as StatusOutcome;
use sidecar_contract::{RunId, RunOutcome};

use super::{
    Cause, Due, Past, attempt, due,
    due::{newest_success, silent_failures},
    newest_model, wanted,
};
use crate::{observe::JobState, validate::Plan};

/// What to do about training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Training {
    /// Nothing is due.
    Idle {
        /// Second since 1970 when something will be; `None` when only a change can make it so.
        next: Option<i64>,
    },
    /// This Job works on what is wanted.
    Running {
        /// Its name.
        job: String,
    },
    /// This Job works on what is not wanted any more: it goes first.
    Replace {
        /// Its name.
        job: String,
    },
    /// Start this run.
    Start {
        /// Its name in the store.
        run: RunId,
        /// Why.
        cause: Cause,
        /// Lets the trainer end at once when the data is what the newest model was made of.
        known_data_version: Option<String>,
    },
    /// A run is due, and as many Recommenders as may are training.
    Queued,
    /// The attempt failed; try again after this many seconds.
    Wait {
        /// From now.
        seconds: u64,
    },
}

/// Pauses between tries of a failing attempt, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// After the first failure.
    pub min: u64,
    /// At most.
    pub max: u64,
}

impl Backoff {
    fn after(self, failures: u32) -> u64 {
        self.min.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(self.max)
    }
}

/// What the operator was told about when to train.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// Pauses after failures.
    pub backoff: Backoff,
    /// Pause between two looks at the data where the spec names none; 0 for never.
    pub data_check_seconds: u64,
}

/// Whether to train. `now` is in seconds since 1970.
pub fn training(plan: &Plan, past: Past<'_>, rhythm: Rhythm, now: i64) -> Training {
    let (attempt, wanted) = (attempt(plan), wanted(plan));
    let running = || past.jobs.iter().filter(|job| job.state == JobState::Running);
    let newest = running().map(|job| job.run).max();
    // The newest run of what is wanted goes on, even if a Secret changed meanwhile; all others make room.
    if let Some(job) = running().find(|job| job.deleted || job.wanted != wanted || Some(job.run) != newest) {
        return Training::Replace { job: job.name.clone() };
    }
    if let Some(job) = running().next() {
        return Training::Running { job: job.name.clone() };
    }
    let cause = match due(plan, past, rhythm.data_check_seconds, now) {
        Due::Now(cause) => cause,
        Due::At(at) => return Training::Idle { next: Some(at) },
        Due::Never => return Training::Idle { next: None },
    };
    if let Failures { count, last_end: Some(last) } = failures(plan, past) {
        let at = last.saturating_add(i64::try_from(rhythm.backoff.after(count)).unwrap_or(i64::MAX));
        if at > now {
            return Training::Wait { seconds: u64::try_from(at - now).unwrap_or(1) };
        }
    }
    let known = newest_model(plan, past.results).filter(|_| cause.is_content_with_unchanged_data());
    let run = RunId { number: highest(past).saturating_add(1), attempt };
    Training::Start { run, cause, known_data_version: known.map(|result| result.data_version.clone()) }
}

/// Failures of the present attempt, one after another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// How many.
    pub count: u32,
    /// When the last one ended, in seconds since 1970.
    pub last_end: Option<i64>,
}

/// Counts them: results that say so, and Jobs that ended without a result. Old Jobs go, so what the status counted stays.
pub fn failures(plan: &Plan, past: Past<'_>) -> Failures {
    let (attempt, success) = (attempt(plan), newest_success(plan, past.results));
    let failed = past.results.iter().filter(|result| {
        result.run.number > success
            && result.run.attempt == attempt
            && matches!(result.outcome, RunOutcome::Failed { .. })
    });
    let silent = silent_failures(past, &attempt, success);
    let ends: Vec<i64> = failed.map(|result| result.finished_at).chain(silent.map(|job| job.finished_at)).collect();
    let said = past.before.last_run.as_ref().filter(|run| {
        run.number > success && run.attempt == attempt && run.outcome == StatusOutcome::Failed && !ends.is_empty()
    });
    let count = u32::try_from(ends.len()).unwrap_or(u32::MAX);
    Failures { count: count.max(said.map_or(0, |_| past.before.failures)), last_end: ends.into_iter().max() }
}

/// The highest number that a run ever had, as far as anybody knows.
fn highest(past: Past<'_>) -> u32 {
    let results = past.results.iter().map(|result| result.run.number);
    let jobs = past.jobs.iter().map(|job| job.run);
    let said = past.before.last_run.as_ref().map(|run| run.number);
    results.chain(jobs).chain(said).max().unwrap_or(0)
}
