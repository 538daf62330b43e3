//! What should exist, as manifests: one kind a file. Pure: a plan and decisions in, objects out; no client, no clock.

mod config_map;
mod deployment;
mod job;
mod network_policy;
mod pod;
mod services;
mod small;

use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    core::v1::{ConfigMap, Secret, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::core::ApiResource;
use serde_json::{Value, json};
use sidecar_contract::{ServingConfig, TrainingConfig};

use crate::{
    args::Settings,
    names::{Component, Names, labels},
    validate::Plan,
};
pub use config_map::serving_config;

/// Kinds of children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "Kubernetes' own names")]
pub enum Kind {
    ServiceAccount,
    Secret,
    ConfigMap,
    NetworkPolicy,
    Service,
    PodDisruptionBudget,
    Deployment,
    Job,
}

impl Kind {
    /// The name in the API.
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

    /// Kinds and names of the children that a Recommender has all its life.
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

/// An object that should exist.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Its kind.
    pub kind: Kind,
    /// Its manifest.
    pub manifest: Value,
}

impl Child {
    /// Its name.
    pub fn name(&self) -> &str {
        self.manifest.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
    }

    /// One of its annotations.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.manifest.get("metadata")?.get("annotations")?.get(name)?.as_str()
    }
}

/// Secrets of the embedded store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSecrets {
    /// The trainer's: id and secret.
    pub train: (String, String),
    /// The serving pods': id and secret.
    pub serve: (String, String),
}

/// What pods of either kind need to start.
pub fn prerequisites(plan: &Plan, secrets: &StoreSecrets) -> Vec<Child> {
    let mut needed = vec![small::service_account(plan)];
    // A bucket of the user's is opened with the user's own Secret, or with the pods' identity.
    if plan.spec.store.is_none() {
        needed.push(small::store_secret(plan, Component::Trainer, &secrets.train));
        needed.push(small::store_secret(plan, Component::Serving, &secrets.serve));
    }
    needed
}

/// The children that a Recommender has all its life, in the order in which they are applied: what pods need comes before
/// the pods. Serving pods exist once there is something to serve.
pub fn children(plan: &Plan, settings: &Settings, secrets: &StoreSecrets, config: &ServingConfig) -> Vec<Child> {
    let mut children = prerequisites(plan, secrets);
    children.extend([
        config_map::build(plan, config),
        network_policy::build(plan, settings),
        services::service(plan),
        services::headless(plan),
        small::pod_disruption_budget(plan),
    ]);
    if !config.revisions.is_empty() {
        children.push(deployment::build(plan, settings));
    }
    children
}

/// The Job of a run; created, never patched.
pub fn training_job(plan: &Plan, settings: &Settings, config: &TrainingConfig) -> Child {
    job::build(plan, settings, config)
}

/// Metadata of a child: name, labels, and the owner that deletes it.
fn metadata(plan: &Plan, name: &str, component: Component) -> Value {
    json!({
        "name": name,
        "namespace": plan.namespace,
        "labels": labels(&plan.name, component),
        "ownerReferences": [{
            "apiVersion": format!("{}/{}", recommender_crds::GROUP, recommender_crds::VERSION),
            "kind": "Recommender",
            "name": plan.name,
            "uid": plan.uid,
            "controller": true,
            "blockOwnerDeletion": true,
        }],
    })
}

#[cfg(test)]
mod tests;
