//! Starts and stops runs, within the limit of concurrent trainings.

use std::time::Duration;

use super::{Pass, Refused, objects};
use crate::{applied::JobOutcome, desired::JobChange, error::Error, fair_limiter::training_slot_seconds};

/// Applies the change of the Job, whose runs have this deadline. A run starts only if it `may_start`.
pub async fn apply(
    pass: Pass<'_>,
    deadline: Duration,
    job: JobChange,
    may_start: bool,
    refused: &mut Refused,
) -> Result<JobOutcome, Error> {
    let Pass { context, plan, now, .. } = pass;
    let trainings = &context.slots.trainings;
    let slot_seconds = training_slot_seconds(deadline.as_secs());
    match job {
        JobChange::None => Ok(JobOutcome::None),
        JobChange::Keep => {
            trainings.record_running(&pass.key(), now, slot_seconds);
            Ok(JobOutcome::InProgress)
        }
        JobChange::Delete { name } => {
            trainings.record_running(&pass.key(), now, slot_seconds);
            refused.unless_rejected(objects::delete_job(context, &plan.namespace, &name).await)?;
            Ok(JobOutcome::InProgress)
        }
        JobChange::Create { .. } if !may_start => Ok(JobOutcome::Refused),
        JobChange::Create { .. } if !trainings.claim(&pass.key(), now, slot_seconds) => Ok(JobOutcome::Queued),
        JobChange::Create { job, trigger } => {
            let (namespace, name) = (&plan.namespace, &plan.name);
            tracing::info!(namespace, name, job = job.name(), trigger = trigger.as_str(), "starting a training run");
            let created = refused.unless_rejected(objects::create_job(pass, &job).await)?;
            Ok(created.map_or(JobOutcome::Refused, |()| JobOutcome::InProgress))
        }
    }
}
