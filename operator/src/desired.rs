//! The desired writes of a pass: manifests of all children, one kind per file, and what is deleted.
//! Pure: a plan and decisions in, objects out; no client, no clock.

mod batch;
mod catalogue;
mod child;
mod composition;
mod config_map;
mod deployment;
mod disruption_budget;
mod job;
mod network_policy;
mod pod;
mod pruned;
mod rollout;
mod secrets;
mod service_account;
mod services;
mod task;
mod trainer_job;

pub use self::{
    child::Child,
    composition::{DesiredComposition, composition},
    config_map::serving_config,
    job::JobChange,
    rollout::{DeploymentChange, Release, Rollout},
    task::TaskChange,
};
use crate::{
    child_kind::ChildKind,
    decide::{Decision, Garbage},
    finalizer,
    installation::Installation,
    names::Component,
    observed::Observed,
    validate::Plan,
};

/// Everything that a pass writes, except the status. `apply` writes it in the order of the fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Finalizers of the Recommender, if they change.
    pub finalizers: Option<Vec<String>>,
    /// ServiceAccount of the pods for which the user names none.
    pub service_account: Option<Child>,
    /// Store credentials of the trainer; `None` if the pods access a user's bucket.
    pub train_secret: Option<Child>,
    /// Store credentials of the serving pods; `None` if the pods access a user's bucket.
    pub serve_secret: Option<Child>,
    /// What happens to the Job.
    pub job: JobChange,
    /// What happens to the Job that writes lists for all users.
    pub batch: TaskChange,
    /// What happens to the Job that makes a catalogue.
    pub catalogue: TaskChange,
    /// Jobs that are deleted: those whose runs have ended although their pods still run, and old
    /// failed ones.
    pub obsolete_jobs: Vec<String>,
    /// NetworkPolicy of the serving pods.
    pub network_policy: Child,
    /// Service for clients.
    pub service: Child,
    /// Headless Service of all serving pods.
    pub headless_service: Child,
    /// PodDisruptionBudget of the serving pods.
    pub disruption_budget: Child,
    /// Serving config and Deployment; `None` while they cannot be decided, because the store is
    /// down and there is no config in force.
    pub rollout: Option<Rollout>,
    /// Children that exist, but are not needed any more.
    pub pruned: Vec<(ChildKind, String)>,
    /// What is deleted from the store.
    pub garbage: Garbage,
}

/// Builds the desired writes.
pub fn desired(plan: &Plan, decision: &Decision, observed: &Observed, installation: &Installation) -> Desired {
    let credentials = installation.store_secrets(&plan.namespace, &plan.name);
    // A user's bucket is accessed with the user's own Secret, or with the identity of the pods.
    let embedded = plan.spec.store.is_none();
    let is_decided = observed.runs.is_ok() || observed.config.is_some();
    let service_account = service_account::build(plan);
    let train_secret = embedded.then(|| secrets::store_secret(plan, Component::Trainer, &credentials.train));
    let serve_secret = embedded.then(|| secrets::store_secret(plan, Component::Serving, &credentials.serve));
    let rollout = is_decided.then(|| rollout::build(plan, decision, observed, installation));
    let kept = [&service_account, &train_secret, &serve_secret].into_iter().flatten();
    Desired {
        pruned: pruned::pruned(plan, observed, rollout.as_ref(), kept),
        finalizers: finalizer::change(&plan.finalizers, plan.spec.deletion_policy),
        service_account,
        train_secret,
        serve_secret,
        job: job::change(plan, decision, observed, installation),
        batch: batch::change(plan, decision, observed, installation),
        catalogue: catalogue::change(plan, decision, observed, installation),
        obsolete_jobs: observed.lingering_jobs.iter().chain(&decision.stale_jobs).cloned().collect(),
        network_policy: network_policy::build(plan, &installation.settings),
        service: services::service(plan),
        headless_service: services::headless(plan, &installation.settings),
        disruption_budget: disruption_budget::build(plan),
        rollout,
        garbage: decision.garbage.clone(),
    }
}

#[cfg(test)]
mod tests;
