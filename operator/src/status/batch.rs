//! Status of lists for all users: the newest ones, and why the last batch failed.

use recommender_crds::{BatchStatus, ConditionType, Reason, condition::ConditionUpdate};

use super::{StatusInput, time};
use crate::{
    decide::{Batch, TaskDecision},
    names::Component,
    observed::PodProblem,
};

/// The newest lists, and when the next ones are written. `None` if the spec asks for none.
pub(super) fn status(input: StatusInput<'_>) -> Option<BatchStatus> {
    input.plan.batch.as_ref()?;
    if input.observed.batches.is_err() {
        return input.before.batch.clone(); // The store is down: keep the last known status.
    }
    let Batch { decision, newest, failures, .. } = &input.decision.batch;
    let next = match decision {
        TaskDecision::Idle { next } => *next,
        TaskDecision::Wait { until } => Some(*until),
        TaskDecision::Running | TaskDecision::Replace { .. } | TaskDecision::Start(_) => None,
    };
    let written = newest.as_ref().and_then(|newest| Some((newest, newest.lists.as_ref()?)));
    let lists = written.map(|(newest, lists)| BatchStatus {
        written_at: time(newest.finished_at),
        revision: newest.revision.revision().to_owned(),
        url: lists.url.clone(),
        users: lists.users,
        rows: lists.rows,
        ..BatchStatus::default()
    });
    Some(BatchStatus { failures: failures.count, next_time: next.and_then(time), ..lists.unwrap_or_default() })
}

/// The condition `BatchFailed`; `None` if no batch has failed since the newest lists.
pub(super) fn failed(input: StatusInput<'_>) -> Option<ConditionUpdate> {
    let kind = ConditionType::BatchFailed;
    let mut pods = input.observed.pods.iter().filter(|pod| pod.component == Some(Component::Batch));
    if input.decision.batch.decision == TaskDecision::Running
        && let Some(PodProblem { message, .. }) = pods.find_map(|pod| pod.problem.as_ref())
    {
        return Some(ConditionUpdate::is(kind, Reason::BatchBlocked, message.clone()));
    }
    let Batch { failures, failure, .. } = &input.decision.batch;
    let message = format!("failed batches in a row: {}; the last one: {failure}", failures.count);
    (failures.count > 0).then(|| ConditionUpdate::is(kind, Reason::BatchNotWritten, message))
}
