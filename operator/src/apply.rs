//! Writes what is desired, in the order of its fields: the finalizer before a run can write to the
//! store, what pods depend on before the pods, the garbage of the store last. IO.
//!
//! A write that the API server rejects permanently does not stop the writes that do not depend on
//! it. Any other failure ends the pass; the next one writes everything again.

mod composition;
mod garbage;
mod job;
mod objects;
mod refresh;
mod rollout;
mod task;

pub use self::{
    composition::apply as apply_composition,
    objects::{delete_job, set_finalizers},
};
use sidecar_contract::ServingConfig;

use crate::{
    applied::Applied,
    context::Context,
    desired::Desired,
    error::Error,
    fair_limiter::RecommenderKey,
    observed::Observed,
    validate::{Plan, Workload},
};

/// What all writes of a pass need.
#[derive(Clone, Copy)]
struct Pass<'a> {
    context: &'a Context,
    plan: &'a Workload,
    observed: &'a Observed,
    /// Second since 1970.
    now: i64,
}

impl Pass<'_> {
    /// The holder of the slots.
    fn key(&self) -> RecommenderKey {
        let Workload { uid, namespace, name, .. } = self.plan;
        RecommenderKey { uid: uid.clone(), namespace: namespace.clone(), name: name.clone() }
    }
}

/// Writes what is desired.
///
/// # Errors
/// Fails if a request fails for another reason than a permanent rejection.
pub async fn apply(
    context: &Context,
    plan: &Plan,
    observed: &Observed,
    desired: Desired,
    now: i64,
) -> Result<Applied, Error> {
    let pass = Pass { context, plan, observed, now };
    let garbage = desired.garbage.clone();
    let turn = context.turn(&plan.namespace).await;
    let mut applied = write(pass, plan, desired).await?;
    drop(turn);
    // Other tenants' requests do not wait for the store.
    applied.deleted_runs = garbage::delete(pass, plan, &garbage).await?;
    Ok(applied)
}

/// Writes to the API server.
async fn write(pass: Pass<'_>, plan: &Plan, desired: Desired) -> Result<Applied, Error> {
    let context = pass.context;
    let deadline = plan.training.deadline;
    // Without `..`: a new kind of child that is not applied fails to compile.
    let Desired {
        finalizers,
        service_account,
        train_secret,
        serve_secret,
        job,
        batch,
        catalogue,
        obsolete_jobs,
        network_policy,
        service,
        headless_service,
        disruption_budget,
        rollout,
        pruned,
        garbage: _, // It is not in the API server.
    } = desired;
    let mut refused = Refused::default();
    let mut resource_version = None;
    if let Some(finalizers) = finalizers {
        let written =
            set_finalizers(context, &plan.namespace, &plan.name, plan.resource_version.as_deref(), &finalizers).await;
        resource_version = refused.unless_rejected(written)?.flatten();
    }
    if let Some(service_account) = service_account {
        refused.unless_rejected(objects::apply(pass, service_account).await)?;
    }
    if let Some(secret) = train_secret {
        refused.unless_rejected(objects::apply(pass, secret).await)?;
    }
    // The deadline of a run starts with its Job, even if the pod cannot start.
    let may_start = refused.0.is_empty();
    if let Some(secret) = serve_secret {
        refused.unless_rejected(objects::apply(pass, secret).await)?;
    }
    let job = job::apply(pass, deadline, job, may_start, &mut refused).await?;
    let batch = task::apply(pass, deadline, &context.slots.batches, batch, may_start, &mut refused).await?;
    let catalogue = task::apply(pass, deadline, &context.slots.catalogues, catalogue, may_start, &mut refused).await?;
    for job in obsolete_jobs {
        refused.unless_rejected(delete_job(context, &plan.namespace, &job).await)?;
    }
    for child in [network_policy, service, headless_service, disruption_budget] {
        refused.unless_rejected(objects::apply(pass, child).await)?;
    }
    let rollout = rollout::apply(pass, rollout, &mut refused).await?;
    let config_pending = refresh::request(pass, rollout.config.as_ref().map(ServingConfig::hash), &mut refused).await?;
    for (kind, name) in pruned {
        refused.unless_rejected(objects::delete(pass, kind, &name).await)?;
    }
    Ok(Applied {
        job,
        batch,
        catalogue,
        rollout,
        config_pending,
        resource_version,
        deleted_runs: Vec::new(),
        refused: refused.0,
    })
}

/// Writes that the API server rejected permanently.
#[derive(Default)]
struct Refused(Vec<Error>);

impl Refused {
    /// Records a rejection and returns `None`; returns what was written, or any other error.
    fn unless_rejected<T>(&mut self, written: Result<T, Error>) -> Result<Option<T>, Error> {
        match written {
            Ok(written) => Ok(Some(written)),
            Err(error) if error.rejection().is_some() => {
                self.0.push(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
