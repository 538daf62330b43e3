//! Kinds of the objects that the operator creates for a Recommender, and the names of the permanent
//! ones.

use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    core::v1::{ConfigMap, Secret, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::core::ApiResource;

use crate::names::Names;

/// Kind of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "names of Kubernetes kinds")]
pub enum ChildKind {
    ServiceAccount,
    Secret,
    ConfigMap,
    NetworkPolicy,
    Service,
    PodDisruptionBudget,
    Deployment,
    Job,
}

impl ChildKind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::ServiceAccount,
        Self::Secret,
        Self::ConfigMap,
        Self::NetworkPolicy,
        Self::Service,
        Self::PodDisruptionBudget,
        Self::Deployment,
        Self::Job,
    ];

    /// Name of the kind in the Kubernetes API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServiceAccount => "ServiceAccount",
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::Service => "Service",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::Deployment => "Deployment",
            Self::Job => "Job",
        }
    }

    /// Group, version and plural.
    pub fn api_resource(self) -> ApiResource {
        match self {
            Self::ServiceAccount => ApiResource::erase::<ServiceAccount>(&()),
            Self::Secret => ApiResource::erase::<Secret>(&()),
            Self::ConfigMap => ApiResource::erase::<ConfigMap>(&()),
            Self::NetworkPolicy => ApiResource::erase::<NetworkPolicy>(&()),
            Self::Service => ApiResource::erase::<Service>(&()),
            Self::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
            Self::Job => ApiResource::erase::<Job>(&()),
        }
    }

    /// Kinds and names of the permanent children of a Recommender; its Jobs are not among them.
    pub fn children(names: &Names) -> Vec<(Self, String)> {
        vec![
            (Self::ServiceAccount, names.recommender.clone()),
            (Self::Secret, names.train_secret()),
            (Self::Secret, names.serve_secret()),
            (Self::ConfigMap, names.serving_config()),
            (Self::NetworkPolicy, names.recommender.clone()),
            (Self::Service, names.recommender.clone()),
            (Self::Service, names.pods()),
            (Self::PodDisruptionBudget, names.recommender.clone()),
            (Self::Deployment, names.recommender.clone()),
        ]
    }
}
