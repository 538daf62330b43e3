//! Short Jobs of the trainer's image other than training: what all kinds have in common.

use sidecar_contract::{ExitCode, TimedId};

use super::{
    child::Child,
    trainer_job::{JobInput, JobPod, trainer_job},
};
use crate::{
    args::Settings,
    decide::TaskDecision,
    names::{Component, REQUEST_LABEL, SPEC_HASH_LABEL, TASK_LABEL},
    observed::Observed,
    validate::Plan,
};

/// What happens to a short Job.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskChange {
    /// No Job runs or is due.
    None,
    /// A Job runs, or is being deleted.
    Keep,
    /// An outdated Job is deleted.
    Delete {
        /// Name of the Job.
        name: String,
    },
    /// A Job starts as soon as there is a free slot. It is created once and never patched.
    Create(Child),
}

/// What happens to a Job that is not started.
pub(super) fn change<T>(decision: &TaskDecision<T>, observed: &Observed) -> TaskChange {
    match decision {
        TaskDecision::Idle { .. } | TaskDecision::Wait { .. } | TaskDecision::Start(_) => TaskChange::None,
        TaskDecision::Running => TaskChange::Keep,
        TaskDecision::Replace { job } => {
            let is_deleted = observed.tasks.iter().any(|known| known.name == *job && known.deleted);
            if is_deleted { TaskChange::Keep } else { TaskChange::Delete { name: job.clone() } }
        }
    }
}

/// What differs between short Jobs.
pub(super) struct TaskInput<'a> {
    pub(super) component: Component,
    /// Name of the Job.
    pub(super) name: String,
    /// Identity of what it makes.
    pub(super) id: &'a TimedId,
    /// Short hash of the spec that it is created for.
    pub(super) spec_hash: &'a str,
    /// Hash of the request that it handles.
    pub(super) request: Option<String>,
    /// Subcommand of the image.
    pub(super) command: &'static str,
    pub(super) pod: JobPod,
}

/// Builds a short Job.
pub(super) fn task_job(plan: &Plan, settings: &Settings, input: TaskInput<'_>) -> Child {
    let TaskInput { component, name, id, spec_hash, request, command, pod } = input;
    let pod_labels = vec![(TASK_LABEL, id.to_string())];
    let mut labels = pod_labels.clone();
    labels.push((SPEC_HASH_LABEL, spec_hash.to_owned()));
    labels.extend(request.map(|request| (REQUEST_LABEL, request)));
    let final_codes = ExitCode::PERMANENT.map(ExitCode::code).to_vec();
    let input = JobInput { component, name, labels, pod_labels, command, pod, final_codes, affinity: None };
    trainer_job(plan, settings, input)
}
