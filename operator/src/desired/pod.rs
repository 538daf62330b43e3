//! Pod template shared by the trainer and the serving pods: restricted pod security, and the user's
//! settings.

use k8s_openapi::api::core::v1::ResourceRequirements;
use recommender_crds::PodSettings;
use serde_json::{Map, Value, json};

use crate::{
    args::Settings,
    names::{Component, labels},
    validate::Plan,
};

/// User and group of the pods.
const USER: i64 = 65532;

/// Fields of a pod template that differ between components.
pub struct PodTemplateInput {
    /// Component of the pod.
    pub component: Component,
    /// Labels in addition to those of every child.
    pub labels: Vec<(&'static str, String)>,
    /// Annotations set by the operator.
    pub annotations: Value,
    /// The only container, without image and security context.
    pub container: Value,
    /// Volumes.
    pub volumes: Value,
    /// Resources if the user sets none.
    pub resources: Value,
    /// Additional fields of the pod spec.
    pub spec: Value,
}

/// Builds a pod template.
pub fn template(plan: &Plan, settings: &Settings, user: &PodSettings, input: PodTemplateInput) -> Value {
    let PodTemplateInput {
        component,
        labels: own_labels,
        annotations: own_annotations,
        mut container,
        volumes,
        resources,
        spec,
    } = input;
    let resources = user
        .resources
        .as_ref()
        .and_then(|r| serde_json::to_value(ResourceRequirements::from(r)).ok())
        .unwrap_or(resources);
    // The operator's labels take precedence, because selectors depend on them.
    let mut all_labels: Map<String, Value> = user.labels.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
    extend(&mut all_labels, labels(&plan.name, component));
    all_labels.extend(own_labels.into_iter().map(|(key, value)| (key.to_owned(), json!(value))));
    let mut annotations: Map<String, Value> = Map::new();
    extend(&mut annotations, own_annotations);
    annotations.extend(user.annotations.iter().map(|(k, v)| (k.clone(), json!(v))));
    if let Value::Object(fields) = &mut container {
        fields.insert("image".to_owned(), json!(settings.sidecar_image));
        fields.insert("imagePullPolicy".to_owned(), json!(settings.image_pull_policy));
        fields.insert("resources".to_owned(), resources);
        fields.insert(
            "securityContext".to_owned(),
            json!({
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            }),
        );
    }
    let mut pod = Map::new();
    extend(
        &mut pod,
        json!({
            "serviceAccountName": user.service_account_name.as_deref().unwrap_or(&plan.name),
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": volumes,
        }),
    );
    extend(&mut pod, spec);
    if !user.node_selector.is_empty() {
        pod.insert("nodeSelector".to_owned(), json!(user.node_selector));
    }
    if !user.tolerations.is_empty() {
        pod.insert("tolerations".to_owned(), json!(user.tolerations));
    }
    if !user.image_pull_secrets.is_empty() {
        pod.insert("imagePullSecrets".to_owned(), json!(user.image_pull_secrets));
    }
    json!({"metadata": {"labels": all_labels, "annotations": annotations}, "spec": pod})
}

fn extend(into: &mut Map<String, Value>, from: Value) {
    if let Value::Object(fields) = from {
        into.extend(fields);
    }
}
