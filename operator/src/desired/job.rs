//! The Job of a run. It contains the training config, so that run and config are one immutable
//! object.

use serde_json::json;
use sidecar_contract::{ExitCode, TrainingConfig, canonical_json, paths};

use super::{
    child::Child,
    trainer_job::{JobInput, JobPod, trainer_job},
};
use crate::{
    args::Settings,
    decide::{Decision, TrainingDecision, Trigger},
    installation::Installation,
    names::{ATTEMPT_LABEL, Component, Names, RUN_LABEL, SPEC_HASH_LABEL, selector},
    observed::Observed,
    validate::{INTERACTIONS_MOUNT, ITEMS_MOUNT, Plan},
};

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
    let env = vec![json!({"name": paths::TRAINING_CONFIG_ENV, "value": canonical_json(config)})];
    let mut pod = JobPod::new(plan, settings, env);
    pod.add_source(INTERACTIONS_MOUNT, paths::SOURCE_SECRET_ENV_PREFIX, &plan.data.source);
    if let Some(items) = plan.data.items.as_ref().filter(|_| plan.training.items.is_some()) {
        pod.add_source(ITEMS_MOUNT, paths::ITEMS_SECRET_ENV_PREFIX, &items.source);
    }
    let mut final_codes = ExitCode::PERMANENT.map(ExitCode::code).to_vec();
    final_codes.push(KILLED_EXIT_CODE);
    let pod_labels = vec![(RUN_LABEL, config.run.number.to_string()), (ATTEMPT_LABEL, config.run.attempt.clone())];
    let mut labels = pod_labels.clone();
    labels.push((SPEC_HASH_LABEL, plan.hashes.spec.clone()));
    let input = JobInput {
        component: Component::Trainer,
        name: Names::new(&plan.name).job(config.run.number),
        labels,
        pod_labels,
        command: "train",
        pod,
        final_codes,
        // Training should not compete for CPU with a serving pod of the same Recommender on its
        // node.
        affinity: Some(json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
            "weight": 1,
            "podAffinityTerm": {
                "topologyKey": "kubernetes.io/hostname",
                "labelSelector": {"matchLabels": selector(&plan.name, Component::Serving)},
            },
        }]}})),
    };
    trainer_job(plan, settings, input)
}
