//! Writes what a composition desires, in the order of its fields. IO.

use sidecar_contract::CompositionConfig;

use super::{Pass, Refused, delete_job, objects, refresh, rollout, set_finalizers};
use crate::{
    applied::AppliedComposition, context::Context, desired::DesiredComposition, error::Error, observed::Observed,
    validate::composition::CompositionPlan,
};

/// Writes what is desired.
///
/// # Errors
/// Fails if a request fails for another reason than a permanent rejection.
pub async fn apply(
    context: &Context,
    plan: &CompositionPlan,
    observed: &Observed,
    desired: DesiredComposition,
    now: i64,
) -> Result<AppliedComposition, Error> {
    let workload = &plan.workload;
    let pass = Pass { context, plan: workload, observed, now };
    // Without `..`: a new kind of child that is not applied fails to compile.
    let DesiredComposition {
        finalizers,
        service_account,
        obsolete_jobs,
        network_policy,
        service,
        headless_service,
        disruption_budget,
        rollout,
        pruned,
    } = desired;
    let _turn = context.turn(&workload.namespace).await;
    let (mut refused, mut resource_version) = (Refused::default(), None);
    if let Some(finalizers) = finalizers {
        let (namespace, name) = (&workload.namespace, &workload.name);
        let written = set_finalizers(context, namespace, name, workload.resource_version.as_deref(), &finalizers).await;
        resource_version = refused.unless_rejected(written)?.flatten();
    }
    if let Some(service_account) = service_account {
        refused.unless_rejected(objects::apply(pass, service_account).await)?;
    }
    for job in obsolete_jobs {
        refused.unless_rejected(delete_job(context, &workload.namespace, &job).await)?;
    }
    for child in [network_policy, service, headless_service, disruption_budget] {
        refused.unless_rejected(objects::apply(pass, child).await)?;
    }
    let rollout = rollout::apply(pass, rollout, &mut refused).await?;
    let hash = plan.config().as_ref().map(CompositionConfig::hash);
    let config_pending = refresh::request(pass, hash, &mut refused).await?;
    for (kind, name) in pruned {
        refused.unless_rejected(objects::delete(pass, kind, &name).await)?;
    }
    Ok(AppliedComposition { rollout, config_pending, resource_version, refused: refused.0 })
}
