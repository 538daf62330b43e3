//! Writes the status if it changed, and an Event for each fact that the change announces. IO.

use kube::{
    Api, Resource,
    api::{Patch, PatchParams},
    core::Status,
};
use recommender_crds::{Recommender, RecommenderStatus};
use serde_json::json;

use crate::{context::Context, error::Error, names::MANAGER, notice::notices};

/// Where an object has its resource version. The API server quotes it if the test fails.
const VERSION_POINTER: &str = "/metadata/resourceVersion";

/// Publishes a status, and returns whether it was written. An unchanged status is not.
///
/// # Errors
/// Fails if the API request fails, or if the Recommender changed since it was read. A failure to
/// write an Event is only logged, because the status contains the same information.
pub async fn publish(context: &Context, recommender: &Recommender, status: &RecommenderStatus) -> Result<bool, Error> {
    let namespace = recommender.metadata.namespace.clone().ok_or(Error::Incomplete("namespace"))?;
    let name = recommender.metadata.name.clone().ok_or(Error::Incomplete("name"))?;
    context.metrics.set_status(&namespace, &name, status);
    let before = recommender.status.clone().unwrap_or_default();
    if before == *status {
        return Ok(false);
    }
    let _turn = context.turn(&namespace).await;
    let api: Api<Recommender> = Api::namespaced(context.client.clone(), &namespace);
    // Replaces the whole status, so that absent fields are removed. A status that was computed from
    // a stale copy, also by an operator that is not the leader any more, is not written.
    let patch = json!([
        {"op": "test", "path": VERSION_POINTER, "value": recommender.metadata.resource_version},
        {"op": "add", "path": "/status", "value": status},
    ]);
    let patch: Patch<()> = Patch::Json(
        serde_json::from_value(patch)
            .map_err(|error| Error::api("cannot write a status")(kube::Error::SerdeError(error)))?,
    );
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    match api.patch_status(&name, &params, &patch).await {
        Ok(_) => {}
        // The Recommender was deleted in the meantime.
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(false),
        Err(kube::Error::Api(status)) if is_stale(&status) => {
            return Err(Error::Changed { name: format!("{namespace}/{name}") });
        }
        Err(error) => return Err(Error::api(format!("cannot write the status of {namespace}/{name}"))(error)),
    }
    for notice in notices(&before, status) {
        if let Err(error) = context.recorder.record(&recommender.object_ref(&()), &notice).await {
            tracing::warn!(namespace, name, %error, "cannot write an Event");
        }
    }
    Ok(true)
}

/// Whether the object had another resource version than the patch.
fn is_stale(status: &Status) -> bool {
    status.code == 409 || (status.code == 422 && status.message.contains(VERSION_POINTER))
}
