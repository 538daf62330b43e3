//! Decisions about short Jobs other than training: what all kinds have in common.

use super::Backoff;
use crate::observed::{JobState, TaskFacts};

/// Decision about a short Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskDecision<T> {
    /// No Job is due.
    Idle {
        /// Second since 1970 when the next one is due; `None` if only a change can make one due.
        next: Option<i64>,
    },
    /// A Job of the current spec is running.
    Running,
    /// A Job is outdated and must be deleted before the next one starts.
    Replace {
        /// Name of the Job.
        job: String,
    },
    /// A Job must be started, as soon as there is a free slot.
    Start(T),
    /// The last Job failed, and its retry is in back-off.
    Wait {
        /// Second since 1970 of the retry.
        until: i64,
    },
}

/// When a Job is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TaskDue {
    /// Now.
    Now,
    /// At this second since 1970.
    At(i64),
    /// Only after a change.
    Never,
}

/// Failures since the last success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskFailures {
    /// Their number.
    pub count: u32,
    /// Second since 1970 when the last one ended.
    pub last_end: Option<i64>,
}

impl TaskFailures {
    /// The failures that ended at these seconds since 1970.
    pub(super) fn of(ends: impl Iterator<Item = i64>) -> Self {
        ends.fold(Self::default(), |sum, end| Self {
            count: sum.count.saturating_add(1),
            last_end: sum.last_end.max(Some(end)),
        })
    }
}

/// Decides on the Jobs of a kind. `spec_hash` is that of the current spec, `None` if it asks for no
/// such Job. `start` is what a Job that is due makes.
pub(super) fn task<'a, T>(
    tasks: impl Iterator<Item = &'a TaskFacts> + Clone,
    spec_hash: Option<&str>,
    due: impl FnOnce() -> TaskDue,
    failures: TaskFailures,
    backoff: Backoff,
    now: i64,
    start: impl FnOnce() -> Option<T>,
) -> TaskDecision<T> {
    let mut running = tasks.filter(|task| task.state == JobState::Running);
    if let Some(outdated) = running.clone().find(|task| task.deleted || Some(task.spec_hash.as_str()) != spec_hash) {
        return TaskDecision::Replace { job: outdated.name.clone() };
    }
    if running.next().is_some() {
        return TaskDecision::Running;
    }
    match due() {
        TaskDue::At(at) => return TaskDecision::Idle { next: Some(at) },
        TaskDue::Never => return TaskDecision::Idle { next: None },
        TaskDue::Now => {}
    }
    if let TaskFailures { count, last_end: Some(last) } = failures {
        let until = last.saturating_add(i64::try_from(backoff.after(count)).unwrap_or(i64::MAX));
        if until > now {
            return TaskDecision::Wait { until };
        }
    }
    start().map_or(TaskDecision::Idle { next: None }, TaskDecision::Start)
}
