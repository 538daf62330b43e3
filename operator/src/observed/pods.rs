//! Facts about a pod: its status, translated to the terms of the other steps.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;
use recommender_crds::Reason;
use sidecar_contract::TerminationMessage;

use crate::names::{CONFIG_HASH_ANNOTATION, Component, RUN_LABEL};

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// Name.
    pub name: String,
    /// IP address, once assigned.
    pub ip: Option<String>,
    /// Component that the pod belongs to.
    pub component: Option<Component>,
    /// Number of its run; only for trainer pods.
    pub run: Option<u32>,
    /// Whether its container is running.
    pub running: bool,
    /// Config hash of the last requested config refresh.
    pub requested_config_hash: Option<String>,
    /// Problem that prevents it from running.
    pub problem: Option<PodProblem>,
    /// Exit code of the last termination of its container.
    pub exit_code: Option<i32>,
    /// Termination message of a trainer container.
    pub termination_message: Option<TerminationMessage>,
}

/// Problem that prevents a pod from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodProblem {
    /// Reason for a condition.
    pub reason: Reason,
    /// Human-readable message.
    pub message: String,
}

impl PodFacts {
    /// Extracts the facts from a pod.
    pub fn of(pod: &Pod) -> Self {
        let labels = pod.labels();
        let component = match labels.get("app.kubernetes.io/component").map(String::as_str) {
            Some("serving") => Some(Component::Serving),
            Some("trainer") => Some(Component::Trainer),
            _ => None,
        };
        let status = pod.status.as_ref();
        let container = component.and_then(|component| own_container(pod, component));
        let terminated = container.and_then(|c| {
            let state =
                |s: &Option<k8s_openapi::api::core::v1::ContainerState>| s.as_ref().and_then(|s| s.terminated.clone());
            state(&c.state).or_else(|| state(&c.last_state))
        });
        Self {
            name: pod.name_any(),
            ip: status.and_then(|s| s.pod_ip.clone()),
            component,
            run: labels.get(RUN_LABEL).and_then(|run| run.parse().ok()),
            running: pod.metadata.deletion_timestamp.is_none()
                && container.is_some_and(|c| c.state.as_ref().is_some_and(|s| s.running.is_some())),
            requested_config_hash: pod.annotations().get(CONFIG_HASH_ANNOTATION).cloned(),
            problem: problem(pod, container),
            exit_code: terminated.as_ref().map(|t| t.exit_code),
            termination_message: terminated
                .and_then(|t| t.message)
                .and_then(|message| serde_json::from_str(&message).ok()),
        }
    }
}

/// Status of the container that the operator named. Admission webhooks may inject others before it.
fn own_container(pod: &Pod, component: Component) -> Option<&ContainerStatus> {
    let containers = pod.status.as_ref()?.container_statuses.as_deref()?;
    containers.iter().find(|container| container.name == component.container())
}

fn problem(pod: &Pod, container: Option<&ContainerStatus>) -> Option<PodProblem> {
    let state = container.and_then(|c| c.state.as_ref());
    let oom_killed = container
        .into_iter()
        .flat_map(|c| [c.state.as_ref(), c.last_state.as_ref()])
        .flatten()
        .filter_map(|s| s.terminated.as_ref())
        .any(|t| t.reason.as_deref() == Some("OOMKilled"));
    if oom_killed {
        return Some(PodProblem {
            reason: Reason::OOMKilled,
            message: "the container was OOMKilled; raise resources.limits.memory".to_owned(),
        });
    }
    if let Some(waiting) = state.and_then(|s| s.waiting.as_ref()) {
        let message = waiting.message.clone().unwrap_or_default();
        return match waiting.reason.as_deref() {
            // Message of kubelet: secret "x" not found, or couldn't find key k in Secret ns/x
            Some("CreateContainerConfigError") => Some(PodProblem {
                reason: Reason::ReferenceNotFound,
                message: format!("{message}; create it, and training continues automatically"),
            }),
            Some(reason @ ("ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull")) => {
                Some(PodProblem { reason: Reason::ReplicasUnavailable, message: format!("{reason}: {message}") })
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
    Some(PodProblem {
        reason: if claim { Reason::ReferenceNotFound } else { Reason::TrainingPending },
        message: format!("the pod cannot be scheduled: {message}"),
    })
}
