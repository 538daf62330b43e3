//! What determines which revision the pods serve, and from which pod template: the serving config
//! and the Deployment. A change of either needs a rollout slot.

use super::{Child, config_map, deployment};
use crate::{
    decide::{Choice, Decision, Serving},
    installation::Installation,
    names::TEMPLATE_HASH_ANNOTATION,
    observed::Observed,
    validate::{Plan, Workload},
};

/// Serving config and Deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// What is applied.
    pub next: Release,
    /// What is applied instead while the rollout waits for a slot; `None` if it needs none, because
    /// neither the pod template nor the served revision changes.
    pub while_queued: Option<Release>,
}

/// A serving config, and the Deployment that mounts it.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    /// ConfigMap with the serving config.
    pub config_map: Child,
    /// What happens to the Deployment.
    pub deployment: DeploymentChange,
}

/// What happens to the Deployment.
#[derive(Clone, Debug, PartialEq)]
pub enum DeploymentChange {
    /// It stays as it is, or does not exist.
    None,
    /// It is applied.
    Apply(Child),
    /// It is scaled, and its pod template stays as it is.
    Scale {
        /// Number of pods.
        replicas: i32,
    },
}

/// Builds the rollout of a decision.
pub fn build(plan: &Plan, decision: &Decision, observed: &Observed, installation: &Installation) -> Rollout {
    let store = plan.store_scope().config(installation);
    let render = |serving: &Serving| config_map::serving_config(plan, serving, store.clone());
    let config = render(&decision.serving);
    // There is a Deployment only if there is a revision to serve.
    let deployment = (!config.revisions.is_empty()).then(|| deployment::build(plan, &installation.settings));
    let while_queued = needs_slot(plan, decision, observed, deployment.as_ref()).then(|| Release {
        config_map: config_map::build(plan, &render(&decision.serving_while_queued)),
        deployment: scaled(plan, observed),
    });
    let deployment = deployment.map_or(DeploymentChange::None, DeploymentChange::Apply);
    Rollout { next: Release { config_map: config_map::build(plan, &config), deployment }, while_queued }
}

/// Whether an apply would change the pod template of an existing Deployment, or the revision that
/// it serves.
fn needs_slot(plan: &Plan, decision: &Decision, observed: &Observed, deployment: Option<&Child>) -> bool {
    // A pin is an incident response and must not wait.
    if plan.spec.serving.replicas == 0 || decision.serving.choice == Choice::Pinned {
        return false;
    }
    let Some(current) = &observed.deployment else { return false };
    let template_hash = deployment.and_then(|child| child.annotation(TEMPLATE_HASH_ANNOTATION)).unwrap_or_default();
    template_hash != current.template_hash || decision.serving.differs(observed.config.as_ref())
}

/// The change of the number of pods, with the template that they have.
pub fn scaled(plan: &Workload, observed: &Observed) -> DeploymentChange {
    let replicas = plan.spec.serving.replicas;
    match &observed.deployment {
        Some(deployment) if deployment.desired != replicas => DeploymentChange::Scale { replicas },
        _ => DeploymentChange::None,
    }
}
