//! Facts about a pod: its status, translated to the terms of the other steps.

use kube::ResourceExt;
use sidecar_contract::{TerminationMessage, TimedId};

use super::pod_problem::{PodProblem, problem};
use crate::{
    names::{CONFIG_HASH_ANNOTATION, Component, RUN_LABEL, TASK_LABEL},
    received::{ContainerState, ContainerStatus, ReceivedPod},
};

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Second since 1970 when it was created.
    pub created_at: i64,
    /// IP address, once assigned.
    pub ip: Option<String>,
    /// Component that the pod belongs to.
    pub component: Option<Component>,
    /// Number of its run; only for trainer pods.
    pub run: Option<u32>,
    /// Identity of what it makes; only for pods of short Jobs.
    pub task: Option<TimedId>,
    /// Whether its container is running.
    pub running: bool,
    /// Whether it is being deleted.
    pub deleted: bool,
    /// Config hash of the last requested config refresh.
    pub requested_config_hash: Option<String>,
    /// Problem that prevents it from running.
    pub problem: Option<PodProblem>,
    /// Exit code of the last termination of its container.
    pub exit_code: Option<i32>,
    /// Termination message of a trainer container.
    pub termination_message: Option<TerminationMessage>,
}

impl PodFacts {
    /// Extracts the facts from a pod.
    pub fn of(pod: &ReceivedPod) -> Self {
        let labels = pod.labels();
        let component = labels.get("app.kubernetes.io/component").and_then(|label| Component::parse(label));
        let container = component.and_then(|component| own_container(pod, component));
        let terminated = container.and_then(|c| {
            let state = |s: &Option<ContainerState>| s.as_ref().and_then(|s| s.terminated.clone());
            state(&c.state).or_else(|| state(&c.last_state))
        });
        Self {
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            created_at: pod.creation_timestamp().map_or(0, |time| time.0.as_second()),
            ip: pod.status.pod_ip.clone(),
            component,
            run: labels.get(RUN_LABEL).and_then(|run| run.parse().ok()),
            task: labels.get(TASK_LABEL).and_then(|id| TimedId::parse(id)),
            running: pod.metadata.deletion_timestamp.is_none()
                && container.is_some_and(|c| c.state.as_ref().is_some_and(|s| s.running.is_some())),
            deleted: pod.metadata.deletion_timestamp.is_some(),
            requested_config_hash: pod.annotations().get(CONFIG_HASH_ANNOTATION).cloned(),
            problem: problem(pod, component, container),
            exit_code: terminated.as_ref().map(|t| t.exit_code),
            termination_message: terminated
                .and_then(|t| t.message)
                .and_then(|message| serde_json::from_str(&message).ok()),
        }
    }
}

impl PodFacts {
    /// Whether it neither runs nor has ended, and its status does not state why.
    pub fn is_starting(&self) -> bool {
        !self.running && self.exit_code.is_none() && self.problem.is_none() && !self.deleted
    }
}

/// Status of the container that the operator named. Admission webhooks may inject others before it.
fn own_container(pod: &ReceivedPod, component: Component) -> Option<&ContainerStatus> {
    let containers = pod.status.container_statuses.as_deref()?;
    containers.iter().find(|container| container.name == component.container())
}
