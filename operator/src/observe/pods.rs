//! What a pod's status says about itself, in the terms of the other steps.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;
use recommender_crds::Reason;
use sidecar_contract::TerminationHint;

use crate::names::{CONFIG_HASH_ANNOTATION, Component, RUN_LABEL};

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFacts {
    /// Name.
    pub name: String,
    /// Address, once it has one.
    pub ip: Option<String>,
    /// Serving or training.
    pub component: Option<Component>,
    /// Number of its run, for training pods.
    pub run: Option<u32>,
    /// Whether its container runs.
    pub running: bool,
    /// The config hash that kubelet was last asked to bring.
    pub asked_hash: Option<String>,
    /// What keeps it from running.
    pub trouble: Option<Trouble>,
    /// What its container ended with last.
    pub exit_code: Option<i32>,
    /// What a training container said last.
    pub hint: Option<TerminationHint>,
}

/// Why a pod does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// For a condition.
    pub reason: Reason,
    /// For people.
    pub message: String,
}

/// Reads a pod.
pub fn facts(pod: &Pod) -> PodFacts {
    let labels = pod.labels();
    let component = match labels.get("app.kubernetes.io/component").map(String::as_str) {
        Some("serving") => Some(Component::Serving),
        Some("trainer") => Some(Component::Trainer),
        _ => None,
    };
    let status = pod.status.as_ref();
    let containers = status.and_then(|s| s.container_statuses.as_deref()).unwrap_or_default();
    let container = containers.first();
    let terminated = container.and_then(|c| {
        let state =
            |s: &Option<k8s_openapi::api::core::v1::ContainerState>| s.as_ref().and_then(|s| s.terminated.clone());
        state(&c.state).or_else(|| state(&c.last_state))
    });
    PodFacts {
        name: pod.name_any(),
        ip: status.and_then(|s| s.pod_ip.clone()),
        component,
        run: labels.get(RUN_LABEL).and_then(|run| run.parse().ok()),
        running: pod.metadata.deletion_timestamp.is_none()
            && container.is_some_and(|c| c.state.as_ref().is_some_and(|s| s.running.is_some())),
        asked_hash: pod.annotations().get(CONFIG_HASH_ANNOTATION).cloned(),
        trouble: trouble(pod, container),
        exit_code: terminated.as_ref().map(|t| t.exit_code),
        hint: terminated.and_then(|t| t.message).and_then(|message| serde_json::from_str(&message).ok()),
    }
}

fn trouble(pod: &Pod, container: Option<&ContainerStatus>) -> Option<Trouble> {
    let state = container.and_then(|c| c.state.as_ref());
    let killed = container
        .into_iter()
        .flat_map(|c| [c.state.as_ref(), c.last_state.as_ref()])
        .flatten()
        .filter_map(|s| s.terminated.as_ref())
        .any(|t| t.reason.as_deref() == Some("OOMKilled"));
    if killed {
        return Some(Trouble {
            reason: Reason::OOMKilled,
            message: "the container was killed for memory; raise resources.limits.memory".to_owned(),
        });
    }
    if let Some(waiting) = state.and_then(|s| s.waiting.as_ref()) {
        let message = waiting.message.clone().unwrap_or_default();
        return match waiting.reason.as_deref() {
            // kubelet says: secret "x" not found, or couldn't find key k in Secret ns/x
            Some("CreateContainerConfigError") => Some(Trouble {
                reason: Reason::ReferenceNotFound,
                message: format!("{message}; create it, and training goes on by itself"),
            }),
            Some(reason @ ("ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull")) => {
                Some(Trouble { reason: Reason::ReplicasUnavailable, message: format!("{reason}: {message}") })
            }
            _ => None,
        };
    }
    let scheduled = pod.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == "PodScheduled")?;
    if scheduled.status == "True" {
        return None;
    }
    let message = scheduled.message.clone().unwrap_or_default();
    let claim = message.contains("persistentvolumeclaim");
    Some(Trouble {
        reason: if claim { Reason::ReferenceNotFound } else { Reason::TrainingPending },
        message: format!("the pod cannot be scheduled: {message}"),
    })
}
