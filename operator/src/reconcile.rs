//! A reconcile: one pass of the steps, independent of what triggered it.

use std::borrow::Cow;

use k8s_openapi::jiff::Timestamp;
use kube::{ResourceExt, runtime::controller::Action};
use recommender_crds::{Reason, Recommender, RecommenderStatus};

use crate::{
    applied::Applied,
    apply::apply,
    context::Context,
    decide::decide,
    deletion::{self, Cleanup},
    desired::desired,
    error::Error,
    installation::Installation,
    observe::{self, observe},
    observed::Observed,
    publish::publish,
    requeue,
    slots::UsedSlots,
    status::{self, StatusInput},
    store_gate::StoreProblem,
    validate::{Rejection, validate},
};

/// What a pass leaves behind.
struct Outcome {
    /// When the next pass runs.
    next: Action,
    /// The slots that the Recommender uses from now on. All others are released.
    slots: UsedSlots,
    /// A write that the API server rejected permanently. The status reports it.
    refused: Option<Error>,
}

/// Reconciles a Recommender. The cached object only identifies it. All decisions are based on the
/// API server's copy, so that nothing is created, promoted or deleted because of a stale cache.
///
/// # Errors
/// Fails if an API request fails; the caller retries. Slots stay as they are until then.
pub async fn reconcile(cached: &Recommender, context: &Context) -> Result<Action, Error> {
    let now = Timestamp::now();
    let Some(recommender) = &observe::recommender(context, cached).await? else {
        let uid = cached.uid().unwrap_or_default();
        context.slots.settle(&uid, UsedSlots::default(), now.as_second());
        return Ok(Action::await_change()); // It was deleted.
    };
    let outcome = match recommender.metadata.deletion_timestamp {
        // Boxed because the future is large.
        None => Box::pin(pass(context, recommender, now)).await,
        Some(_) => finalize(context, recommender).await,
    };
    if let Some(message) = outcome.as_ref().err().and_then(Error::rejection) {
        // Retried like every error, but also reported, because usually only the user can fix it.
        publish(context, recommender, &stalled(recommender, Reason::Forbidden, &message)).await?;
    }
    let Outcome { next, slots, refused } = outcome?;
    context.slots.settle(&recommender.uid().unwrap_or_default(), slots, now.as_second());
    refused.map_or(Ok(next), Err)
}

/// Runs each step once.
async fn pass(context: &Context, recommender: &Recommender, now: Timestamp) -> Result<Outcome, Error> {
    let Installation { settings, .. } = &context.installation;
    let before = recommender.status.clone().unwrap_or_default();
    // observe (client required)
    let observed = observe(context, recommender, now).await?;
    // validate (no client required)
    let plan = match validate(recommender, &observed) {
        Ok(plan) => plan,
        Err(rejection) => return reject(context, recommender, &observed, &rejection).await,
    };
    // decide (no client required)
    let decision = decide(&plan, &observed, &before, settings.into(), now.as_second());
    // desired (no client required)
    let desired = desired(&plan, &decision, &observed, &context.installation);
    // apply (client required)
    let applied = apply(context, &plan, &observed, desired, now.as_second()).await?;
    // status (no client required)
    let input = StatusInput {
        plan: &plan,
        observed: &observed,
        decision: &decision,
        applied: &applied,
        trainings_max: context.slots.trainings.slots(),
        before: &before,
    };
    let status = status::compute(input, now);
    // publish (client required)
    publish(context, &as_written(recommender, &applied), &status).await?;
    let has_settled = status::has_settled(input, &status);
    Ok(Outcome {
        next: requeue::after_pass(&observed, &decision, &applied, has_settled, settings.resync(), now.as_second()),
        slots: UsedSlots { training: applied.job.uses_slot(), rollout: !status::has_rolled_out(input) },
        refused: applied.refused.into_iter().next(),
    })
}

/// The Recommender after its finalizers were written.
fn as_written<'a>(recommender: &'a Recommender, applied: &Applied) -> Cow<'a, Recommender> {
    let Some(version) = &applied.resource_version else { return Cow::Borrowed(recommender) };
    let mut written = recommender.clone();
    written.metadata.resource_version = Some(version.clone());
    Cow::Owned(written)
}

/// Reports a rejection. The mistake of a user is data for the status, not an error to retry.
async fn reject(
    context: &Context,
    recommender: &Recommender,
    observed: &Observed,
    rejection: &Rejection,
) -> Result<Outcome, Error> {
    publish(context, recommender, &stalled(recommender, rejection.reason(), &rejection.message())).await?;
    Ok(Outcome {
        next: requeue::after_rejection(rejection, context.installation.settings.resync()),
        slots: UsedSlots { training: observed.is_training(), rollout: false },
        refused: None,
    })
}

/// Cleans up after a deleted Recommender.
async fn finalize(context: &Context, recommender: &Recommender) -> Result<Outcome, Error> {
    let (next, training) = match deletion::finalize(context, recommender).await? {
        Cleanup::Done => (Action::await_change(), false), // Owner references delete the children.
        Cleanup::WaitingForRuns => (requeue::while_runs_stop(), true),
        Cleanup::StoreUnreachable(StoreProblem { message, retry_after }) => {
            let message = deletion::stuck_deletion_message(recommender, &message);
            publish(context, recommender, &stalled(recommender, Reason::Deleting, &message)).await?;
            (Action::requeue(retry_after), false)
        }
    };
    Ok(Outcome { next, slots: UsedSlots { training, rollout: false }, refused: None })
}

/// The status of a Recommender that cannot be reconciled, with the reason.
fn stalled(recommender: &Recommender, reason: Reason, message: &str) -> RecommenderStatus {
    let before = recommender.status.clone().unwrap_or_default();
    let generation = recommender.metadata.generation.unwrap_or_default();
    status::stalled(&before, generation, reason, message, Timestamp::now())
}
