//! Pods of apps that ask for a sidecar and have none: found by one watch, counted in a metric, and
//! announced once for each controller by an Event that states why and what to do. IO.

mod reason;
mod set;

use std::{sync::Arc, time::Duration};

use futures::{
    StreamExt as _,
    stream::{BoxStream, FuturesUnordered},
};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::{
    Api, ResourceExt as _,
    core::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::watcher::{self, watcher},
};

use self::{
    reason::{Installed, MissedReason, Policy, notice, why},
    set::{Counts, MissedPod, MissedPods, Owner},
};
use crate::{
    api_client::paged_watch,
    context::Context,
    error::chain,
    names::{INJECT_LABEL, INJECTED_LABEL},
    pause::Pauses,
    received::Meta,
    watch_pauses::with_pauses,
};

/// Pods that have ended need no sidecar any more.
const RUNNING: &str = "status.phase!=Succeeded,status.phase!=Failed";
/// Attempts to explain why a pod has none.
const ATTEMPTS_MAX: u32 = 6;
/// Pauses between these attempts.
const PAUSES: Pauses = Pauses { first: Duration::from_secs(1), max: Duration::from_mins(1) };

/// An explanation, when it is found: the owner by its UID, and the reason; `None` if it is not
/// known, or if the pod is gone.
type Explained = (String, Option<MissedReason>);

/// Watches the pods of a namespace, or of all. It ends when it is dropped.
pub async fn watch(context: Arc<Context>, scope: Option<String>) {
    let mut events = pods(&context, scope.as_deref());
    let mut missed = MissedPods::default();
    let mut explanations = FuturesUnordered::new();
    let mut reported = Counts::new();
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => {
                    let found = missed.apply(&event);
                    explanations.extend(found.into_iter().map(|pod| explain(&context, pod)));
                }
                Some(Err(error)) => tracing::warn!(kind = "Pod", error = chain(&error), "a watch failed"),
                None => return,
            },
            Some((owner, reason)) = explanations.next() => missed.explained(&owner, reason.map(|reason| reason.label())),
        }
        report(&context, &mut reported, missed.counts());
    }
}

/// The watch of these pods; only metadata is transferred.
fn pods(context: &Context, scope: Option<&str>) -> BoxStream<'static, watcher::Result<watcher::Event<Meta>>> {
    let resource = ApiResource::erase::<Pod>(&());
    let client = context.client.clone();
    let api: Api<Meta> = match scope {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    let config = paged_watch().labels(&format!("{INJECT_LABEL},!{INJECTED_LABEL}")).fields(RUNNING);
    with_pauses(watcher(api, config)).boxed()
}

/// Sets the metric to the counts that differ from those of the last call.
fn report(context: &Context, reported: &mut Counts, counts: Counts) {
    for (namespace, reason) in reported.keys().filter(|key| !counts.contains_key(*key)) {
        context.metrics.set_missed_pods(namespace, reason, 0);
    }
    for ((namespace, reason), count) in counts.iter().filter(|(key, count)| reported.get(*key) != Some(*count)) {
        context.metrics.set_missed_pods(namespace, reason, *count);
    }
    *reported = counts;
}

/// Finds out why a pod has no sidecar, and records it as an Event. A failed attempt is repeated.
async fn explain(context: &Context, missed: MissedPod) -> Explained {
    let mut failures = 0;
    loop {
        let error = match try_explain(context, &missed).await {
            Ok(reason) => return (missed.owner.uid, reason),
            Err(error) => error,
        };
        failures += 1;
        let (namespace, pod) = (&missed.namespace, &missed.name);
        tracing::warn!(namespace, pod, error = chain(&error), "cannot explain why a pod has no sidecar");
        if failures == ATTEMPTS_MAX {
            return (missed.owner.uid, None);
        }
        tokio::time::sleep(PAUSES.after(failures)).await;
    }
}

/// One attempt of [`explain`].
async fn try_explain(context: &Context, missed: &MissedPod) -> Result<Option<MissedReason>, kube::Error> {
    let _turn = context.turn(&missed.namespace).await;
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &missed.namespace);
    let Some(pod) = api.get_opt(&missed.name).await? else { return Ok(None) };
    let created = pod.metadata.creation_timestamp.as_ref().map(|created| created.0);
    let recommender = pod.labels().get(INJECT_LABEL).cloned().unwrap_or_default();
    let pod = serde_json::to_value(pod).map_err(kube::Error::SerdeError)?;
    let settings = &context.installation.settings;
    let installed = Installed { namespace: &settings.namespace, policy: policy(context).await? };
    let reason = why(&pod, created, &installed);
    let about = announced(context, missed).await?;
    context.recorder.record(&about, &notice(&reason, &about, &recommender)).await?;
    Ok(Some(reason))
}

/// The policy of this installation that adds sidecars.
async fn policy(context: &Context) -> Result<Policy, kube::Error> {
    let Some(name) = context.installation.settings.injection_policy.clone() else { return Ok(Policy::Off) };
    let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicy");
    let resource = ApiResource::from_gvk_with_plural(&kind, "mutatingadmissionpolicies");
    let api: Api<DynamicObject> = Api::all_with(context.client.clone(), &resource);
    match api.get_metadata_opt(&name).await {
        Ok(None) => Ok(Policy::Absent { name }),
        Ok(Some(found)) => Ok(Policy::Present { name, since: found.metadata.creation_timestamp.map(|since| since.0) }),
        // A Role of a namespace cannot have rights on objects of the cluster.
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Policy::Present { name, since: None }),
        Err(error) => Err(error),
    }
}

/// The object that the Event concerns: what a user applied. The controller of the pod, or the
/// Deployment above its ReplicaSet, or the CronJob above its Job.
async fn announced(context: &Context, missed: &MissedPod) -> Result<ObjectReference, kube::Error> {
    let owner = &missed.owner;
    let (group, plural) = match owner.kind.as_str() {
        "ReplicaSet" => ("apps", "replicasets"),
        "Job" => ("batch", "jobs"),
        _ => return Ok(reference(missed, owner)),
    };
    let kind = GroupVersionKind::gvk(group, "v1", &owner.kind);
    if owner.api_version != kind.api_version() {
        return Ok(reference(missed, owner));
    }
    let resource = ApiResource::from_gvk_with_plural(&kind, plural);
    let api: Api<Meta> = Api::namespaced_with(context.client.clone(), &missed.namespace, &resource);
    match api.get_opt(&owner.name).await {
        Ok(found) => {
            let above = found.as_ref().and_then(set::controller);
            Ok(reference(missed, above.as_ref().unwrap_or(owner)))
        }
        // The rights of an older chart.
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(reference(missed, owner)),
        Err(error) => Err(error),
    }
}

fn reference(missed: &MissedPod, owner: &Owner) -> ObjectReference {
    ObjectReference {
        api_version: Some(owner.api_version.clone()),
        kind: Some(owner.kind.clone()),
        name: Some(owner.name.clone()),
        namespace: Some(missed.namespace.clone()),
        uid: Some(owner.uid.clone()),
        ..ObjectReference::default()
    }
}
