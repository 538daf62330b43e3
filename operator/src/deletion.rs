//! Deletion of a Recommender with `deletionPolicy: Delete`: a finalizer keeps the object until its
//! store prefix is empty. IO. With `Retain`, the default, there is no finalizer, and owner
//! references delete the children.

use std::time::Duration;

use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{Namespace, ObjectReference, Pod, Secret},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{Api, Resource, ResourceExt, api::ListParams, core::ApiResource};
use recommender_crds::{DeletionPolicy, Recommender};
use sidecar_contract::TimedId;

use crate::{
    api_client::for_each_object,
    apply,
    context::Context,
    error::Error,
    finalizer,
    names::{Names, RECOMMENDER_LABEL, RUN_LABEL, TASK_LABEL},
    notice::Notice,
    observed::{controlled_by, controller},
    received::Meta,
    store_access::{DELETION_DEADLINE, with_store},
    store_gate::StoreProblem,
    store_scope::StoreScope,
};

/// State of the cleanup of a deleted Recommender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// Finished; owner references delete the children.
    Done,
    /// Runs are being stopped, because a run could write to the store after the deletion.
    WaitingForRuns {
        /// Their Jobs and pods that still exist, in part.
        objects: Vec<String>,
    },
    /// The store is unreachable.
    StoreUnreachable(StoreProblem),
}

/// Time after which runs that have not ended are reported. Pods have 30 s to end by default.
pub const RUNS_STOP_MAX: Duration = Duration::from_mins(1);
/// Maximum number of Jobs that a pass deletes.
const STOPPED_JOBS_MAX: usize = 1000;
/// Maximum number of objects that a message names, of each kind.
const NAMED_OBJECTS_MAX: usize = 5;

/// Condition message for a Recommender whose runs do not end.
pub fn runs_remain_message(recommender: &Recommender, objects: &[String]) -> String {
    let problem = format!("these objects still exist, and could write to the store: {}", objects.join(", "));
    stuck_deletion_message(recommender, &problem)
}

/// Condition message for a Recommender whose store is unreachable.
pub fn unreachable_store_message(recommender: &Recommender, problem: &str) -> String {
    stuck_deletion_message(recommender, &format!("the store is unreachable: {problem}"))
}

fn stuck_deletion_message(recommender: &Recommender, problem: &str) -> String {
    let (namespace, name) = (recommender.namespace().unwrap_or_default(), recommender.name_any());
    format!(
        "deletionPolicy is Delete, but {problem}. To delete the Recommender and leave its models \
         in the store, run: kubectl -n {namespace} patch recommender {name} --type merge -p '{{\"spec\":{{\"deletionPolicy\":\"Retain\"}}}}'"
    )
}

/// Runs the cleanup of a deleted Recommender, and removes the finalizer when it is finished.
///
/// # Errors
/// Fails if an API request fails.
pub async fn finalize(context: &Context, recommender: &Recommender) -> Result<Cleanup, Error> {
    if !finalizer::is_present(recommender.finalizers()) {
        return Ok(Cleanup::Done);
    }
    let (namespace, name) = (recommender.namespace().unwrap_or_default(), recommender.name_any());
    if recommender.spec.deletion_policy == DeletionPolicy::Delete {
        let objects = stop_runs(context, recommender, &namespace, &name).await?;
        if !objects.is_empty() {
            return Ok(Cleanup::WaitingForRuns { objects });
        }
        let scope = StoreScope::of(recommender);
        match with_store(context, scope, DELETION_DEADLINE, |store| async move { store.delete_all().await }).await {
            Ok(objects) => tracing::info!(namespace, name, objects, "deleted the store data of a Recommender"),
            Err(_) if is_abandoned(context, recommender, &namespace).await? => {
                report_remaining_data(context, recommender, &namespace, &name).await;
            }
            Err(problem) => return Ok(Cleanup::StoreUnreachable(problem)),
        }
    }
    let (version, finalizers) = (recommender.resource_version(), finalizer::without(recommender.finalizers()));
    match apply::set_finalizers(context, &namespace, &name, version.as_deref(), &finalizers).await {
        // It has been deleted in the meantime.
        Err(Error::Api { source: kube::Error::Api(status), .. }) if status.code == 404 => Ok(Cleanup::Done),
        written => written.map(|_| Cleanup::Done),
    }
}

/// Whether the store can never be emptied: the namespace is being deleted, and the Secret of the
/// bucket has been deleted with it.
async fn is_abandoned(context: &Context, recommender: &Recommender, namespace: &str) -> Result<bool, Error> {
    let store = recommender.spec.store.as_ref();
    let Some(secret) = store.and_then(|store| store.secret_ref.as_ref()) else { return Ok(false) };
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let action = format!("cannot read the metadata of Secret {namespace}/{}", secret.name);
    if secrets.get_metadata_opt(&secret.name).await.map_err(Error::api(action))?.is_some() {
        return Ok(false);
    }
    let namespaces: Api<Namespace> = Api::all(context.client.clone());
    let action = format!("cannot read Namespace {namespace}");
    let found = namespaces.get_metadata_opt(namespace).await.map_err(Error::api(action))?;
    Ok(found.is_some_and(|found| found.metadata.deletion_timestamp.is_some()))
}

/// Records an Event that the data remains. It concerns the Namespace, because nothing can be
/// created in one that is being deleted.
async fn report_remaining_data(context: &Context, recommender: &Recommender, namespace: &str, name: &str) {
    let url = recommender.spec.store.as_ref().and_then(|store| store.url.clone()).unwrap_or_default();
    let text = format!(
        "the models of Recommender {namespace}/{name} remain in {url}: its Secret was deleted with the namespace, before the models"
    );
    tracing::warn!(namespace, name, url, "a deleted Recommender leaves its data in its bucket");
    let about = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Namespace".to_owned()),
        name: Some(namespace.to_owned()),
        ..ObjectReference::default()
    };
    let notice = Notice { is_warning: true, reason: "DataRemains".to_owned(), text };
    if let Err(error) = context.recorder.record(&about, &notice).await {
        tracing::warn!(namespace, name, %error, "cannot write an Event");
    }
}

/// Deletes the Jobs. Returns Jobs, and pods of Jobs, that still exist: the first ones of each.
async fn stop_runs(
    context: &Context,
    recommender: &Recommender,
    namespace: &str,
    name: &str,
) -> Result<Vec<String>, Error> {
    let uid = recommender.uid().unwrap_or_default();
    let selector = ListParams::default().labels(&format!("{RECOMMENDER_LABEL}={name}"));
    let mut jobs = Vec::new();
    let api = metadata_of::<Job>(context, namespace);
    let list = for_each_object(&api, selector.clone(), "cannot list Jobs", |job| {
        // The others are those of the next pass.
        if jobs.len() < STOPPED_JOBS_MAX && controlled_by(job.owner_references(), &uid) {
            jobs.push((job.name_any(), job.metadata.deletion_timestamp.is_some()));
        }
        Ok(())
    });
    list.await?;
    let mut objects = Vec::new();
    for (job, is_deleted) in jobs {
        if !is_deleted {
            apply::delete_job(context, namespace, &job).await?;
        }
        if objects.len() < NAMED_OBJECTS_MAX {
            objects.push(format!("Job {job}"));
        }
    }
    // A Job may be deleted before its pods are.
    let names = Names::new(name);
    let is_of_run = |pod: &Meta| {
        let labels = pod.labels();
        let run = labels.get(RUN_LABEL).and_then(|run| run.parse().ok()).map(|run| names.job(run));
        let decided_at = labels.get(TASK_LABEL).and_then(|id| TimedId::parse(id)).map(|id| id.decided_at);
        let jobs = [run, decided_at.map(|at| names.batch_job(at)), decided_at.map(|at| names.catalogue_job(at))];
        let is_of_job =
            |owner: &OwnerReference| owner.kind == "Job" && jobs.iter().flatten().any(|job| owner.name == *job);
        controller(pod.owner_references()).is_some_and(is_of_job)
    };
    let mut pods = Vec::new();
    let api = metadata_of::<Pod>(context, namespace);
    let list = for_each_object(&api, selector, "cannot list Pods", |pod| {
        if pods.len() < NAMED_OBJECTS_MAX && is_of_run(&pod) {
            pods.push(format!("Pod {}", pod.name_any()));
        }
        Ok(())
    });
    list.await?;
    objects.append(&mut pods);
    Ok(objects)
}

/// The metadata of objects of a kind.
fn metadata_of<K: Resource<DynamicType = ()>>(context: &Context, namespace: &str) -> Api<Meta> {
    Api::namespaced_with(context.client.clone(), namespace, &ApiResource::erase::<K>(&()))
}
