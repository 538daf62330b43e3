//! A pass of a Recommender that is made of others: the same steps, without decisions about models.

use k8s_openapi::jiff::Timestamp;
use recommender_crds::Recommender;

use super::{Outcome, as_written, reject};
use crate::{
    apply::apply_composition,
    context::Context,
    desired,
    error::Error,
    observe,
    publish::publish,
    requeue,
    slots::UsedSlots,
    status::{self, CompositionInput},
    validate::composition::validate,
};

/// Runs each step once.
pub(super) async fn pass(context: &Context, recommender: &Recommender, now: Timestamp) -> Result<Outcome, Error> {
    let settings = &context.installation.settings;
    let before = recommender.status.clone().unwrap_or_default();
    let signs = settings.signer().is_some();
    // observe (client required)
    let (observed, named) = observe::composition(context, recommender, now).await?;
    // validate (no client required)
    let plan = match validate(recommender, &named, signs, &observed) {
        Ok(plan) => plan,
        Err(rejection) => return reject(context, recommender, &observed, &rejection).await,
    };
    // desired (no client required)
    let desired = desired::composition(&plan, &observed, settings);
    // apply (client required)
    let applied = apply_composition(context, &plan, &observed, desired, now.as_second()).await?;
    // status (no client required)
    let input = CompositionInput { plan: &plan, observed: &observed, applied: &applied, signs, before: &before };
    let status = status::composition(input, now);
    // publish (client required)
    let has_published =
        publish(context, &as_written(recommender, applied.resource_version.as_deref()), &status).await?;
    let has_rolled_out = status::composition_has_rolled_out(input);
    let has_settled = plan.config().is_none() || has_rolled_out;
    let polls = context.cache.count_poll(&plan.workload.uid, !has_settled && !has_published);
    Ok(Outcome {
        quiet: None,
        next: requeue::after_composition((!has_settled).then_some(polls), settings.resync()),
        slots: UsedSlots { rollout: plan.config().is_some() && !has_rolled_out, ..UsedSlots::default() },
        refused: applied.refused.into_iter().next(),
    })
}
