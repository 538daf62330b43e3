//! Starts and stops short Jobs other than training, within the limit of their kind.

use std::time::Duration;

use super::{Pass, Refused, objects};
use crate::{
    applied::JobOutcome,
    desired::TaskChange,
    error::Error,
    fair_limiter::{FairLimiter, training_slot_seconds},
};

/// Applies the change of a short Job. It starts only if it `may_start`.
pub async fn apply(
    pass: Pass<'_>,
    deadline: Duration,
    slots: &FairLimiter,
    change: TaskChange,
    may_start: bool,
    refused: &mut Refused,
) -> Result<JobOutcome, Error> {
    let Pass { context, plan, now, .. } = pass;
    // Their deadline is that of a training.
    let slot_seconds = training_slot_seconds(deadline.as_secs());
    match change {
        TaskChange::None => Ok(JobOutcome::None),
        TaskChange::Keep => {
            slots.record_running(&pass.key(), now, slot_seconds);
            Ok(JobOutcome::InProgress)
        }
        TaskChange::Delete { name } => {
            slots.record_running(&pass.key(), now, slot_seconds);
            refused.unless_rejected(objects::delete_job(context, &plan.namespace, &name).await)?;
            Ok(JobOutcome::InProgress)
        }
        TaskChange::Create(_) if !may_start => Ok(JobOutcome::Refused),
        TaskChange::Create(_) if !slots.claim(&pass.key(), now, slot_seconds) => Ok(JobOutcome::Queued),
        TaskChange::Create(job) => {
            let (namespace, name) = (&plan.namespace, &plan.name);
            tracing::info!(namespace, name, job = job.name(), "starting a Job");
            let created = refused.unless_rejected(objects::create_job(pass, &job).await)?;
            Ok(created.map_or(JobOutcome::Refused, |()| JobOutcome::InProgress))
        }
    }
}
