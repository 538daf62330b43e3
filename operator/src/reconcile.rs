//! A reconcile: one pass of the steps, independent of what triggered it.

use k8s_openapi::jiff::Timestamp;
use kube::{ResourceExt, runtime::controller::Action};
use recommender_crds::{Reason, Recommender, RecommenderStatus};

use crate::{
    apply::apply,
    context::Context,
    decide::decide,
    deletion::{self, Cleanup},
    desired::desired,
    error::Error,
    observe::{self, observe},
    publish::publish,
    requeue,
    slots::UsedSlots,
    status::{self, StatusInput},
    validate::validate,
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
    let is_deleted = recommender.metadata.deletion_timestamp.is_some();
    let outcome = if is_deleted { finalize(context, recommender).await } else { pass(context, recommender, now).await };
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
    let settings = &context.installation.settings;
    let before = recommender.status.clone().unwrap_or_default();
    // observe (client required)
    let observed = observe(context, recommender, now).await?;
    // validate (no client required)
    let (status, outcome) = match validate(recommender, &observed) {
        Ok(plan) => {
            // decide (no client required)
            let decision = decide(&plan, &observed, &before, settings.into(), now.as_second());
            // desired (no client required)
            let desired = desired(&plan, &decision, &observed, &context.installation);
            // apply (client required)
            let applied = apply(context, &plan, &observed, desired, now.as_second()).await?;
            // status (no client required)
            let trainings_max = context.slots.trainings.slots();
            let input = StatusInput {
                plan: &plan,
                observed: &observed,
                decision: &decision,
                applied: &applied,
                trainings_max,
                before: &before,
            };
            let status = status::compute(input, now);
            let is_settled = !applied.config_pending && observed.runs.is_ok() && !status::needs_polling(&plan, &status);
            let slots = UsedSlots { training: applied.job.uses_slot(), rollout: !status::has_rolled_out(input) };
            let next = requeue::after_pass(&decision, &applied, is_settled, settings.resync(), now.as_second());
            (status, Outcome { next, slots, refused: applied.refused.into_iter().next() })
        }
        // A mistake of the user is data for the status, not an error to retry.
        Err(rejection) => {
            let next = requeue::after_rejection(&rejection, settings.resync());
            let slots = UsedSlots { training: observed.is_training(), rollout: false };
            let status = stalled(recommender, rejection.reason(), &rejection.message());
            (status, Outcome { next, slots, refused: None })
        }
    };
    // publish (client required)
    publish(context, recommender, &status).await?;
    Ok(outcome)
}

/// Cleans up after a deleted Recommender.
async fn finalize(context: &Context, recommender: &Recommender) -> Result<Outcome, Error> {
    let (next, training) = match deletion::finalize(context, recommender).await? {
        Cleanup::Done => (Action::await_change(), false), // Owner references delete the children.
        Cleanup::WaitingForRuns => (requeue::while_runs_stop(), true),
        Cleanup::StoreUnreachable { message } => {
            let message = deletion::stuck_deletion_message(recommender, &message);
            publish(context, recommender, &stalled(recommender, Reason::Deleting, &message)).await?;
            (requeue::while_store_is_unreachable(), false)
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
