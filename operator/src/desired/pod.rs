//! Pod template shared by the trainer and the serving pods: restricted pod security, and the user's
//! settings.

use k8s_openapi::{api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity};
use recommender_crds::{PodSettings, Resources};
use serde_json::{Map, Value, json};

use crate::{
    args::Settings,
    names::{Component, labels},
    validate::Workload,
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
    /// Default of each resource for which the user sets neither a request nor a limit.
    pub requests: [(&'static str, &'static str); 2],
    /// Additional fields of the pod spec.
    pub spec: Value,
}

/// Builds a pod template.
pub fn template(plan: &Workload, settings: &Settings, user: &PodSettings, input: PodTemplateInput) -> Value {
    let PodTemplateInput {
        component,
        labels: own_labels,
        annotations: own_annotations,
        mut container,
        volumes,
        requests,
        spec,
    } = input;
    let resources = with_default_requests(user.resources.as_ref(), requests);
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
        fields.insert("resources".to_owned(), json!(resources));
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
            "securityContext": security_context(settings),
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

/// The user's resources, with a default request for each resource that they do not mention. A limit
/// without a request is also the request: that default of Kubernetes cannot exceed the limit.
fn with_default_requests(user: Option<&Resources>, defaults: [(&str, &str); 2]) -> ResourceRequirements {
    let mut resources = user.map(ResourceRequirements::from).unwrap_or_default();
    let limits = resources.limits.clone().unwrap_or_default();
    let requests = resources.requests.get_or_insert_default();
    for (resource, request) in defaults {
        if !limits.contains_key(resource) {
            requests.entry(resource.to_owned()).or_insert_with(|| Quantity(request.to_owned()));
        }
    }
    resources
}

fn security_context(settings: &Settings) -> Value {
    let mut context = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    if settings.fixed_user_ids
        && let Value::Object(fields) = &mut context
    {
        extend(fields, json!({"runAsUser": USER, "runAsGroup": USER, "fsGroup": USER}));
    }
    context
}

/// A volume for temporary files.
pub fn temporary(name: &str, settings: &Settings) -> Value {
    json!({"name": name, "emptyDir": {"sizeLimit": settings.ephemeral_storage_max}})
}

fn extend(into: &mut Map<String, Value>, from: Value) {
    if let Value::Object(fields) = from {
        into.extend(fields);
    }
}
