//! Reads what the pure steps need: children, pods, run results, and what the serving pods say of themselves. IO.

mod config;
mod pods;
mod reports;
mod runs;
mod secrets;

use futures::future::try_join_all;
use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::{Job, JobCondition},
    core::v1::Pod,
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, PartialObjectMeta},
    core::DynamicObject,
};
use recommender_crds::Recommender;
use sidecar_contract::{ModelReport, RunResult, ServingConfig};

use crate::{
    context::Context,
    desired::Kind,
    error::Error,
    names::{ATTEMPT_LABEL, Component, Names, RECOMMENDER_LABEL, RUN_LABEL, TEMPLATE_HASH_ANNOTATION, WANTED_LABEL},
    validate::Plan,
};
pub use pods::{PodFacts, Trouble};
pub use secrets::secret_versions;

/// How a Job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Not ended.
    Running,
    /// Succeeded.
    Succeeded,
    /// Failed for good.
    Failed,
}

/// A training Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFacts {
    /// Name.
    pub name: String,
    /// Number of its run.
    pub run: u32,
    /// Hash of its attempt.
    pub attempt: String,
    /// Hash of what was wanted when it was made.
    pub wanted: String,
    /// Whether it is being deleted.
    pub deleted: bool,
    /// How it stands.
    pub state: JobState,
    /// End, in seconds since 1970; 0 while it runs.
    pub finished_at: i64,
    /// Reason of the failed condition.
    pub reason: String,
    /// Message of the failed condition.
    pub message: String,
}

/// The Deployment of the serving pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentFacts {
    /// Pods that there should be.
    pub wanted: i32,
    /// Hash of the pod template, as the operator wrote it.
    pub template: String,
    /// Pods that exist.
    pub replicas: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// Pods of the newest template.
    pub updated: i32,
    /// Whether the controller has seen the newest spec.
    pub current: bool,
}

/// What is the case.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Training Jobs.
    pub jobs: Vec<JobFacts>,
    /// Pods of both kinds.
    pub pods: Vec<PodFacts>,
    /// The Deployment, if it is there.
    pub deployment: Option<DeploymentFacts>,
    /// The serving config in force.
    pub config: Option<ServingConfig>,
    /// Children's names that somebody else's objects have.
    pub taken: Vec<String>,
    /// Finished runs; `Err` says why they are unknown.
    pub runs: Result<Vec<RunResult>, String>,
    /// Serving pods' reports by pod name.
    pub reports: Vec<(String, ModelReport)>,
}

impl Observed {
    /// Names of the serving pods that run.
    pub fn running_serving_pods(&self) -> Vec<&str> {
        let serving = self.pods.iter().filter(|pod| pod.component == Some(Component::Serving) && pod.running);
        serving.map(|pod| pod.name.as_str()).collect()
    }
}

/// The API server's own copy of a Recommender, if it is still there.
///
/// # Errors
/// The API server.
pub async fn recommender(context: &Context, woken: &Recommender) -> Result<Option<Recommender>, Error> {
    let namespace = woken.namespace().ok_or(Error::Incomplete("namespace"))?;
    let name = woken.name_any();
    let api: Api<Recommender> = Api::namespaced(context.client.clone(), &namespace);
    api.get_opt(&name).await.map_err(Error::api(format!("cannot read Recommender {namespace}/{name}")))
}

/// Reads it all.
///
/// # Errors
/// The API server could not be asked. An unreachable store is no error: serving does not depend on it.
pub async fn observe(context: &Context, plan: &Plan) -> Result<Observed, Error> {
    let client = &context.client;
    let owned = ListParams::default().labels(&format!("{RECOMMENDER_LABEL}={}", plan.name));
    let jobs: Api<Job> = Api::namespaced(client.clone(), &plan.namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), &plan.namespace);
    let (jobs, pods) =
        futures::try_join!(async { jobs.list(&owned).await.map_err(Error::api("cannot list Jobs")) }, async {
            pods.list(&owned).await.map_err(Error::api("cannot list Pods"))
        },)?;
    let taken = taken_names(context, plan).await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &plan.namespace);
    let deployment = deployments
        .get_opt(&plan.name)
        .await
        .map_err(Error::api(format!("cannot read Deployment {}", plan.name)))?
        .filter(|d| controlled_by(d.owner_references(), &plan.uid));
    let jobs = jobs.items.iter().filter(|job| controlled_by(job.owner_references(), &plan.uid)).filter_map(job_facts);
    let pods: Vec<PodFacts> = pods.items.iter().map(pods::facts).collect();
    let config = config::read(context, plan).await?;
    let runs = runs::read(context, plan).await;
    let reports = reports::read(context, &pods).await;
    Ok(Observed {
        jobs: jobs.collect(),
        deployment: deployment.as_ref().map(deployment_facts),
        config,
        taken,
        runs,
        reports,
        pods,
    })
}

/// Whether our Recommender, and not one of the same name before it, controls an object.
pub fn controlled_by(owners: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference], uid: &str) -> bool {
    owners.iter().any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

async fn taken_names(context: &Context, plan: &Plan) -> Result<Vec<String>, Error> {
    let names = Names::new(&plan.name);
    let looks = Kind::children(&names).into_iter().map(|(kind, name)| async move {
        let api: Api<DynamicObject> =
            Api::namespaced_with(context.client.clone(), &plan.namespace, &kind.api_resource());
        let found: Option<PartialObjectMeta<DynamicObject>> = api
            .get_metadata_opt(&name)
            .await
            .map_err(Error::api(format!("cannot look for {} {name}", kind.as_str())))?;
        let foreign = found.is_some_and(|object| !controlled_by(object.owner_references(), &plan.uid));
        Ok::<_, Error>(foreign.then(|| format!("{} {name}", kind.as_str())))
    });
    Ok(try_join_all(looks).await?.into_iter().flatten().collect())
}

/// Whether a Job has succeeded or failed for good.
pub fn has_ended(job: &Job) -> bool {
    end(job).is_some()
}

fn end(job: &Job) -> Option<&JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|c| c.status == "True" && (c.type_ == "Complete" || c.type_ == "Failed"))
}

fn job_facts(job: &Job) -> Option<JobFacts> {
    let labels = job.labels();
    let ended = end(job);
    Some(JobFacts {
        name: job.name_any(),
        run: labels.get(RUN_LABEL)?.parse().ok()?,
        attempt: labels.get(ATTEMPT_LABEL)?.clone(),
        wanted: labels.get(WANTED_LABEL).cloned().unwrap_or_default(),
        deleted: job.metadata.deletion_timestamp.is_some(),
        state: match ended.map(|c| c.type_.as_str()) {
            Some("Complete") => JobState::Succeeded,
            Some(_) => JobState::Failed,
            None => JobState::Running,
        },
        finished_at: ended.and_then(|c| c.last_transition_time.as_ref()).map_or(0, |time| time.0.as_second()),
        reason: ended.and_then(|c| c.reason.clone()).unwrap_or_default(),
        message: ended.and_then(|c| c.message.clone()).unwrap_or_default(),
    })
}

fn deployment_facts(deployment: &Deployment) -> DeploymentFacts {
    let status = deployment.status.clone().unwrap_or_default();
    DeploymentFacts {
        wanted: deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
        template: deployment.annotations().get(TEMPLATE_HASH_ANNOTATION).cloned().unwrap_or_default(),
        replicas: status.replicas.unwrap_or(0),
        ready: status.ready_replicas.unwrap_or(0),
        updated: status.updated_replicas.unwrap_or(0),
        current: status.observed_generation == deployment.metadata.generation,
    }
}
