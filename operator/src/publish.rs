//! Writes the status if it changed, and an Event for each condition that transitioned. IO.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, Resource,
    api::{Patch, PatchParams},
    runtime::events::{Event, EventType},
};
use recommender_crds::{Recommender, RecommenderStatus};
use serde_json::json;

use crate::{context::Context, error::Error, names::MANAGER};

/// Maximum length of the note of an Event, in bytes (the limit of the API is 1 KiB).
const NOTE_BYTES_MAX: usize = 1000;

/// Publishes a status. An unchanged status is not written.
///
/// # Errors
/// Fails if the API request fails. A failure to write an Event is only logged, because the status
/// contains the same information.
pub async fn publish(context: &Context, recommender: &Recommender, status: &RecommenderStatus) -> Result<(), Error> {
    let namespace = recommender.metadata.namespace.clone().ok_or(Error::Incomplete("namespace"))?;
    let name = recommender.metadata.name.clone().ok_or(Error::Incomplete("name"))?;
    context.metrics.set_status(&namespace, &name, status);
    let before = recommender.status.clone().unwrap_or_default();
    if before == *status {
        return Ok(());
    }
    let api: Api<Recommender> = Api::namespaced(context.client.clone(), &namespace);
    // Replaces the whole status, so that absent fields are removed.
    let patch = json!([{"op": "add", "path": "/status", "value": status}]);
    let patch: Patch<()> = Patch::Json(
        serde_json::from_value(patch)
            .map_err(|error| Error::api("cannot write a status")(kube::Error::SerdeError(error)))?,
    );
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    match api.patch_status(&name, &params, &patch).await {
        Ok(_) => {}
        // The Recommender was deleted in the meantime.
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(error) => return Err(Error::api(format!("cannot write the status of {namespace}/{name}"))(error)),
    }
    for condition in transitioned(&before.conditions, &status.conditions) {
        let event = event(condition);
        if let Err(error) = context.recorder.publish(&event, &recommender.object_ref(&())).await {
            tracing::warn!(namespace, name, %error, "cannot write an Event");
        }
    }
    Ok(())
}

/// Conditions that are new or whose status or reason changed, except unknown ones.
fn transitioned<'a>(before: &[Condition], after: &'a [Condition]) -> Vec<&'a Condition> {
    after
        .iter()
        .filter(|new| {
            !before.iter().any(|old| old.type_ == new.type_ && old.status == new.status && old.reason == new.reason)
        })
        .filter(|new| new.status != "Unknown")
        .collect()
}

fn event(condition: &Condition) -> Event {
    let is_warning = match condition.type_.as_str() {
        "Stalled" | "CapacityInsufficient" => true,
        "Reconciling" | "Suspended" => false,
        _ => {
            condition.status == "False"
                && !matches!(
                    condition.reason.as_str(),
                    "TrainingRunning"
                        | "TrainingPending"
                        | "Loading"
                        | "NoModel"
                        | "AwaitingFirstModel"
                        | "ReplicasUnavailable"
                )
        }
    };
    let mut note = format!("{} is {}: {}", condition.type_, condition.status, condition.message);
    note.truncate(note.floor_char_boundary(NOTE_BYTES_MAX));
    Event {
        type_: if is_warning { EventType::Warning } else { EventType::Normal },
        reason: condition.reason.clone(),
        note: Some(note),
        action: "Reconcile".to_owned(),
        secondary: None,
    }
}
