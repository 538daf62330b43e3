//! The Job of a run. It contains the training config, so that run and config are one immutable
//! object.

use recommender_crds::SourceSpec;
use serde_json::{Value, json};
use sidecar_contract::{ExitCode, TrainingConfig, canonical_json, paths};

use super::{
    child::{Child, metadata},
    pod::{PodTemplateInput, template, temporary},
    secrets,
};
use crate::{
    args::Settings,
    child_kind::ChildKind,
    decide::{Decision, TrainingDecision, Trigger},
    installation::Installation,
    names::{ATTEMPT_LABEL, Component, Names, RUN_LABEL, SPEC_HASH_LABEL, selector},
    observed::Observed,
    validate::{INTERACTIONS_MOUNT, ITEMS_MOUNT, Plan},
};

/// Maximum attempts of a run whose failures are transient.
const POD_ATTEMPTS_MAX: u32 = 3;
/// Seconds that a finished Job is retained in addition to the maximum retry delay. Its logs remain
/// available, and a run that failed without a result is known only from its Job.
const RETENTION_SECONDS: u64 = 3600;
/// Exit code of a process that was killed by SIGKILL; without a disruption, the cause is an OOM
/// kill.
const KILLED_EXIT_CODE: u8 = 137;

/// What happens to the Job.
#[derive(Clone, Debug, PartialEq)]
pub enum JobChange {
    /// No run is in progress or due.
    None,
    /// A run is in progress, or its Job is being deleted.
    Keep,
    /// An outdated Job is deleted.
    Delete {
        /// Name of the Job.
        name: String,
    },
    /// A run starts as soon as there is a free slot. Its Job is created once and never patched.
    Create {
        /// The Job.
        job: Child,
        /// Why the run starts.
        trigger: Trigger,
    },
}

/// What happens to the Job for a decision.
pub fn change(plan: &Plan, decision: &Decision, observed: &Observed, installation: &Installation) -> JobChange {
    match &decision.training {
        TrainingDecision::Idle { .. } | TrainingDecision::Wait { .. } => JobChange::None,
        TrainingDecision::Running { .. } => JobChange::Keep,
        TrainingDecision::Replace { job } => {
            let is_deleted = observed.jobs.iter().any(|known| known.name == *job && known.deleted);
            if is_deleted { JobChange::Keep } else { JobChange::Delete { name: job.clone() } }
        }
        TrainingDecision::Start { run, trigger, decided_at, known_data_version } => {
            let config = TrainingConfig {
                expected_hash: Some(plan.hashes.config.clone()),
                known_data_version: known_data_version.clone(),
                retrain_at: plan.retrain_at.clone(),
                decided_at: Some(*decided_at),
                incumbent: decision.incumbent.clone(),
                ..plan.training.config(run.clone(), plan.store_scope().config(installation))
            };
            JobChange::Create { job: build(plan, &installation.settings, &config), trigger: *trigger }
        }
    }
}

/// Builds the Job.
pub fn build(plan: &Plan, settings: &Settings, config: &TrainingConfig) -> Child {
    let names = Names::new(&plan.name);
    let mut final_codes = ExitCode::PERMANENT.map(ExitCode::code).to_vec();
    final_codes.push(KILLED_EXIT_CODE);
    let mut manifest = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(plan, &names.job(config.run.number), Component::Trainer),
        "spec": {
            "backoffLimit": POD_ATTEMPTS_MAX - 1,
            "activeDeadlineSeconds": plan.training.deadline.as_secs(),
            "ttlSecondsAfterFinished": settings.retry_seconds_max.saturating_add(RETENTION_SECONDS),
            "podFailurePolicy": {"rules": [
                // A disruption, such as a node drain, is not a failure of the run.
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {"action": "FailJob", "onExitCodes": {
                    "containerName": Component::Trainer.container(), "operator": "In", "values": final_codes,
                }},
            ]},
            "template": template(plan, settings, &plan.spec.training.pod, template_input(plan, settings, &names, config)),
        },
    });
    if let Some(Value::Object(labels)) = manifest.pointer_mut("/metadata/labels") {
        labels.insert(RUN_LABEL.to_owned(), json!(config.run.number.to_string()));
        labels.insert(ATTEMPT_LABEL.to_owned(), json!(config.run.attempt));
        labels.insert(SPEC_HASH_LABEL.to_owned(), json!(plan.hashes.spec));
    }
    Child { kind: ChildKind::Job, manifest }
}

fn template_input(plan: &Plan, settings: &Settings, names: &Names, config: &TrainingConfig) -> PodTemplateInput {
    let mut volumes = vec![temporary("work", settings), temporary("tmp", settings)];
    let mut mounts =
        vec![json!({"name": "work", "mountPath": paths::WORK_DIR}), json!({"name": "tmp", "mountPath": "/tmp"})];
    if let Some(volume) = secrets::store_volume(plan, &names.train_secret()) {
        volumes.push(volume);
        mounts.push(json!({"name": "store", "mountPath": paths::STORE_CREDENTIALS_DIR, "readOnly": true}));
    }
    let items = plan.spec.data.items.as_ref().map(|items| &items.source);
    let sources = [(INTERACTIONS_MOUNT, Some(&plan.spec.data.source)), (ITEMS_MOUNT, items)];
    let mut env = vec![json!({"name": paths::TRAINING_CONFIG_ENV, "value": canonical_json(config)})];
    let mut env_from = Vec::new();
    for (name, source) in sources {
        let Some(source) = source else { continue };
        if let Some(volume) = volume(name, source) {
            volumes.push(volume);
            mounts.push(json!({"name": name, "mountPath": format!("{}/{name}", paths::DATA_DIR), "readOnly": true}));
        }
        if let Some(secret) = &source.secret_ref {
            // Each source has its own prefix, so that its credentials are never used for the other
            // source. The operator does not read the Secret; if it is missing, the pod's status
            // shows that.
            let prefix =
                if name == ITEMS_MOUNT { paths::ITEMS_SECRET_ENV_PREFIX } else { paths::SOURCE_SECRET_ENV_PREFIX };
            env_from.push(json!({"prefix": prefix, "secretRef": {"name": secret.name}}));
            env.push(json!({"name": format!("{prefix}{}", paths::SECRET_NAME), "value": secret.name}));
        }
    }
    PodTemplateInput {
        component: Component::Trainer,
        labels: vec![(RUN_LABEL, config.run.number.to_string()), (ATTEMPT_LABEL, config.run.attempt.clone())],
        annotations: json!({}),
        container: json!({
            "name": Component::Trainer.container(),
            "args": ["train"],
            "env": env,
            "envFrom": env_from,
            "volumeMounts": mounts,
        }),
        volumes: Value::from(volumes),
        requests: [("cpu", "100m"), ("memory", "128Mi")],
        spec: json!({
            "restartPolicy": "Never",
            // Training should not compete for CPU with a serving pod of the same Recommender on its
            // node.
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
                "weight": 1,
                "podAffinityTerm": {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchLabels": selector(&plan.name, Component::Serving)},
                },
            }]}},
        }),
    }
}

pub(super) fn volume(name: &str, source: &SourceSpec) -> Option<Value> {
    if let Some(map) = &source.config_map {
        // Optional: the trainer reports a missing key clearly, while a failing mount would leave
        // the pod pending.
        return Some(json!({"name": name, "configMap": {"name": map.name, "optional": true}}));
    }
    let claim = source.persistent_volume_claim.as_ref()?;
    Some(json!({"name": name, "persistentVolumeClaim": {"claimName": claim.claim_name, "readOnly": true}}))
}
