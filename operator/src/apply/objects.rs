//! Single writes to the API server. Children are written by server-side apply with one field
//! manager.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
    core::DynamicObject,
};
use recommender_crds::Recommender;
use serde_json::json;

use super::Pass;
use crate::{
    child_kind::ChildKind,
    context::Context,
    desired::Child,
    error::Error,
    names::{CONFIG_HASH_ANNOTATION, MANAGER},
    observed::controlled_by,
    received::Meta,
};

fn api(context: &Context, namespace: &str, kind: ChildKind) -> Api<DynamicObject> {
    Api::namespaced_with(context.client.clone(), namespace, &kind.api_resource())
}

/// Applies a child. Returns the object of the API server; `None` if the same manifest is in force
/// already, and nothing was sent.
///
/// # Errors
/// Fails if the API request fails.
pub(super) async fn apply(pass: Pass<'_>, child: Child) -> Result<Option<DynamicObject>, Error> {
    let Pass { context, plan, observed, .. } = pass;
    let (key, hash) = ((child.kind, child.name().to_owned()), child.hash());
    let version = observed.versions.get(&key).map(String::as_str);
    if context.cache.is_in_force(&plan.uid, &key, &hash, version) {
        return Ok(None);
    }
    let (namespace, name) = (&plan.namespace, child.name());
    let object = api(context, namespace, child.kind)
        .patch(name, &apply_params(), &Patch::Apply(&child.manifest))
        .await
        .map_err(Error::api(format!("cannot apply {} {namespace}/{name}", child.kind.as_str())))?;
    context.cache.record_applied(&plan.uid, key, hash, object.resource_version().unwrap_or_default());
    Ok(Some(object))
}

/// One field manager, and an error instead of a silently dropped field.
fn apply_params() -> PatchParams {
    PatchParams::apply(MANAGER).force().validation_strict()
}

/// Scales the Deployment without changing its pod template, for use while the rollout of a new
/// template is queued. Returns the Deployment, if it exists.
///
/// # Errors
/// Fails if the API request fails.
pub(super) async fn scale(
    context: &Context,
    namespace: &str,
    name: &str,
    replicas: i32,
) -> Result<Option<DynamicObject>, Error> {
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    let scaled = api(context, namespace, ChildKind::Deployment).patch(name, &params, &patch).await;
    unless_missing(scaled).map_err(Error::api(format!("cannot scale Deployment {namespace}/{name}")))
}

/// Creates a Job. An existing one of the same name counts as success if the Recommender controls
/// it, because the name contains the run number.
///
/// # Errors
/// Fails if an API request fails, or if the Job of the same name belongs to another owner.
pub(super) async fn create_job(pass: Pass<'_>, job: &Child) -> Result<(), Error> {
    let Pass { context, plan, .. } = pass;
    let (namespace, name) = (&plan.namespace, job.name());
    let action = format!("cannot create Job {namespace}/{name}");
    let object: DynamicObject = serde_json::from_value(job.manifest.clone())
        .map_err(|e| Error::api(action.clone())(kube::Error::SerdeError(e)))?;
    let jobs = api(context, namespace, job.kind);
    match jobs.create(&PostParams::default(), &object).await {
        Ok(_) => return Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(error) => return Err(Error::api(action)(error)),
    }
    let existing: Api<Meta> = Api::namespaced_with(context.client.clone(), namespace, &job.kind.api_resource());
    let existing = existing.get_opt(name).await.map_err(Error::api(action))?;
    // One that was deleted meanwhile is created by the next pass.
    match existing {
        Some(existing) if !controlled_by(existing.owner_references(), &plan.uid) => {
            Err(Error::NameConflict { kind: job.kind.as_str(), name: format!("{namespace}/{name}") })
        }
        _ => Ok(()),
    }
}

/// Deletes a child that is not desired any more, if it has not changed since it was observed.
///
/// # Errors
/// Fails if the API request fails. An object that is missing or has changed is not an error.
pub(super) async fn delete(pass: Pass<'_>, kind: ChildKind, name: &str) -> Result<(), Error> {
    let Pass { context, plan, observed, .. } = pass;
    let Some(version) = observed.versions.get(&(kind, name.to_owned())) else { return Ok(()) };
    let preconditions = Preconditions { resource_version: Some(version.clone()), uid: None };
    let params = DeleteParams::background().preconditions(preconditions);
    match api(context, &plan.namespace, kind).delete(name, &params).await {
        Ok(_) => {
            tracing::info!(
                namespace = plan.namespace,
                kind = kind.as_str(),
                name,
                "deleted a child that is not needed"
            );
            Ok(())
        }
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => {
            let action = format!("cannot delete {} {}/{name}", kind.as_str(), plan.namespace);
            Err(Error::api(action)(error))
        }
    }
}

/// Deletes a Job in the foreground. It exists until its pods are deleted, so that a run that may
/// still commit keeps its number.
///
/// # Errors
/// Fails if the API request fails; a missing Job is not an error.
pub async fn delete_job(context: &Context, namespace: &str, name: &str) -> Result<(), Error> {
    let deleted = api(context, namespace, ChildKind::Job).delete(name, &DeleteParams::foreground()).await;
    unless_missing(deleted).map(drop).map_err(Error::api(format!("cannot delete Job {namespace}/{name}")))
}

/// Annotates a pod with the hash of the serving config. The change makes kubelet refresh the
/// mounted ConfigMap.
///
/// # Errors
/// Fails if the API request fails; a missing pod is not an error.
pub(super) async fn refresh_config(context: &Context, namespace: &str, pod: &str, hash: &str) -> Result<(), Error> {
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let patch = json!({"metadata": {"annotations": {CONFIG_HASH_ANNOTATION: hash}}});
    let annotated = pods.patch_metadata(pod, &PatchParams::default(), &Patch::Merge(&patch)).await;
    unless_missing(annotated).map(drop).map_err(Error::api(format!("cannot annotate Pod {namespace}/{pod}")))
}

/// Replaces the finalizers of a Recommender, and returns its new resource version. With the
/// resource version, the API server refuses a list that was computed from a stale copy.
///
/// # Errors
/// Fails if the API request fails, also if the Recommender does not exist any more.
pub async fn set_finalizers(
    context: &Context,
    namespace: &str,
    name: &str,
    resource_version: Option<&str>,
    finalizers: &[String],
) -> Result<Option<String>, Error> {
    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": resource_version}});
    let api: Api<Recommender> = Api::namespaced(context.client.clone(), namespace);
    let patched = api.patch_metadata(name, &PatchParams::default(), &Patch::Merge(&patch)).await;
    let patched = patched.map_err(Error::api(format!("cannot write the finalizers of {namespace}/{name}")))?;
    Ok(patched.metadata.resource_version)
}

/// `None` if the object does not exist.
fn unless_missing<T>(written: Result<T, kube::Error>) -> Result<Option<T>, kube::Error> {
    match written {
        Ok(written) => Ok(Some(written)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}
