//! What all Jobs of the trainer's image have in common: volumes, the user's sources and Secrets,
//! and which failures end a Job.

use recommender_crds::SourceSpec;
use serde_json::{Value, json};
use sidecar_contract::paths;

use super::{
    child::{Child, metadata},
    pod::{PodTemplateInput, template, temporary},
    secrets,
};
use crate::{
    args::Settings,
    child_kind::ChildKind,
    names::{Component, Names},
    validate::Plan,
};

/// Maximum attempts of a Job whose failures are transient.
const POD_ATTEMPTS_MAX: u32 = 3;
/// Seconds that a finished Job is retained in addition to the maximum retry delay: it is the only
/// trace of a failure without a result, and its logs remain available.
const RETENTION_SECONDS: u64 = 3600;

/// Environment and volumes of a Job's container.
pub(super) struct JobPod {
    env: Vec<Value>,
    env_from: Vec<Value>,
    volumes: Vec<Value>,
    mounts: Vec<Value>,
}

impl JobPod {
    /// A container with a working directory, a temporary one, and access to the store.
    pub(super) fn new(plan: &Plan, settings: &Settings, env: Vec<Value>) -> Self {
        let mut volumes = vec![temporary("work", settings), temporary("tmp", settings)];
        let mut mounts =
            vec![json!({"name": "work", "mountPath": paths::WORK_DIR}), json!({"name": "tmp", "mountPath": "/tmp"})];
        if let Some(volume) = secrets::store_volume(plan, &Names::new(&plan.name).train_secret()) {
            volumes.push(volume);
            mounts.push(json!({"name": "store", "mountPath": paths::STORE_CREDENTIALS_DIR, "readOnly": true}));
        }
        Self { env, env_from: Vec::new(), volumes, mounts }
    }

    /// Adds a source of the user: its volume, read-only, and its Secret. Each source has a prefix
    /// of its own, so that its credentials are never used for another one.
    pub(super) fn add_source(&mut self, name: &str, prefix: &str, source: &SourceSpec) {
        if let Some(volume) = volume(name, source) {
            self.volumes.push(volume);
            let path = format!("{}/{name}", paths::DATA_DIR);
            self.mounts.push(json!({"name": name, "mountPath": path, "readOnly": true}));
        }
        if let Some(secret) = &source.secret_ref {
            self.add_secret(prefix, &secret.name);
        }
    }

    /// Adds the keys of a user's Secret with this prefix. The operator does not read the Secret; if
    /// it is missing, the status of the pod shows that.
    pub(super) fn add_secret(&mut self, prefix: &str, secret: &str) {
        self.env_from.push(json!({"prefix": prefix, "secretRef": {"name": secret}}));
        self.env.push(json!({"name": format!("{prefix}{}", paths::SECRET_NAME), "value": secret}));
    }
}

fn volume(name: &str, source: &SourceSpec) -> Option<Value> {
    if let Some(map) = &source.config_map {
        // Optional: the trainer reports a missing key clearly, while a failing mount would leave
        // the pod pending.
        return Some(json!({"name": name, "configMap": {"name": map.name, "optional": true}}));
    }
    let claim = source.persistent_volume_claim.as_ref()?;
    Some(json!({"name": name, "persistentVolumeClaim": {"claimName": claim.claim_name, "readOnly": true}}))
}

/// What differs between Jobs.
pub(super) struct JobInput {
    pub(super) component: Component,
    /// Name of the Job.
    pub(super) name: String,
    /// Labels of the Job in addition to those of every child...
    pub(super) labels: Vec<(&'static str, String)>,
    /// ...and of its pods.
    pub(super) pod_labels: Vec<(&'static str, String)>,
    /// Subcommand of the image.
    pub(super) command: &'static str,
    pub(super) pod: JobPod,
    /// Exit codes after which no further attempt is made.
    pub(super) final_codes: Vec<u8>,
    /// Affinity of the pods.
    pub(super) affinity: Option<Value>,
}

/// Builds a Job.
pub(super) fn trainer_job(plan: &Plan, settings: &Settings, input: JobInput) -> Child {
    let JobInput { component, name, labels, pod_labels, command, pod, final_codes, affinity } = input;
    let JobPod { env, env_from, volumes, mounts } = pod;
    let spec = match affinity {
        Some(affinity) => json!({"restartPolicy": "Never", "affinity": affinity}),
        None => json!({"restartPolicy": "Never"}),
    };
    let template_input = PodTemplateInput {
        component,
        labels: pod_labels,
        annotations: json!({}),
        container: json!({
            "name": component.container(),
            "args": [command],
            "env": env,
            "envFrom": env_from,
            "volumeMounts": mounts,
        }),
        volumes: Value::from(volumes),
        requests: [("cpu", "100m"), ("memory", "128Mi")],
        spec,
    };
    let mut manifest = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(plan, &name, component),
        "spec": {
            "backoffLimit": POD_ATTEMPTS_MAX - 1,
            "activeDeadlineSeconds": plan.training.deadline.as_secs(),
            "ttlSecondsAfterFinished": settings.retry_seconds_max.saturating_add(RETENTION_SECONDS),
            "podFailurePolicy": {"rules": [
                // A disruption, such as a node drain, is not a failure.
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {"action": "FailJob", "onExitCodes": {
                    "containerName": component.container(), "operator": "In", "values": final_codes,
                }},
            ]},
            "template": template(plan, settings, &plan.spec.training.pod, template_input),
        },
    });
    if let Some(Value::Object(known)) = manifest.pointer_mut("/metadata/labels") {
        known.extend(labels.into_iter().map(|(key, value)| (key.to_owned(), json!(value))));
    }
    Child { kind: ChildKind::Job, manifest }
}
