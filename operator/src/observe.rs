//! Reads the input of the pure steps: children, pods, run results, and the reports of the serving
//! pods. IO.

mod children;
mod reports;
mod secrets;
mod store;

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        batch::v1::Job,
        core::v1::{ConfigMap, Pod},
    },
    jiff::Timestamp,
};
use kube::{Api, ResourceExt, api::ListParams};
use recommender_crds::Recommender;
use sidecar_contract::ServingConfig;

use crate::{
    context::Context,
    error::Error,
    names::{Names, RECOMMENDER_LABEL},
    observed::{self, DeploymentFacts, JobFacts, Observed, PodFacts, controlled_by},
};

/// Reads the API server's copy of a cached Recommender, if it still exists.
///
/// # Errors
/// Fails if the API request fails.
pub async fn recommender(context: &Context, cached: &Recommender) -> Result<Option<Recommender>, Error> {
    let namespace = cached.namespace().ok_or(Error::Incomplete("namespace"))?;
    let name = cached.name_any();
    let api: Api<Recommender> = Api::namespaced(context.client.clone(), &namespace);
    api.get_opt(&name).await.map_err(Error::api(format!("cannot read Recommender {namespace}/{name}")))
}

/// The identity of a Recommender, which may have an invalid spec.
struct Subject<'a> {
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
}

/// Reads the observed state of a Recommender, whether or not its spec is valid.
///
/// # Errors
/// Fails if an API request fails. An unreachable store is not an error, because serving does not
/// depend on it.
pub async fn observe(context: &Context, recommender: &Recommender, now: Timestamp) -> Result<Observed, Error> {
    let meta = &recommender.metadata;
    let subject = Subject {
        namespace: meta.namespace.as_deref().ok_or(Error::Incomplete("namespace"))?,
        name: meta.name.as_deref().ok_or(Error::Incomplete("name"))?,
        uid: meta.uid.as_deref().ok_or(Error::Incomplete("uid"))?,
    };
    // Jobs before run results: a Job that has finished has left its result.
    let (jobs, pods) = futures::try_join!(jobs(context, &subject), pods(context, &subject))?;
    let (children, deployment, config, secret_versions) = futures::try_join!(
        children::read(context, &subject),
        deployment(context, &subject),
        config(context, &subject),
        secrets::versions(context, recommender),
    )?;
    let reports = reports::read(context, &pods).await;
    let runs = store::runs(context, recommender).await;
    let mut observed = Observed {
        jobs,
        pods,
        deployment,
        config,
        versions: children.versions,
        name_conflicts: children.conflicts,
        secret_versions,
        runs,
        snapshots: None,
        reports,
    };
    if observed.runs.is_ok() && observed.all_pods_report() {
        observed.snapshots = store::snapshots(context, recommender, now.as_second()).await;
    }
    Ok(observed)
}

async fn jobs(context: &Context, subject: &Subject<'_>) -> Result<Vec<JobFacts>, Error> {
    let api: Api<Job> = Api::namespaced(context.client.clone(), subject.namespace);
    let jobs = api.list(&children_of(subject)).await.map_err(Error::api("cannot list Jobs"))?;
    let owned = jobs.items.iter().filter(|job| controlled_by(job.owner_references(), subject.uid));
    Ok(owned.filter_map(JobFacts::of).collect())
}

async fn pods(context: &Context, subject: &Subject<'_>) -> Result<Vec<PodFacts>, Error> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), subject.namespace);
    let pods = api.list(&children_of(subject)).await.map_err(Error::api("cannot list Pods"))?;
    Ok(pods.items.iter().map(PodFacts::of).collect())
}

fn children_of(subject: &Subject<'_>) -> ListParams {
    ListParams::default().labels(&format!("{RECOMMENDER_LABEL}={}", subject.name))
}

async fn deployment(context: &Context, subject: &Subject<'_>) -> Result<Option<DeploymentFacts>, Error> {
    let Subject { namespace, name, uid } = subject;
    let api: Api<Deployment> = Api::namespaced(context.client.clone(), namespace);
    let found = api.get_opt(name).await.map_err(Error::api(format!("cannot read Deployment {namespace}/{name}")))?;
    let owned = found.filter(|deployment| controlled_by(deployment.owner_references(), uid));
    Ok(owned.as_ref().map(DeploymentFacts::of))
}

/// Reads the serving config in force. It records the last decision and outlives the operator, the
/// status and the store.
async fn config(context: &Context, subject: &Subject<'_>) -> Result<Option<ServingConfig>, Error> {
    let Subject { namespace, name, uid } = subject;
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), namespace);
    let map = Names::new(*name).serving_config();
    let found = api.get_opt(&map).await.map_err(Error::api(format!("cannot read ConfigMap {namespace}/{map}")))?;
    let Some(found) = found.filter(|map| controlled_by(map.owner_references(), uid)) else { return Ok(None) };
    Ok(observed::serving_config(&found).unwrap_or_else(|error| {
        // The decision is made again.
        tracing::warn!(namespace, name, %error, "cannot parse the serving config; it is replaced");
        None
    }))
}
