//! The end of a Recommender whose part of the store goes with it: a finalizer holds it until the store is empty. With
//! `deletionPolicy: Retain`, the default, there is none, and owner references do everything.

use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use recommender_crds::{DeletionPolicy, Recommender};
use serde_json::json;

use crate::{
    apply,
    context::Context,
    error::Error,
    names::{Component, FINALIZER, RECOMMENDER_LABEL, component_label},
    observe::controlled_by,
    store_access::Owner,
};

/// What is left to do before a deleted Recommender may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// Nothing; owner references do the rest.
    Done,
    /// Runs are being stopped, so that nothing writes behind the deletion.
    StopsRuns,
    /// The store does not answer.
    StoreUnreachable {
        /// Why.
        message: String,
    },
}

/// What to tell the user whose Recommender cannot go.
pub fn escape(recommender: &Recommender, problem: &str) -> String {
    let (namespace, name) = (recommender.namespace().unwrap_or_default(), recommender.name_any());
    format!(
        "deletionPolicy is Delete, and the store does not answer: {problem}. To delete the Recommender and leave its models in \
         the store: kubectl -n {namespace} patch recommender {name} --type merge -p '{{\"spec\":{{\"deletionPolicy\":\"Retain\"}}}}'"
    )
}

/// Sets or removes the finalizer as the policy asks. Says whether the object was changed.
///
/// # Errors
/// The API server.
pub async fn hold(context: &Context, recommender: &Recommender) -> Result<bool, Error> {
    let held = is_held(recommender);
    let wanted = recommender.spec.deletion_policy == DeletionPolicy::Delete;
    if held == wanted {
        return Ok(false);
    }
    set_finalizer(context, recommender, wanted).await?;
    Ok(true)
}

/// Works on the end of a deleted Recommender.
///
/// # Errors
/// The API server.
pub async fn farewell(context: &Context, recommender: &Recommender) -> Result<Farewell, Error> {
    if !is_held(recommender) {
        return Ok(Farewell::Done);
    }
    let (namespace, name) = (recommender.namespace().unwrap_or_default(), recommender.name_any());
    if recommender.spec.deletion_policy == DeletionPolicy::Delete {
        if stop_runs(context, recommender, &namespace, &name).await? {
            return Ok(Farewell::StopsRuns);
        }
        let store = recommender.spec.store.as_ref();
        let owner = Owner { namespace: &namespace, name: &name, store };
        let emptied = match owner.open(context).await {
            Ok(store) => store.delete_all().await.map_err(|error| owner.said(&error)),
            Err(problem) => Err(problem),
        };
        match emptied {
            Ok(objects) => tracing::info!(namespace, name, objects, "deleted a Recommender's part of the store"),
            Err(message) => return Ok(Farewell::StoreUnreachable { message }),
        }
    }
    set_finalizer(context, recommender, false).await?;
    Ok(Farewell::Done)
}

/// Deletes the Jobs; says whether there were any, or pods of theirs that have not ended.
async fn stop_runs(context: &Context, recommender: &Recommender, namespace: &str, name: &str) -> Result<bool, Error> {
    let uid = recommender.uid().unwrap_or_default();
    let labelled = ListParams::default().labels(&format!("{RECOMMENDER_LABEL}={name}"));
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), namespace);
    let jobs = jobs.list_metadata(&labelled).await.map_err(Error::api("cannot list Jobs"))?;
    let mut some = false;
    for job in jobs.items.iter().filter(|job| controlled_by(job.owner_references(), &uid)) {
        some = true;
        if job.metadata.deletion_timestamp.is_none() {
            apply::delete_job(context, namespace, &job.name_any()).await?;
        }
    }
    let trainers = format!("{RECOMMENDER_LABEL}={name},{}", component_label(Component::Trainer));
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(context.client.clone(), namespace);
    let pods =
        pods.list_metadata(&ListParams::default().labels(&trainers)).await.map_err(Error::api("cannot list Pods"))?;
    Ok(some || !pods.items.is_empty())
}

fn is_held(recommender: &Recommender) -> bool {
    recommender.finalizers().iter().any(|name| name == FINALIZER)
}

async fn set_finalizer(context: &Context, recommender: &Recommender, wanted: bool) -> Result<(), Error> {
    let (namespace, name) = (recommender.namespace().unwrap_or_default(), recommender.name_any());
    let mut finalizers: Vec<&str> =
        recommender.finalizers().iter().map(String::as_str).filter(|name| *name != FINALIZER).collect();
    if wanted {
        finalizers.push(FINALIZER);
    }
    // The resource version makes the API server refuse a list that was read too early.
    let version = recommender.resource_version();
    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": version}});
    let api: Api<Recommender> = Api::namespaced(context.client.clone(), &namespace);
    match api.patch_metadata(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(Error::api(format!("cannot write the finalizers of {namespace}/{name}"))(error)),
    }
}
