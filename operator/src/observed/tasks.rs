//! Short Jobs other than training: what they make, and how they ended.

use kube::ResourceExt;
use sidecar_contract::TimedId;

use super::{
    JobState,
    jobs::{LINGERING_SECONDS, end_of},
};
use crate::{
    names::{Component, REQUEST_LABEL, SPEC_HASH_LABEL, TASK_LABEL},
    received::ReceivedJob,
};

/// A short Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFacts {
    /// What it makes.
    pub component: Component,
    /// Name.
    pub name: String,
    /// Identity of what it makes.
    pub id: TimedId,
    /// Short hash of the spec that it was created for.
    pub spec_hash: String,
    /// Hash of the request that it handles.
    pub request: Option<String>,
    /// Whether it is being deleted.
    pub deleted: bool,
    /// State.
    pub state: JobState,
    /// Second since 1970 when it finished; 0 while it is running.
    pub finished_at: i64,
    /// Message of the failed condition.
    pub message: String,
}

impl TaskFacts {
    /// Extracts the facts from a Job; `None` if it is not a short Job.
    pub fn of(job: &ReceivedJob) -> Option<Self> {
        let labels = job.labels();
        let component = Component::parse(labels.get("app.kubernetes.io/component")?)?;
        let end = end_of(job);
        Some(Self {
            component,
            name: job.name_any(),
            id: TimedId::parse(labels.get(TASK_LABEL)?)?,
            spec_hash: labels.get(SPEC_HASH_LABEL).cloned().unwrap_or_default(),
            request: labels.get(REQUEST_LABEL).cloned(),
            deleted: job.metadata.deletion_timestamp.is_some(),
            state: end.state,
            finished_at: end.finished_at,
            message: end.message,
        })
    }
}

/// Running Jobs that have committed their result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConcludedTasks {
    /// Names of those that should have ended long ago: a container that is not the operator's keeps
    /// their pods alive.
    pub lingering: Vec<String>,
    /// Whether there are others.
    pub is_ending: bool,
}

/// Ends the running Jobs of a component that have committed a result; `ended` is the second since
/// 1970 of the result of a Job, and whether it is a success.
pub fn conclude_tasks<'a>(
    tasks: &mut [TaskFacts],
    component: Component,
    ended: impl Fn(&TaskFacts) -> Option<(i64, bool)> + 'a,
    now: i64,
) -> ConcludedTasks {
    let mut concluded = ConcludedTasks::default();
    let running = tasks.iter_mut().filter(|task| task.component == component && task.state == JobState::Running);
    for task in running {
        let Some((finished_at, succeeded)) = ended(task) else { continue };
        task.state = if succeeded { JobState::Succeeded } else { JobState::Failed };
        task.finished_at = finished_at;
        if task.deleted {
            continue;
        }
        if now.saturating_sub(finished_at) >= LINGERING_SECONDS {
            concluded.lingering.push(task.name.clone());
        } else {
            concluded.is_ending = true;
        }
    }
    concluded
}
