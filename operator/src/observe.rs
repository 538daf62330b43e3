//! Reads the input of the pure steps: children, pods, run results, and the reports of the serving
//! pods. IO.

mod batches;
mod blockers;
mod catalogues;
mod children;
mod owned;
mod parts;
mod reports;
mod results;
mod secrets;
mod store;

pub use self::store::probe as probe_store;

use std::time::Duration;

use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::ConfigMap},
    jiff::Timestamp,
};
use kube::{Api, ResourceExt};
use recommender_crds::Recommender;
use sidecar_contract::ServingConfig;

use self::results::Results;
use crate::{
    child_kind::ChildKind,
    context::Context,
    decide::is_of_task,
    error::Error,
    names::{Component, Names},
    observed::{
        self, Concluded, DeploymentFacts, EndedBatches, EndedCatalogues, Observed, TaskFacts, conclude, conclude_tasks,
        controlled_by,
    },
    received::{InvalidObject, ReceivedRecommender},
    validate::composition::Named,
};

/// Interval while the pods of a run that has committed its result still run.
const ENDING_JOB_INTERVAL: Duration = Duration::from_secs(30);

/// Reads the API server's copy of a cached Recommender, if it still exists.
///
/// # Errors
/// Fails if the API request fails.
pub async fn recommender(context: &Context, cached: &Recommender) -> Result<Option<Recommender>, Error> {
    let namespace = cached.namespace().ok_or(Error::Incomplete("namespace"))?;
    let name = cached.name_any();
    let _turn = context.turn(&namespace).await;
    received(context, &namespace, &name).await
}

/// Reads a Recommender without what no pass needs.
async fn received(context: &Context, namespace: &str, name: &str) -> Result<Option<Recommender>, Error> {
    let api: Api<ReceivedRecommender> = Api::namespaced(context.client.clone(), namespace);
    let action = format!("cannot read Recommender {namespace}/{name}");
    let found = api.get_opt(name).await.map_err(Error::api(action.clone()))?;
    let invalid =
        |invalid: Box<InvalidObject>| Error::api(action)(kube::Error::SerdeError(serde::de::Error::custom(invalid)));
    found.map(|found| found.0).transpose().map_err(invalid)
}

/// The identity of a Recommender, which may have an invalid spec.
struct Subject<'a> {
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
}

impl<'a> Subject<'a> {
    fn of(recommender: &'a Recommender) -> Result<Self, Error> {
        let meta = &recommender.metadata;
        Ok(Self {
            namespace: meta.namespace.as_deref().ok_or(Error::Incomplete("namespace"))?,
            name: meta.name.as_deref().ok_or(Error::Incomplete("name"))?,
            uid: meta.uid.as_deref().ok_or(Error::Incomplete("uid"))?,
        })
    }
}

/// Reads the observed state of a Recommender, whether or not its spec is valid.
///
/// # Errors
/// Fails if an API request fails. An unreachable store is not an error, because serving does not
/// depend on it.
pub async fn observe(context: &Context, recommender: &Recommender, now: Timestamp) -> Result<Observed, Error> {
    let subject = Subject::of(recommender)?;
    let turn = context.turn(subject.namespace).await;
    let mut observed = objects(context, recommender, &subject).await?;
    blockers::add(context, &subject, &mut observed.jobs, &mut observed.pods, now.as_second()).await?;
    drop(turn);
    // Other tenants' requests do not wait for the pods and the store.
    observed.reports = reports::read(context, &observed.pods).await;
    // After the Jobs were listed: a Job that has finished has left its result.
    let runs = store::runs(context, recommender, &observed.jobs, &observed.pods, now.as_second()).await;
    observed.runs = runs.results;
    observed.store_is_down = runs.retry_after.is_some();
    let concluded = match &observed.runs {
        Ok(results) => conclude(&mut observed.jobs, results, now.as_second()),
        Err(_) => Concluded::default(),
    };
    let batches: Results<EndedBatches> =
        results::read(context, recommender, &observed.tasks, &observed.pods, now.as_second()).await;
    observed.batches = batches.ended;
    let ended = observed.batches.as_ref().map(|ended| ended.newest.as_slice()).unwrap_or_default();
    let of_batch = |task: &TaskFacts| {
        let result = ended.iter().find(|result| result.id == task.id)?;
        Some((result.finished_at, result.lists.is_some()))
    };
    let concluded_batches = conclude_tasks(&mut observed.tasks, Component::Batch, of_batch, now.as_second());
    let catalogues: Results<EndedCatalogues> =
        results::read(context, recommender, &observed.tasks, &observed.pods, now.as_second()).await;
    observed.catalogues = catalogues.ended;
    let made = observed.catalogues.as_ref().map(|ended| ended.newest.as_slice()).unwrap_or_default();
    let of_catalogue = |task: &TaskFacts| {
        let result = made.iter().find(|result| is_of_task(result, task))?;
        Some((result.finished_at, result.failure.is_empty()))
    };
    let concluded_catalogues = conclude_tasks(&mut observed.tasks, Component::Catalogue, of_catalogue, now.as_second());
    observed.lingering_jobs = concluded.lingering;
    observed.lingering_jobs.extend(concluded_catalogues.lingering);
    observed.lingering_jobs.extend(concluded_batches.lingering);
    let is_ending = concluded.is_ending || concluded_batches.is_ending || concluded_catalogues.is_ending;
    let retry_after = runs.retry_after.or(batches.retry_after).or(catalogues.retry_after);
    observed.look_again_after = retry_after.or(is_ending.then_some(ENDING_JOB_INTERVAL));
    if runs.retry_after.is_none() && observed.all_pods_report() {
        observed.snapshots = store::snapshots(context, recommender, now.as_second()).await;
    }
    Ok(observed)
}

/// Reads the observed state of a Recommender that is made of others, and the Recommenders that it
/// names.
///
/// # Errors
/// Fails if an API request fails.
pub async fn composition(
    context: &Context,
    recommender: &Recommender,
    now: Timestamp,
) -> Result<(Observed, Named), Error> {
    let subject = Subject::of(recommender)?;
    let turn = context.turn(subject.namespace).await;
    let mut observed = objects(context, recommender, &subject).await?;
    blockers::add(context, &subject, &mut observed.jobs, &mut observed.pods, now.as_second()).await?;
    let named = parts::read(context, &subject, recommender).await?;
    drop(turn);
    observed.reports = reports::read(context, &observed.pods).await;
    Ok((observed, named))
}

/// Reads the objects of the API server.
async fn objects(context: &Context, recommender: &Recommender, subject: &Subject<'_>) -> Result<Observed, Error> {
    let (mut children, deployment, config_map, secret_versions) = futures::try_join!(
        children::read(context, subject),
        deployment(context, subject),
        config_map(context, subject),
        secrets::versions(context, recommender),
    )?;
    let found = [
        (ChildKind::Deployment, deployment.as_ref().map(|deployment| &deployment.metadata)),
        (ChildKind::ConfigMap, config_map.as_ref().map(|map| &map.metadata)),
    ];
    for (kind, metadata) in found {
        if let Some(metadata) = metadata {
            children.add(kind, metadata, subject.uid);
        }
    }
    let deployment = deployment.filter(|deployment| controlled_by(deployment.owner_references(), subject.uid));
    let config_map = config_map.filter(|map| controlled_by(map.owner_references(), subject.uid));
    // One after the other: the memory of a pass is that of one page.
    let jobs = owned::jobs(context, subject).await?;
    let pods = owned::pods(context, subject, &jobs, deployment.as_ref()).await?;
    Ok(Observed {
        jobs: jobs.jobs,
        tasks: jobs.tasks,
        pods,
        deployment: deployment.as_ref().map(DeploymentFacts::of),
        config: config_map.and_then(|map| config_in(&map, subject)),
        versions: children.versions,
        name_conflicts: children.conflicts,
        secret_versions,
        ..Observed::nothing()
    })
}

/// The Deployment with the name of the Recommender's, whoever owns it.
async fn deployment(context: &Context, subject: &Subject<'_>) -> Result<Option<Deployment>, Error> {
    let Subject { namespace, name, .. } = subject;
    let api: Api<Deployment> = Api::namespaced(context.client.clone(), namespace);
    api.get_opt(name).await.map_err(Error::api(format!("cannot read Deployment {namespace}/{name}")))
}

/// The ConfigMap with the name of the Recommender's, whoever owns it.
async fn config_map(context: &Context, subject: &Subject<'_>) -> Result<Option<ConfigMap>, Error> {
    let Subject { namespace, name, .. } = subject;
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), namespace);
    let map = Names::new(*name).serving_config();
    api.get_opt(&map).await.map_err(Error::api(format!("cannot read ConfigMap {namespace}/{map}")))
}

/// The serving config in force. It records the last decision and outlives the operator, the status
/// and the store.
fn config_in(map: &ConfigMap, subject: &Subject<'_>) -> Option<ServingConfig> {
    observed::serving_config(map).unwrap_or_else(|error| {
        // The decision is made again.
        let Subject { namespace, name, .. } = subject;
        tracing::warn!(namespace, name, %error, "cannot parse the serving config; it is replaced");
        None
    })
}
