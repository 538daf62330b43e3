//! Which pods are those of a Recommender: those of its Jobs, and of the ReplicaSets of its
//! Deployment. Any client can give a pod the labels of a Recommender.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    batch::v1::Job,
    core::v1::Pod,
};
use kube::{ResourceExt, core::PartialObjectMeta};

use super::{controlled_by, controller, controller_uid};

/// Label that the Deployment controller gives to pods.
const POD_TEMPLATE_HASH_LABEL: &str = "pod-template-hash";

/// The pods of these Jobs and of this Deployment. `replica_sets` are those with the labels of the
/// Recommender; without them, the names of ReplicaSets decide.
pub fn own_pods<'a>(
    pods: &'a [Pod],
    jobs: &[Job],
    deployment: Option<&Deployment>,
    replica_sets: Option<&[PartialObjectMeta<ReplicaSet>]>,
) -> Vec<&'a Pod> {
    let deployment_uid = deployment.and_then(|deployment| deployment.metadata.uid.as_deref()).unwrap_or_default();
    let is_own_set = |set: &&PartialObjectMeta<ReplicaSet>| controlled_by(set.owner_references(), deployment_uid);
    let own_sets = replica_sets.unwrap_or_default().iter().filter(is_own_set);
    let owners: BTreeSet<&str> = jobs
        .iter()
        .filter_map(|job| job.metadata.uid.as_deref())
        .chain(own_sets.filter_map(|set| set.metadata.uid.as_deref()))
        .collect();
    let is_of_named_set = |pod: &Pod| {
        replica_sets.is_none() && deployment.is_some_and(|deployment| is_of_set_named_after(pod, deployment))
    };
    pods.iter().filter(|pod| owners.contains(controller_uid(pod.owner_references())) || is_of_named_set(pod)).collect()
}

/// Whether the ReplicaSet that controls a pod has the name that the Deployment controller gives to
/// those of a Deployment: `<deployment>-<hash of the pod template>`.
fn is_of_set_named_after(pod: &Pod, deployment: &Deployment) -> bool {
    let Some(hash) = pod.labels().get(POD_TEMPLATE_HASH_LABEL) else { return false };
    let name = format!("{}-{hash}", deployment.name_any());
    controller(pod.owner_references()).is_some_and(|owner| owner.kind == "ReplicaSet" && owner.name == name)
}
