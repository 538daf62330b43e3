//! What one pass has read: facts about the children of a Recommender, its pods and its runs. Pure:
//! the objects of the API are arguments.

mod deployment;
mod jobs;
mod ownership;
pub mod pod_problem;
mod pods;
mod tasks;

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::OwnerReference};
use sidecar_contract::{
    BatchId, BatchResult, CatalogueResult, CatalogueVersion, Digest, ModelReport, RunResult, ServingConfig, paths,
};

pub use self::{
    deployment::DeploymentFacts,
    jobs::{Concluded, JobFacts, JobState, conclude, has_ended},
    ownership::PodOwners,
    pod_problem::PodProblem,
    pods::PodFacts,
    tasks::{ConcludedTasks, TaskFacts, conclude_tasks},
};
use crate::{child_kind::ChildKind, names::Component};

/// Observed state of a Recommender.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Training Jobs.
    pub jobs: Vec<JobFacts>,
    /// Short Jobs other than training.
    pub tasks: Vec<TaskFacts>,
    /// Trainer and serving pods.
    pub pods: Vec<PodFacts>,
    /// The Deployment, if it exists.
    pub deployment: Option<DeploymentFacts>,
    /// The serving config in force.
    pub config: Option<ServingConfig>,
    /// Resource versions of the existing permanent children, by kind and name.
    pub versions: BTreeMap<(ChildKind, String), String>,
    /// Kinds and names of children that objects of another owner have.
    pub name_conflicts: Vec<(ChildKind, String)>,
    /// Versions of the Secrets that the trainer receives, by name.
    pub secret_versions: BTreeMap<String, String>,
    /// Finished runs, or why they are unknown.
    pub runs: Result<Vec<RunResult>, String>,
    /// Batches that have ended, or why they are unknown; none unless the spec asks for lists.
    pub batches: Result<EndedBatches, String>,
    /// Results of catalogues, or why they are unknown; none unless the spec asks for catalogues.
    pub catalogues: Result<EndedCatalogues, String>,
    /// Jobs that have committed their result, but whose pods still run.
    pub lingering_jobs: Vec<String>,
    /// Whether the store failed.
    pub store_is_down: bool,
    /// When another pass is worthwhile although nothing changes: to read a store that failed, or to
    /// delete the Job of a run that has ended.
    pub look_again_after: Option<Duration>,
    /// All snapshots in the store, each with the second since 1970 when it was stored; `None` if
    /// this pass does not search for orphans.
    pub snapshots: Option<Vec<(Digest, i64)>>,
    /// Reports of the serving pods by pod name.
    pub reports: Vec<(String, ModelReport)>,
}

/// Results of short Jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended<Result, Key> {
    /// The newest ones, newest first.
    pub newest: Vec<Result>,
    /// Keys of all older ones.
    pub older: Vec<Key>,
}

/// Batches that have ended.
pub type EndedBatches = Ended<BatchResult, BatchId>;

/// Refreshes of catalogues that have committed a result; version and revision of older ones.
pub type EndedCatalogues = Ended<CatalogueResult, (CatalogueVersion, Digest)>;

impl<Result, Key> Default for Ended<Result, Key> {
    fn default() -> Self {
        Self { newest: Vec::new(), older: Vec::new() }
    }
}

impl Observed {
    /// Nothing exists, and no run has finished.
    pub fn nothing() -> Self {
        Self {
            jobs: Vec::new(),
            tasks: Vec::new(),
            pods: Vec::new(),
            deployment: None,
            config: None,
            versions: BTreeMap::new(),
            name_conflicts: Vec::new(),
            secret_versions: BTreeMap::new(),
            runs: Ok(Vec::new()),
            batches: Ok(EndedBatches::default()),
            catalogues: Ok(EndedCatalogues::default()),
            lingering_jobs: Vec::new(),
            store_is_down: false,
            look_again_after: None,
            snapshots: None,
            reports: Vec::new(),
        }
    }

    /// Finished runs; none while they are unknown.
    pub fn results(&self) -> &[RunResult] {
        self.runs.as_deref().unwrap_or_default()
    }

    /// Names of the running serving pods.
    pub fn running_serving_pods(&self) -> Vec<&str> {
        running_serving_pods(&self.pods).map(|pod| pod.name.as_str()).collect()
    }

    /// Whether a run is in progress.
    pub fn is_training(&self) -> bool {
        self.jobs.iter().any(|job| job.state == JobState::Running)
    }

    /// Whether a short Job of a component is in progress.
    pub fn runs_task(&self, component: Component) -> bool {
        self.tasks.iter().any(|task| task.component == component && task.state == JobState::Running)
    }

    /// Whether each running serving pod has reported what it has loaded.
    pub fn all_pods_report(&self) -> bool {
        running_serving_pods(&self.pods).count() <= self.reports.len()
    }
}

/// The serving pods among `pods` that are running.
pub fn running_serving_pods(pods: &[PodFacts]) -> impl Iterator<Item = &PodFacts> {
    pods.iter().filter(|pod| pod.component == Some(Component::Serving) && pod.running)
}

/// The controller of an object, among its owners.
pub fn controller(owners: &[OwnerReference]) -> Option<&OwnerReference> {
    owners.iter().find(|owner| owner.controller == Some(true))
}

/// Uid of the controller of an object; empty if it has none.
pub fn controller_uid(owners: &[OwnerReference]) -> &str {
    controller(owners).map_or("", |owner| owner.uid.as_str())
}

/// Whether the run of a Job may have committed a result: the Job or its trainer container has
/// ended.
pub fn may_have_result(job: &JobFacts, pods: &[PodFacts]) -> bool {
    let has_exited = |pod: &PodFacts| pod.run == Some(job.run) && pod.exit_code.is_some();
    job.state != JobState::Running || pods.iter().any(has_exited)
}

/// Whether the Recommender with this uid controls an object. An earlier Recommender of the same
/// name has another uid.
pub fn controlled_by(owners: &[OwnerReference], uid: &str) -> bool {
    !uid.is_empty() && controller_uid(owners) == uid
}

/// The serving config in a ConfigMap; `None` if there is none.
///
/// # Errors
/// Fails if the text cannot be parsed: another client or a newer operator has changed it.
pub fn serving_config(map: &ConfigMap) -> Result<Option<ServingConfig>, serde_json::Error> {
    let text = map.data.as_ref().and_then(|data| data.get(paths::SERVING_CONFIG_FILE));
    text.map(|text| serde_json::from_str(text)).transpose()
}
