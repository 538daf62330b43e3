//! The serving pods. The template names no revision: a new model is a new config, not new pods.

use serde_json::json;
use sidecar_contract::{Digest, canonical_json, paths, ports};

use super::{
    Child, Kind, metadata,
    pod::{Parts, template},
    small,
};
use crate::{
    args::Settings,
    names::{Component, Names, TEMPLATE_HASH_ANNOTATION, selector},
    validate::Plan,
};

/// Seconds from SIGTERM to SIGKILL: the sidecar's own drain, and some.
const TERMINATION_SECONDS: u32 = 30;

/// The Deployment.
pub fn build(plan: &Plan, settings: &Settings) -> Child {
    let names = Names::new(&plan.name);
    let probe = |path: &str| json!({"path": path, "port": ports::ADMIN_NAME});
    let mount =
        |name: &str, path: &str, read_only: bool| json!({"name": name, "mountPath": path, "readOnly": read_only});
    let mut volumes = vec![json!({"name": "config", "configMap": {"name": names.serving_config()}})];
    let mut mounts = vec![mount("config", paths::SERVING_CONFIG_DIR, true)];
    if let Some(volume) = small::store_volume(plan, &names.serve_secret()) {
        volumes.push(volume);
        mounts.push(mount("store", paths::STORE_CREDENTIALS_DIR, true));
    }
    volumes.push(json!({"name": "cache", "emptyDir": {}}));
    mounts.push(mount("cache", paths::CACHE_DIR, false));
    let container = json!({
        "name": "sidecar",
        "args": ["serve", "--listen", format!("0.0.0.0:{}", ports::APP), "--admin-listen", format!("0.0.0.0:{}", ports::ADMIN)],
        "env": [{"name": paths::POD_NAME_ENV, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "ports": [
            {"name": ports::APP_NAME, "containerPort": ports::APP, "protocol": "TCP"},
            {"name": ports::ADMIN_NAME, "containerPort": ports::ADMIN, "protocol": "TCP"},
        ],
        "startupProbe": {"httpGet": probe(paths::LIVEZ), "periodSeconds": 1, "failureThreshold": 30},
        "livenessProbe": {"httpGet": probe(paths::LIVEZ), "periodSeconds": 10, "failureThreshold": 3},
        "readinessProbe": {"httpGet": probe(paths::READYZ), "periodSeconds": 1, "failureThreshold": 2},
        "volumeMounts": mounts,
    });
    let parts = Parts {
        component: Component::Serving,
        labels: Vec::new(),
        annotations: json!({
            "prometheus.io/scrape": "true",
            "prometheus.io/port": ports::ADMIN.to_string(),
            "prometheus.io/path": paths::METRICS,
        }),
        container,
        volumes: json!(volumes),
        resources: json!({"requests": {"cpu": "50m", "memory": "64Mi"}}),
        spec: json!({
            "terminationGracePeriodSeconds": TERMINATION_SECONDS,
            "topologySpreadConstraints": [{
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector(&plan.name, Component::Serving)},
            }],
        }),
    };
    let template = template(plan, settings, &plan.spec.serving.pod, parts);
    let mut metadata = metadata(plan, &plan.name, Component::Serving);
    if let Some(fields) = metadata.as_object_mut() {
        // Says whether an apply would replace pods, without knowing what the API server defaults.
        let hash = Digest::of(canonical_json(&template).as_bytes());
        fields.insert("annotations".to_owned(), json!({TEMPLATE_HASH_ANNOTATION: hash.revision()}));
    }
    Child {
        kind: Kind::Deployment,
        manifest: json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": plan.spec.serving.replicas,
                "selector": {"matchLabels": selector(&plan.name, Component::Serving)},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                "template": template,
            },
        }),
    }
}
