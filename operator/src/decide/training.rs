//! Whether to train now.

use sidecar_contract::{RunId, RunOutcome, RunResult};

use super::{attempt, config_hash};
use crate::{
    observe::{JobFacts, JobState},
    validate::Plan,
};

/// What to do about training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Training {
    /// A model of this spec is there, or runs are suspended.
    Idle,
    /// This Job works on this attempt.
    Running {
        /// Its name.
        job: String,
    },
    /// This Job works on what is not wanted any more: delete it first.
    Replace {
        /// Its name.
        job: String,
    },
    /// Start this run.
    Start {
        /// Its name in the store.
        run: RunId,
        /// Lets the trainer end at once when a failed source has not changed.
        known_data_version: Option<String>,
    },
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
    fn after(self, failures: usize) -> u64 {
        let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(u32::MAX).min(20);
        self.min.saturating_mul(1 << doublings).min(self.max)
    }
}

/// Whether to train. `results` are the finished runs, in any order; `now` is in seconds since 1970.
pub fn training(plan: &Plan, results: &[RunResult], jobs: &[JobFacts], backoff: Backoff, now: i64) -> Training {
    let attempt = attempt(plan);
    if let Some(job) = jobs.iter().find(|job| job.state == JobState::Running) {
        return if job.attempt == attempt {
            Training::Running { job: job.name.clone() }
        } else {
            Training::Replace { job: job.name.clone() }
        };
    }
    if is_trained(plan, results) || plan.spec.suspend || plan.spec.training.suspend {
        return Training::Idle;
    }
    // Failures of this very attempt, with their ends: results that say so, and Jobs that ended without a result.
    let failed: Vec<&RunResult> =
        results.iter().filter(|r| r.run.attempt == attempt && matches!(r.outcome, RunOutcome::Failed { .. })).collect();
    let silent = jobs.iter().filter(|job| {
        job.attempt == attempt && job.state == JobState::Failed && !results.iter().any(|r| r.run.number == job.run)
    });
    let ends: Vec<i64> = failed.iter().map(|r| r.finished_at).chain(silent.map(|job| job.finished_at)).collect();
    if let Some(last) = ends.iter().max() {
        let due = last.saturating_add(i64::try_from(backoff.after(ends.len())).unwrap_or(i64::MAX));
        if due > now {
            return Training::Wait { seconds: u64::try_from(due - now).unwrap_or(1) };
        }
    }
    let highest = results.iter().map(|r| r.run.number).chain(jobs.iter().map(|job| job.run)).max().unwrap_or(0);
    Training::Start { run: RunId { number: highest.saturating_add(1), attempt }, known_data_version: None }
}

/// Whether a model of this spec is there, and the request for another, if any, was honoured.
pub fn is_trained(plan: &Plan, results: &[RunResult]) -> bool {
    let hash = config_hash(plan);
    let mut trained =
        results.iter().filter(|r| r.config_hash == hash && matches!(r.outcome, RunOutcome::Trained { .. }));
    match &plan.retrain_at {
        None => trained.next().is_some(),
        Some(_) => trained.any(|r| r.retrain_at == plan.retrain_at),
    }
}
