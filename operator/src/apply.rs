//! Writes what should exist: server-side apply in the given order, one field manager. IO.

use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    core::DynamicObject,
};
use serde_json::json;

use crate::{
    context::Context,
    desired::{Child, Kind},
    error::Error,
    names::{CONFIG_HASH_ANNOTATION, MANAGER},
};

fn api(context: &Context, namespace: &str, kind: Kind) -> Api<DynamicObject> {
    Api::namespaced_with(context.client.clone(), namespace, &kind.api_resource())
}

/// Applies children one after the other. An apply that changes nothing writes nothing.
///
/// # Errors
/// The first that fails; the next reconcile goes on from there.
pub async fn apply(context: &Context, namespace: &str, children: &[Child]) -> Result<(), Error> {
    let params = PatchParams::apply(MANAGER).force();
    for child in children {
        api(context, namespace, child.kind)
            .patch(child.name(), &params, &Patch::Apply(&child.manifest))
            .await
            .map_err(Error::api(format!("cannot apply {} {namespace}/{}", child.kind.as_str(), child.name())))?;
    }
    Ok(())
}

/// Scales the serving pods without touching their template, while a new template waits for its turn.
///
/// # Errors
/// The API server; a Deployment that is gone is no error.
pub async fn scale(context: &Context, namespace: &str, name: &str, replicas: i32) -> Result<(), Error> {
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    match api(context, namespace, Kind::Deployment).patch(name, &params, &patch).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(Error::api(format!("cannot scale Deployment {namespace}/{name}"))(error)),
    }
}

/// Creates a Job; one of that name is as good as made, since the name holds the run.
///
/// # Errors
/// The API server.
pub async fn create_job(context: &Context, namespace: &str, job: &Child) -> Result<(), Error> {
    let action = format!("cannot create Job {namespace}/{}", job.name());
    let object: DynamicObject = serde_json::from_value(job.manifest.clone())
        .map_err(|e| Error::api(action.clone())(kube::Error::SerdeError(e)))?;
    match api(context, namespace, job.kind).create(&PostParams::default(), &object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(Error::api(action)(error)),
    }
}

/// Deletes a Job, which stays until its pods are gone: a run that may still commit keeps its number.
///
/// # Errors
/// The API server; a Job that is gone is no error.
pub async fn delete_job(context: &Context, namespace: &str, name: &str) -> Result<(), Error> {
    match api(context, namespace, Kind::Job).delete(name, &DeleteParams::foreground()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(Error::api(format!("cannot delete Job {namespace}/{name}"))(error)),
    }
}

/// Annotates a pod with the config's hash, so that kubelet brings the config now and not within a minute.
///
/// # Errors
/// The API server; a pod that is gone is no error.
pub async fn hurry(context: &Context, namespace: &str, pod: &str, hash: &str) -> Result<(), Error> {
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(context.client.clone(), namespace);
    let patch = json!({"metadata": {"annotations": {CONFIG_HASH_ANNOTATION: hash}}});
    match pods.patch_metadata(pod, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(Error::api(format!("cannot annotate Pod {namespace}/{pod}"))(error)),
    }
}
