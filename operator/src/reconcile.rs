//! A reconcile: one pass of the steps, independent of what triggered it.

mod composition;

use std::{borrow::Cow, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::{ResourceExt, runtime::controller::Action};
use recommender_crds::{Reason, Recommender, RecommenderStatus};

use tokio::time::Instant;

use crate::{
    apply::apply,
    cache::Resting,
    context::Context,
    decide::decide,
    deletion::{self, Cleanup},
    desired::desired,
    error::Error,
    installation::Installation,
    names::Component,
    observe::{self, observe},
    observed::Observed,
    publish::publish,
    requeue,
    rest::{self, FULL_PASS_INTERVAL, Rest},
    slots::UsedSlots,
    status::{self, StatusInput},
    store_gate::StoreProblem,
    validate::{Rejection, validate},
    versions::Footprint,
};

/// What a pass leaves behind.
struct Outcome {
    /// When the next pass runs.
    next: Action,
    /// The slots that the Recommender uses from now on. All others are released.
    slots: UsedSlots,
    /// A write that the API server rejected permanently. The status reports it.
    refused: Option<Error>,
    /// Whether there was nothing to do, and until when; `None` if there was.
    quiet: Option<Quiet>,
}

/// There is nothing to do until something changes.
#[derive(Clone, Copy, Debug)]
struct Quiet {
    /// Second since 1970 when a Job is due.
    due_at: Option<i64>,
    /// When the store is tried again, if it failed.
    store_retry_after: Option<Duration>,
}

/// Reconciles a Recommender. The cached object only identifies it, and states whether anything has
/// changed. All decisions are based on the API server's copy, so that nothing is created, promoted
/// or deleted because of a stale cache.
///
/// # Errors
/// Fails if an API request fails; the caller retries. Slots stay as they are until then.
pub async fn reconcile(cached: &Recommender, context: &Context) -> Result<Action, Error> {
    let now = Timestamp::now();
    if let Some(next) = while_at_rest(context, cached, now.as_second()).await? {
        return Ok(next);
    }
    // Before the pass reads anything: whatever changes later differs from it.
    let footprint = footprint(context, cached);
    let Some(recommender) = &observe::recommender(context, cached).await? else {
        let uid = cached.uid().unwrap_or_default();
        context.slots.settle(&uid, UsedSlots::default(), now.as_second());
        return Ok(Action::await_change()); // It was deleted.
    };
    let uid = recommender.uid().unwrap_or_default();
    context.cache.record_rest(&uid, None, None);
    let outcome = match recommender.metadata.deletion_timestamp {
        // Boxed because the future is large.
        None if recommender.spec.compose().is_some() => Box::pin(composition::pass(context, recommender, now)).await,
        None => Box::pin(pass(context, recommender, now)).await,
        Some(_) => finalize(context, recommender).await,
    };
    if let Some(message) = outcome.as_ref().err().and_then(Error::rejection) {
        // Retried like every error, but also reported, because usually only the user can fix it.
        publish(context, recommender, &stalled(recommender, Reason::Forbidden, &message)).await?;
    }
    let Outcome { next, slots, refused, quiet } = outcome?;
    context.slots.settle(&uid, slots, now.as_second());
    if let (Some(Quiet { due_at, store_retry_after }), Some(footprint)) = (quiet, footprint) {
        let rest = Rest { footprint, facts: rest::facts(recommender), due_at };
        context.cache.record_rest(&uid, Some(rest), store_retry_after);
    }
    refused.map_or(Ok(next), Err)
}

/// When the next pass of a Recommender at rest runs; `None` if it must run now. The API server's
/// copy is read once in each resync interval, in case a watch has missed a change.
async fn while_at_rest(context: &Context, cached: &Recommender, now: i64) -> Result<Option<Action>, Error> {
    let (uid, resync) = (cached.uid().unwrap_or_default(), context.installation.settings.resync());
    let (Some(resting), Some(footprint)) = (context.cache.resting(&uid), footprint(context, cached)) else {
        return Ok(None);
    };
    let Resting { rest, passed_at, checked_at, store_retry_at } = resting;
    let holds = |recommender: &Recommender| rest.holds(&footprint, &rest::facts(recommender), now);
    if !holds(cached) || passed_at.elapsed() >= FULL_PASS_INTERVAL {
        return Ok(None);
    }
    let mut until_check = resync.saturating_sub(checked_at.elapsed());
    if until_check.is_zero() {
        if !observe::recommender(context, cached).await?.is_some_and(|found| holds(&found)) {
            return Ok(None);
        }
        context.cache.record_check(&uid);
        until_check = resync;
    }
    let mut next = until_check;
    if let Some(retry_at) = store_retry_at {
        let mut retry_after = retry_at.saturating_duration_since(Instant::now());
        if retry_after.is_zero() {
            // A pass, which reads everything, runs only when the store is back.
            let Err(problem) = observe::probe_store(context, cached, now).await else { return Ok(None) };
            context.cache.record_store_retry(&uid, problem.retry_after);
            retry_after = problem.retry_after;
        }
        next = next.min(retry_after);
    }
    Ok(Some(requeue::while_at_rest(rest.due_at, next, now)))
}

fn footprint(context: &Context, cached: &Recommender) -> Option<Footprint> {
    context.versions.footprint(&cached.namespace()?, &cached.name_any())
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
        signs: settings.signer().is_some(),
        before: &before,
    };
    let status = status::compute(input, now);
    // publish (client required)
    let has_published =
        publish(context, &as_written(recommender, applied.resource_version.as_deref()), &status).await?;
    let has_settled = status::has_settled(input, &status);
    let polls = context.cache.count_poll(&plan.uid, !has_settled && !has_published);
    let is_quiet = !has_published
        && has_settled
        && applied.is_quiet()
        && (observed.store_is_down || observed.look_again_after.is_none());
    let quiet = (is_quiet && decision.is_idle())
        .then(|| Quiet { due_at: decision.next_due(now.as_second()), store_retry_after: observed.look_again_after });
    Ok(Outcome {
        quiet,
        next: requeue::after_pass(
            &observed,
            &decision,
            &applied,
            (!has_settled).then_some(polls),
            settings.resync(),
            now.as_second(),
        ),
        slots: UsedSlots {
            training: applied.job.uses_slot(),
            batch: applied.batch.uses_slot(),
            catalogue: applied.catalogue.uses_slot(),
            rollout: !status::has_rolled_out(input),
        },
        refused: applied.refused.into_iter().next(),
    })
}

/// The Recommender after its finalizers were written.
fn as_written<'a>(recommender: &'a Recommender, version: Option<&str>) -> Cow<'a, Recommender> {
    let Some(version) = version else { return Cow::Borrowed(recommender) };
    let mut written = recommender.clone();
    written.metadata.resource_version = Some(version.to_owned());
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
        slots: UsedSlots {
            training: observed.is_training(),
            batch: observed.runs_task(Component::Batch),
            catalogue: observed.runs_task(Component::Catalogue),
            rollout: false,
        },
        refused: None,
        quiet: None,
    })
}

/// Cleans up after a deleted Recommender.
async fn finalize(context: &Context, recommender: &Recommender) -> Result<Outcome, Error> {
    let (next, training) = match deletion::finalize(context, recommender).await? {
        Cleanup::Done => (Action::await_change(), false), // Owner references delete the children.
        Cleanup::WaitingForRuns { objects } => {
            let begin = recommender.metadata.deletion_timestamp.as_ref().map(|time| time.0.as_second());
            let waited = begin.map_or(0, |begin| Timestamp::now().as_second().saturating_sub(begin));
            let waited = Duration::from_secs(u64::try_from(waited).unwrap_or(0));
            if waited >= deletion::RUNS_STOP_MAX {
                let message = deletion::runs_remain_message(recommender, &objects);
                publish(context, recommender, &stalled(recommender, Reason::Deleting, &message)).await?;
            }
            (requeue::while_runs_stop(waited), true)
        }
        Cleanup::StoreUnreachable(StoreProblem { message, retry_after }) => {
            let message = deletion::unreachable_store_message(recommender, &message);
            publish(context, recommender, &stalled(recommender, Reason::Deleting, &message)).await?;
            (Action::requeue(retry_after), false)
        }
    };
    Ok(Outcome { next, slots: UsedSlots { training, ..UsedSlots::default() }, refused: None, quiet: None })
}

/// The status of a Recommender that cannot be reconciled, with the reason.
fn stalled(recommender: &Recommender, reason: Reason, message: &str) -> RecommenderStatus {
    let before = recommender.status.clone().unwrap_or_default();
    let generation = recommender.metadata.generation.unwrap_or_default();
    status::stalled(&before, generation, reason, message, Timestamp::now())
}
