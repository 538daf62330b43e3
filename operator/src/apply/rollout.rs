//! Applies the serving config and the Deployment, within the limit of concurrent rollouts.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use kube::core::DynamicObject;
use sidecar_contract::ServingConfig;

use super::{Pass, Refused, objects};
use crate::{
    applied::AppliedRollout,
    desired::{DeploymentChange, Release, Rollout},
    error::Error,
    fair_limiter::ROLLOUT_SLOT_SECONDS_MAX,
    observed::{self, DeploymentFacts},
};

/// Applies a rollout, or what is in force while it waits for a slot.
pub async fn apply(pass: Pass<'_>, rollout: Option<Rollout>, refused: &mut Refused) -> Result<AppliedRollout, Error> {
    let Pass { context, plan, observed, now } = pass;
    let mut applied =
        AppliedRollout { config: observed.config.clone(), deployment: observed.deployment.clone(), queued: false };
    let Some(Rollout { next, while_queued }) = rollout else { return Ok(applied) };
    let has_slot = || context.slots.rollouts.try_claim(&pass.key(), now, ROLLOUT_SLOT_SECONDS_MAX);
    let release = match while_queued {
        Some(current) if !has_slot() => {
            applied.queued = true;
            current
        }
        _ => next,
    };
    let Release { config_map, deployment } = release;
    let name = config_map.name().to_owned();
    if let Some(Some(object)) = refused.unless_rejected(objects::apply(pass, config_map).await)? {
        applied.config = config_in(object).map_err(unreadable(format!("cannot read the applied ConfigMap {name}")))?;
    }
    let written = match deployment {
        DeploymentChange::None => Ok(None),
        DeploymentChange::Apply(child) => objects::apply(pass, child).await,
        DeploymentChange::Scale { replicas } => objects::scale(context, &plan.namespace, &plan.name, replicas).await,
    };
    if let Some(Some(object)) = refused.unless_rejected(written)? {
        let facts = deployment_in(object);
        let facts = facts.map_err(unreadable(format!("cannot read the applied Deployment {}", plan.name)))?;
        applied.deployment = Some(facts);
    }
    Ok(applied)
}

fn config_in(object: DynamicObject) -> Result<Option<ServingConfig>, serde_json::Error> {
    let map: ConfigMap = serde_json::from_value(serde_json::to_value(object)?)?;
    observed::serving_config(&map)
}

fn deployment_in(object: DynamicObject) -> Result<DeploymentFacts, serde_json::Error> {
    let deployment: Deployment = serde_json::from_value(serde_json::to_value(object)?)?;
    Ok(DeploymentFacts::of(&deployment))
}

fn unreadable(action: String) -> impl FnOnce(serde_json::Error) -> Error {
    |error| Error::api(action)(kube::Error::SerdeError(error))
}
