//! Whether to train now.

use sidecar_contract::RunId;

use super::{Due, Failures, Progress, Trigger, due};
use crate::{
    args::Settings,
    observed::{JobFacts, JobState},
    validate::Plan,
};

/// Decision about training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrainingDecision {
    /// No run is due.
    Idle {
        /// Second since 1970 when the next run is due; `None` if only a change can make one due.
        next: Option<i64>,
    },
    /// A Job for the current spec is running.
    Running {
        /// Name of the Job.
        job: String,
    },
    /// A Job is outdated and must be deleted before the next run starts.
    Replace {
        /// Name of the Job.
        job: String,
    },
    /// A run must be started, as soon as there is a free slot.
    Start {
        /// Id of the run in the store.
        run: RunId,
        /// Why the run starts.
        trigger: Trigger,
        /// Second since 1970 of this decision.
        decided_at: i64,
        /// Data version of the newest model, if the trainer may exit without training when the data
        /// has not changed.
        known_data_version: Option<String>,
    },
    /// The attempt failed and is in back-off.
    Wait {
        /// Seconds from now until the retry.
        seconds: u64,
    },
}

/// Exponential back-off between retries of a failed attempt, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// Delay after the first failure.
    pub min: u64,
    /// Maximum delay.
    pub max: u64,
}

impl Backoff {
    pub(super) fn after(self, failures: u32) -> u64 {
        self.min.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(self.max)
    }
}

/// Settings that determine when to train.
#[derive(Clone, Copy, Debug)]
pub struct TrainingTiming {
    /// Back-off after failures.
    pub backoff: Backoff,
    /// Default interval of data checks; 0 disables them.
    pub data_check_seconds: u64,
}

impl From<&Settings> for TrainingTiming {
    fn from(settings: &Settings) -> Self {
        let backoff = Backoff { min: settings.retry_seconds_min, max: settings.retry_seconds_max };
        Self { backoff, data_check_seconds: settings.data_check_seconds }
    }
}

/// Decides whether to train. `now` is in seconds since 1970.
pub(super) fn training(
    plan: &Plan,
    jobs: &[JobFacts],
    progress: &Progress,
    timing: TrainingTiming,
    now: i64,
) -> TrainingDecision {
    let newest = running(jobs).map(|job| job.run).max();
    // The newest run of the current spec continues, even if a Secret has changed; all others are
    // replaced.
    let is_outdated = |job: &&JobFacts| job.deleted || job.spec_hash != plan.hashes.spec || Some(job.run) != newest;
    if let Some(job) = running(jobs).find(is_outdated) {
        return TrainingDecision::Replace { job: job.name.clone() };
    }
    if let Some(job) = running(jobs).next() {
        return TrainingDecision::Running { job: job.name.clone() };
    }
    let trigger = match due(plan, progress, timing.data_check_seconds, now) {
        Due::Now(trigger) => trigger,
        Due::At(at) => return TrainingDecision::Idle { next: Some(at) },
        Due::Never => return TrainingDecision::Idle { next: None },
    };
    if let Failures { count, last_end: Some(last) } = progress.failures {
        let at = last.saturating_add(i64::try_from(timing.backoff.after(count)).unwrap_or(i64::MAX));
        if at > now {
            return TrainingDecision::Wait { seconds: u64::try_from(at - now).unwrap_or(1) };
        }
    }
    let known = progress.newest_model.as_ref().filter(|_| trigger.may_skip_if_unchanged());
    TrainingDecision::Start {
        run: RunId { number: progress.highest_number.saturating_add(1), attempt: plan.hashes.attempt.clone() },
        trigger,
        decided_at: now,
        known_data_version: known.map(|model| model.data_version.clone()),
    }
}

/// The decision while past runs are unknown: no run is started or replaced.
pub(super) fn while_runs_are_unknown(jobs: &[JobFacts]) -> TrainingDecision {
    running(jobs)
        .next()
        .map_or(TrainingDecision::Idle { next: None }, |job| TrainingDecision::Running { job: job.name.clone() })
}

fn running(jobs: &[JobFacts]) -> impl Iterator<Item = &JobFacts> {
    jobs.iter().filter(|job| job.state == JobState::Running)
}
