//! Children that exist, but are not needed any more: the credentials of the embedded store after
//! `spec.store` was set, and the ServiceAccount after the user named another.

use super::{Child, DeploymentChange, Rollout};
use crate::{
    child_kind::ChildKind,
    names::{Names, TEMPLATE_HASH_ANNOTATION},
    observed::Observed,
    validate::Workload,
};

/// The optional children that exist and are not among `kept`, once no pod uses them.
pub fn pruned<'a>(
    plan: &Workload,
    observed: &Observed,
    rollout: Option<&Rollout>,
    kept: impl Iterator<Item = &'a Child>,
) -> Vec<(ChildKind, String)> {
    if observed.is_training() || !has_rolled_out(observed, rollout) {
        return Vec::new();
    }
    let names = Names::new(&plan.name);
    let optional = [
        (ChildKind::ServiceAccount, names.recommender.clone()),
        (ChildKind::Secret, names.train_secret()),
        (ChildKind::Secret, names.serve_secret()),
    ];
    let kept: Vec<(ChildKind, &str)> = kept.map(|child| (child.kind, child.name())).collect();
    let is_pruned = |(kind, name): &(ChildKind, String)| {
        !kept.contains(&(*kind, name)) && observed.versions.contains_key(&(*kind, name.clone()))
    };
    optional.into_iter().filter(is_pruned).collect()
}

/// Whether all serving pods have the desired template, which mounts only what is needed.
fn has_rolled_out(observed: &Observed, rollout: Option<&Rollout>) -> bool {
    let Some(deployment) = &observed.deployment else { return true };
    let template = match rollout.map(|rollout| &rollout.next.deployment) {
        Some(DeploymentChange::Apply(child)) => child.annotation(TEMPLATE_HASH_ANNOTATION),
        _ => None,
    };
    let has_all = deployment.current && deployment.updated == deployment.replicas;
    has_all && template == Some(deployment.template_hash.as_str())
}
