//! Facts about a training Job.

use kube::ResourceExt;

use sidecar_contract::{RunOutcome, RunResult};

use super::PodFacts;
use crate::{
    names::{ATTEMPT_LABEL, RUN_LABEL, SPEC_HASH_LABEL},
    received::{JobCondition, ReceivedJob},
};

/// Seconds from the result of a run to the deletion of its Job, if its pods still run.
pub const LINGERING_SECONDS: i64 = 60;

/// State of a Job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JobState {
    /// The Job has not finished.
    #[default]
    Running,
    /// The Job succeeded.
    Succeeded,
    /// The Job failed permanently.
    Failed,
}

/// A training Job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFacts {
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Second since 1970 when it was created.
    pub created_at: i64,
    /// Why it has no pod, if the controller reports that.
    pub problem: Option<String>,
    /// Number of its run.
    pub run: u32,
    /// Hash of its attempt.
    pub attempt: String,
    /// Hash of the spec that it was created for.
    pub spec_hash: String,
    /// Whether it is being deleted.
    pub deleted: bool,
    /// State.
    pub state: JobState,
    /// Second since 1970 when it finished; 0 while it is running.
    pub finished_at: i64,
    /// Reason of the failed condition.
    pub reason: String,
    /// Message of the failed condition.
    pub message: String,
}

impl JobFacts {
    /// Extracts the facts from a Job; `None` if it is not a training Job.
    pub fn of(job: &ReceivedJob) -> Option<Self> {
        let labels = job.labels();
        let end = end_of(job);
        Some(Self {
            name: job.name_any(),
            uid: job.uid().unwrap_or_default(),
            created_at: job.creation_timestamp().map_or(0, |time| time.0.as_second()),
            problem: None,
            run: labels.get(RUN_LABEL)?.parse().ok()?,
            attempt: labels.get(ATTEMPT_LABEL)?.clone(),
            spec_hash: labels.get(SPEC_HASH_LABEL).cloned().unwrap_or_default(),
            deleted: job.metadata.deletion_timestamp.is_some(),
            state: end.state,
            finished_at: end.finished_at,
            reason: end.reason,
            message: end.message,
        })
    }
}

impl JobFacts {
    /// Whether it is running and none of these pods is its own.
    pub fn is_without_pod(&self, pods: &[PodFacts]) -> bool {
        self.state == JobState::Running && !self.deleted && !pods.iter().any(|pod| pod.run == Some(self.run))
    }
}

/// Running Jobs whose run has committed its result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Concluded {
    /// Names of those that should have ended long ago: a container that is not the operator's keeps
    /// their pods alive.
    pub lingering: Vec<String>,
    /// Whether there are others.
    pub is_ending: bool,
}

/// Ends the runs among `results` whose Jobs still run: a run is over when it commits its result.
pub fn conclude(jobs: &mut [JobFacts], results: &[RunResult], now: i64) -> Concluded {
    let mut concluded = Concluded::default();
    for job in jobs.iter_mut().filter(|job| job.state == JobState::Running) {
        let of_job = |result: &&RunResult| result.run.number == job.run && result.run.attempt == job.attempt;
        let Some(result) = results.iter().find(of_job) else { continue };
        job.state = match result.outcome {
            RunOutcome::Trained { .. } | RunOutcome::Unchanged => JobState::Succeeded,
            RunOutcome::Failed { .. } | RunOutcome::Unknown { .. } => JobState::Failed,
        };
        job.finished_at = result.finished_at;
        if job.deleted {
            continue;
        }
        if now.saturating_sub(result.finished_at) >= LINGERING_SECONDS {
            concluded.lingering.push(job.name.clone());
        } else {
            concluded.is_ending = true;
        }
    }
    concluded
}

/// How a Job ended, if it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct JobEnd {
    pub(super) state: JobState,
    /// Second since 1970; 0 while the Job is running.
    pub(super) finished_at: i64,
    pub(super) reason: String,
    pub(super) message: String,
}

/// How a Job ended.
pub(super) fn end_of(job: &ReceivedJob) -> JobEnd {
    let Some(end) = end_condition(job) else { return JobEnd::default() };
    JobEnd {
        state: if end.type_ == "Complete" { JobState::Succeeded } else { JobState::Failed },
        finished_at: end.last_transition_time.as_ref().map_or(0, |time| time.0.as_second()),
        reason: end.reason.clone().unwrap_or_default(),
        message: end.message.clone().unwrap_or_default(),
    }
}

/// Whether a Job has succeeded or failed permanently.
pub fn has_ended(job: &ReceivedJob) -> bool {
    end_condition(job).is_some()
}

fn end_condition(job: &ReceivedJob) -> Option<&JobCondition> {
    let conditions = job.status.conditions.as_ref()?;
    conditions.iter().find(|c| c.status == "True" && (c.type_ == "Complete" || c.type_ == "Failed"))
}
