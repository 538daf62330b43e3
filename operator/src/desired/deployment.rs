//! The Deployment of the serving pods. Its pod template references no revision: a new model changes
//! the serving config, not the pods.

use serde_json::{Value, json};
use sidecar_contract::{
    Digest, canonical_json, paths,
    ports::{self, any_address},
};

use super::{
    child::{Child, metadata},
    pod::{PodTemplateInput, template, temporary},
    secrets,
};
use crate::{
    args::Settings,
    child_kind::ChildKind,
    identity::volumes as identity,
    names::{Component, Names, TEMPLATE_HASH_ANNOTATION, selector},
    validate::{Plan, Workload},
};

/// Seconds from SIGTERM to SIGKILL: the drain period of the sidecar, and a margin.
const TERMINATION_SECONDS: u32 = 30;

/// Volume with the certificate of the pod.
const CERTIFICATE: &str = "certificate";
/// Volume with the trust anchors.
const ANCHORS: &str = "anchors";

/// Timeout of a probe in seconds. With the default, 1 s, a pod on a busy node leaves the Service
/// although it answers.
const PROBE_TIMEOUT_SECONDS: u32 = 5;

/// Builds the Deployment of the pods that serve a model.
pub fn build(plan: &Plan, settings: &Settings) -> Child {
    let names = Names::new(&plan.name);
    let (mut volumes, mut mounts) = (Vec::new(), Vec::new());
    if let Some(volume) = secrets::store_volume(plan, &names.serve_secret()) {
        volumes.push(volume);
        mounts.push(mount("store", paths::STORE_CREDENTIALS_DIR, true));
    }
    volumes.push(temporary("cache", settings));
    mounts.push(mount("cache", paths::CACHE_DIR, false));
    deployment(plan, settings, "serve", volumes, mounts)
}

/// Builds the Deployment of the pods that ask the parts of a composition.
pub fn of_composition(workload: &Workload, settings: &Settings) -> Child {
    deployment(workload, settings, "compose", Vec::new(), Vec::new())
}

fn mount(name: &str, path: &str, read_only: bool) -> Value {
    json!({"name": name, "mountPath": path, "readOnly": read_only})
}

/// A Deployment whose pods run a command with these volumes, the config and the identity.
fn deployment(
    plan: &Workload,
    settings: &Settings,
    command: &str,
    own_volumes: Vec<Value>,
    own_mounts: Vec<Value>,
) -> Child {
    let names = Names::new(&plan.name);
    let mut volumes = vec![json!({"name": "config", "configMap": {"name": names.serving_config()}})];
    let mut mounts = vec![mount("config", paths::SERVING_CONFIG_DIR, true)];
    volumes.extend(own_volumes);
    mounts.extend(own_mounts);
    let listen =
        ["--listen", &any_address(ports::APP).to_string(), "--admin-listen", &any_address(ports::ADMIN).to_string()];
    let mut arguments = vec![command.to_owned()];
    arguments.extend(listen.map(str::to_owned));
    let port = |name: &str, number: u16| json!({"name": name, "containerPort": number, "protocol": "TCP"});
    let mut container_ports = vec![port(ports::APP_NAME, ports::APP), port(ports::ADMIN_NAME, ports::ADMIN)];
    if let Some(signer) = settings.signer().filter(|_| plan.wants_identity()) {
        volumes.extend([identity::certificate(CERTIFICATE, signer), identity::anchors(ANCHORS, signer)]);
        mounts.extend(identity::mounts(CERTIFICATE, ANCHORS));
        arguments.extend(identity::arguments());
        arguments.push(format!("--mesh-port={}", ports::MESH));
        container_ports.push(port(ports::MESH_NAME, ports::MESH));
    }
    let container = json!({
        "name": Component::Serving.container(),
        "args": arguments,
        "env": [{"name": paths::POD_NAME_ENV, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "ports": container_ports,
        "startupProbe": probe(paths::LIVEZ, 1, 30),
        "livenessProbe": probe(paths::LIVEZ, 10, 3),
        "readinessProbe": probe(paths::READYZ, 1, 2),
        "volumeMounts": mounts,
    });
    let input = PodTemplateInput {
        component: Component::Serving,
        labels: Vec::new(),
        annotations: if settings.scrape_annotations { scrape_annotations() } else { json!({}) },
        container,
        volumes: json!(volumes),
        requests: [("cpu", "50m"), ("memory", "64Mi")],
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
    let template = template(plan, settings, &plan.spec.serving.pod, input);
    let mut metadata = metadata(plan, &plan.name, Component::Serving);
    if let Some(fields) = metadata.as_object_mut() {
        // Shows whether an apply would replace pods; a comparison of templates would see the
        // defaults of the API server.
        let hash = Digest::of(canonical_json(&template).as_bytes());
        fields.insert("annotations".to_owned(), json!({TEMPLATE_HASH_ANNOTATION: hash.revision()}));
    }
    Child {
        kind: ChildKind::Deployment,
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

fn probe(path: &str, period: u32, failures: u32) -> Value {
    json!({
        "httpGet": {"path": path, "port": ports::ADMIN_NAME},
        "periodSeconds": period, "timeoutSeconds": PROBE_TIMEOUT_SECONDS, "failureThreshold": failures,
    })
}

fn scrape_annotations() -> Value {
    json!({
        "prometheus.io/scrape": "true",
        "prometheus.io/port": ports::ADMIN.to_string(),
        "prometheus.io/path": paths::METRICS,
    })
}
