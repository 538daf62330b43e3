//! Short Jobs of the trainer's image other than training: what all kinds have in common.

use serde_json::{Value, json};
use sidecar_contract::{ExitCode, TimedId, paths};

use super::{
    child::{Child, metadata},
    pod::{PodTemplateInput, template, temporary},
    secrets,
};
use crate::{
    args::Settings,
    child_kind::ChildKind,
    decide::TaskDecision,
    names::{Component, Names, REQUEST_LABEL, SPEC_HASH_LABEL, TASK_LABEL},
    observed::Observed,
    validate::Plan,
};

/// Maximum attempts of a Job whose failures are transient.
const POD_ATTEMPTS_MAX: u32 = 3;
/// Seconds that a finished Job is retained in addition to the maximum retry delay: it is the only
/// trace of a failure without a result, and its logs remain available.
const RETENTION_SECONDS: u64 = 3600;

/// What happens to a short Job.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskChange {
    /// No Job runs or is due.
    None,
    /// A Job runs, or is being deleted.
    Keep,
    /// An outdated Job is deleted.
    Delete {
        /// Name of the Job.
        name: String,
    },
    /// A Job starts as soon as there is a free slot. It is created once and never patched.
    Create(Child),
}

/// What happens to a Job that is not started.
pub(super) fn change<T>(decision: &TaskDecision<T>, observed: &Observed) -> TaskChange {
    match decision {
        TaskDecision::Idle { .. } | TaskDecision::Wait { .. } | TaskDecision::Start(_) => TaskChange::None,
        TaskDecision::Running => TaskChange::Keep,
        TaskDecision::Replace { job } => {
            let is_deleted = observed.tasks.iter().any(|known| known.name == *job && known.deleted);
            if is_deleted { TaskChange::Keep } else { TaskChange::Delete { name: job.clone() } }
        }
    }
}

/// Environment and volumes of a short Job's container.
pub(super) struct TaskPod {
    env: Vec<Value>,
    env_from: Vec<Value>,
    volumes: Vec<Value>,
    mounts: Vec<Value>,
}

impl TaskPod {
    pub(super) fn new(env: Vec<Value>) -> Self {
        Self { env, env_from: Vec::new(), volumes: Vec::new(), mounts: Vec::new() }
    }

    /// Adds a volume of the user with data, read-only.
    pub(super) fn add_data_volume(&mut self, name: &str, volume: Value) {
        self.volumes.push(volume);
        self.mounts.push(json!({"name": name, "mountPath": format!("{}/{name}", paths::DATA_DIR), "readOnly": true}));
    }

    /// Adds the keys of a user's Secret with a prefix of their own. The operator does not read the
    /// Secret; if it is missing, the status of the pod shows that.
    pub(super) fn add_secret(&mut self, prefix: &str, secret: &str) {
        self.env_from.push(json!({"prefix": prefix, "secretRef": {"name": secret}}));
        self.env.push(json!({"name": format!("{prefix}{}", paths::SECRET_NAME), "value": secret}));
    }
}

/// What differs between short Jobs.
pub(super) struct TaskInput<'a> {
    pub(super) component: Component,
    /// Name of the Job.
    pub(super) name: String,
    /// Identity of what it makes.
    pub(super) id: &'a TimedId,
    /// Short hash of the spec that it is created for.
    pub(super) spec_hash: &'a str,
    /// Hash of the request that it handles.
    pub(super) request: Option<String>,
    /// Subcommand of the image.
    pub(super) command: &'static str,
    pub(super) pod: TaskPod,
}

/// Builds a short Job.
pub(super) fn task_job(plan: &Plan, settings: &Settings, input: TaskInput<'_>) -> Child {
    let TaskInput { component, name, id, spec_hash, request, command, pod } = input;
    let TaskPod { env, env_from, volumes: data_volumes, mounts: data_mounts } = pod;
    let mut volumes = vec![temporary("work", settings), temporary("tmp", settings)];
    let mut mounts =
        vec![json!({"name": "work", "mountPath": paths::WORK_DIR}), json!({"name": "tmp", "mountPath": "/tmp"})];
    if let Some(volume) = secrets::store_volume(plan, &Names::new(&plan.name).train_secret()) {
        volumes.push(volume);
        mounts.push(json!({"name": "store", "mountPath": paths::STORE_CREDENTIALS_DIR, "readOnly": true}));
    }
    volumes.extend(data_volumes);
    mounts.extend(data_mounts);
    let template_input = PodTemplateInput {
        component,
        labels: vec![(TASK_LABEL, id.to_string())],
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
        spec: json!({"restartPolicy": "Never"}),
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
                    "containerName": component.container(), "operator": "In",
                    "values": ExitCode::PERMANENT.map(ExitCode::code),
                }},
            ]},
            "template": template(plan, settings, &plan.spec.training.pod, template_input),
        },
    });
    if let Some(Value::Object(labels)) = manifest.pointer_mut("/metadata/labels") {
        labels.insert(TASK_LABEL.to_owned(), json!(id.to_string()));
        labels.insert(SPEC_HASH_LABEL.to_owned(), json!(spec_hash));
        labels.extend(request.map(|request| (REQUEST_LABEL.to_owned(), json!(request))));
    }
    Child { kind: ChildKind::Job, manifest }
}
