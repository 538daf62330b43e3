//! The Job of one run, with its instructions inside: run and instructions are one immutable object.

use recommender_crds::SourceSpec;
use serde_json::{Value, json};
use sidecar_contract::{ExitCode, TrainingConfig, canonical_json, paths};

use super::{
    Child, Kind, metadata,
    pod::{Parts, template},
    small,
};
use crate::{
    args::Settings,
    decide,
    names::{ATTEMPT_LABEL, Component, Names, RUN_LABEL, WANTED_LABEL, selector},
    validate::{INTERACTIONS_MOUNT, ITEMS_MOUNT, Plan},
};

/// Tries of a run that the world, not the data, made fail.
const TRIES: u32 = 3;
/// Seconds that a finished Job stays, for its logs, beyond the longest pause before the next try: a run that ended without
/// a result is known by its Job only.
const FINISHED_SECONDS: u64 = 3600;
/// What a process that was killed exits with: without a disruption, for its memory.
const KILLED_EXIT_CODE: u8 = 137;

/// The Job.
pub fn build(plan: &Plan, settings: &Settings, config: &TrainingConfig) -> Child {
    let names = Names::new(&plan.name);
    let mut final_codes = ExitCode::FINAL.map(ExitCode::code).to_vec();
    final_codes.push(KILLED_EXIT_CODE);
    let mut manifest = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(plan, &names.job(config.run.number), Component::Trainer),
        "spec": {
            "backoffLimit": TRIES - 1,
            "activeDeadlineSeconds": plan.training.deadline.as_secs(),
            "ttlSecondsAfterFinished": settings.retry_seconds_max.saturating_add(FINISHED_SECONDS),
            "podFailurePolicy": {"rules": [
                // A drained node is not the run's fault.
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {"action": "FailJob", "onExitCodes": {
                    "containerName": "trainer", "operator": "In", "values": final_codes,
                }},
            ]},
            "template": template(plan, settings, &plan.spec.training.pod, parts(plan, &names, config)),
        },
    });
    if let Some(Value::Object(labels)) = manifest.pointer_mut("/metadata/labels") {
        labels.insert(RUN_LABEL.to_owned(), json!(config.run.number.to_string()));
        labels.insert(ATTEMPT_LABEL.to_owned(), json!(config.run.attempt));
        labels.insert(WANTED_LABEL.to_owned(), json!(decide::wanted(plan)));
    }
    Child { kind: Kind::Job, manifest }
}

fn parts(plan: &Plan, names: &Names, config: &TrainingConfig) -> Parts {
    let mut volumes = vec![json!({"name": "work", "emptyDir": {}}), json!({"name": "tmp", "emptyDir": {}})];
    let mut mounts =
        vec![json!({"name": "work", "mountPath": paths::WORK_DIR}), json!({"name": "tmp", "mountPath": "/tmp"})];
    if let Some(volume) = small::store_volume(plan, &names.train_secret()) {
        volumes.push(volume);
        mounts.push(json!({"name": "store", "mountPath": paths::STORE_CREDENTIALS_DIR, "readOnly": true}));
    }
    let items = plan.spec.data.items.as_ref().map(|items| &items.source);
    let sources = [(INTERACTIONS_MOUNT, Some(&plan.spec.data.source)), (ITEMS_MOUNT, items)];
    let mut env = vec![json!({"name": paths::TRAINING_CONFIG_ENV, "value": canonical_json(config)})];
    let mut secrets = Vec::new();
    for (name, source) in sources {
        let Some(source) = source else { continue };
        if let Some(volume) = volume(name, source) {
            volumes.push(volume);
            mounts.push(json!({"name": name, "mountPath": format!("{}/{name}", paths::DATA_DIR), "readOnly": true}));
        }
        if let Some(secret) = &source.secret_ref {
            // Each source has its own prefix, so that one's keys never open the other. A Secret that is missing shows in
            // the pod's status: the operator does not read it.
            let prefix =
                if name == ITEMS_MOUNT { paths::ITEMS_SECRET_ENV_PREFIX } else { paths::SOURCE_SECRET_ENV_PREFIX };
            secrets.push(json!({"prefix": prefix, "secretRef": {"name": secret.name}}));
            env.push(json!({"name": format!("{prefix}{}", paths::SECRET_NAME), "value": secret.name}));
        }
    }
    Parts {
        component: Component::Trainer,
        labels: vec![(RUN_LABEL, config.run.number.to_string()), (ATTEMPT_LABEL, config.run.attempt.clone())],
        annotations: json!({}),
        container: json!({
            "name": "trainer",
            "args": ["train"],
            "env": env,
            "envFrom": secrets,
            "volumeMounts": mounts,
        }),
        volumes: Value::from(volumes),
        resources: json!({"requests": {"cpu": "100m", "memory": "128Mi"}}),
        spec: json!({
            "restartPolicy": "Never",
            // A serving pod of the same Recommender must not lose its node's CPU to training for nothing.
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

fn volume(name: &str, source: &SourceSpec) -> Option<Value> {
    if let Some(map) = &source.config_map {
        // Optional: the trainer says clearly which key is missing, where a mount would only hang.
        return Some(json!({"name": name, "configMap": {"name": map.name, "optional": true}}));
    }
    let claim = source.persistent_volume_claim.as_ref()?;
    Some(json!({"name": name, "persistentVolumeClaim": {"claimName": claim.claim_name, "readOnly": true}}))
}
