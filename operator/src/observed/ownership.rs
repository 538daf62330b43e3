//! Which pods are those of a Recommender: those of its Jobs, and of the ReplicaSets of its
//! Deployment. Any client can give a pod the labels of a Recommender.

use std::collections::BTreeSet;

use kube::ResourceExt;

use super::{controller, controller_uid};
use crate::{names::POD_TEMPLATE_HASH_LABEL, received::ReceivedPod};

/// What controls the pods of a Recommender.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodOwners {
    /// Uids of its Jobs and ReplicaSets.
    pub uids: BTreeSet<String>,
    /// Name of the Deployment after which its ReplicaSets are named, if they cannot be read.
    pub named_after: Option<String>,
}

impl PodOwners {
    /// Whether a pod is that of the Recommender.
    pub fn own(&self, pod: &ReceivedPod) -> bool {
        let is_of_named_set = |deployment: &String| is_of_set_named_after(pod, deployment);
        self.uids.contains(controller_uid(pod.owner_references()))
            || self.named_after.as_ref().is_some_and(is_of_named_set)
    }
}

/// Whether the ReplicaSet that controls a pod has the name that the Deployment controller gives to
/// those of a Deployment: `<deployment>-<hash of the pod template>`.
fn is_of_set_named_after(pod: &ReceivedPod, deployment: &str) -> bool {
    let Some(hash) = pod.labels().get(POD_TEMPLATE_HASH_LABEL) else { return false };
    let name = format!("{deployment}-{hash}");
    controller(pod.owner_references()).is_some_and(|owner| owner.kind == "ReplicaSet" && owner.name == name)
}
