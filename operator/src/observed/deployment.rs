//! Facts about the Deployment of the serving pods.

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;

use crate::names::TEMPLATE_HASH_ANNOTATION;

/// The Deployment of the serving pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentFacts {
    /// Number of pods in its spec.
    pub desired: i32,
    /// Hash of the pod template that the operator applied.
    pub template_hash: String,
    /// Pods that exist.
    pub replicas: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// Pods of the newest template.
    pub updated: i32,
    /// Whether the Deployment controller has observed the newest spec.
    pub current: bool,
    /// Why its pods cannot be created, if the controller reports that.
    pub problem: Option<String>,
}

/// Condition of a Deployment whose pods the API server rejects.
const REPLICA_FAILURE: &str = "ReplicaFailure";

impl DeploymentFacts {
    /// Extracts the facts from a Deployment.
    pub fn of(deployment: &Deployment) -> Self {
        let status = deployment.status.clone().unwrap_or_default();
        let mut conditions = status.conditions.into_iter().flatten();
        Self {
            desired: deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
            template_hash: deployment.annotations().get(TEMPLATE_HASH_ANNOTATION).cloned().unwrap_or_default(),
            replicas: status.replicas.unwrap_or(0),
            ready: status.ready_replicas.unwrap_or(0),
            updated: status.updated_replicas.unwrap_or(0),
            current: status.observed_generation == deployment.metadata.generation,
            problem: conditions.find(|c| c.type_ == REPLICA_FAILURE && c.status == "True").and_then(|c| c.message),
        }
    }
}
