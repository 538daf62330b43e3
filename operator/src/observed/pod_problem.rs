//! What prevents a pod from running, in the words of the scheduler, kubelet or the container
//! runtime, with the field to set.

use recommender_crds::Reason;

use crate::{
    names::Component,
    received::{ContainerStatus, ReceivedPod},
};

/// Problem that prevents a pod from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodProblem {
    /// Reason for a condition.
    pub reason: Reason,
    /// Human-readable message.
    pub message: String,
}

/// Waiting reasons of a container whose image cannot be pulled.
const IMAGE_REASONS: [&str; 5] =
    ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"];
/// Waiting reasons of a container that cannot be created or started.
const START_REASONS: [&str; 4] = ["CreateContainerError", "RunContainerError", "StartError", "PreCreateHookError"];

/// The problem that the status of a pod states.
pub(super) fn problem(
    pod: &ReceivedPod,
    component: Option<Component>,
    container: Option<&ContainerStatus>,
) -> Option<PodProblem> {
    let field = field(component);
    of_container(container, component, field).or_else(|| of_scheduling(pod, field))
}

/// Field of the spec with the settings of a component's pods.
pub fn field(component: Option<Component>) -> &'static str {
    match component {
        // The Jobs of a Recommender have the settings of the trainer's pods.
        Some(Component::Trainer | Component::Batch | Component::Catalogue) => "training",
        Some(Component::Serving) | None => "serving",
    }
}

/// Reason for a pod that cannot run until someone acts.
pub fn blocked(component: Option<Component>) -> Reason {
    match component {
        Some(Component::Trainer) => Reason::TrainingBlocked,
        Some(Component::Batch) => Reason::BatchBlocked,
        Some(Component::Catalogue) => Reason::CatalogueNotMade,
        Some(Component::Serving) | None => Reason::ReplicasUnavailable,
    }
}

fn of_container(container: Option<&ContainerStatus>, component: Option<Component>, field: &str) -> Option<PodProblem> {
    let container = container?;
    let terminations = || {
        let states = [container.state.as_ref(), container.last_state.as_ref()].into_iter().flatten();
        states.filter_map(|state| state.terminated.as_ref())
    };
    if terminations().any(|terminated| terminated.reason.as_deref() == Some("OOMKilled")) {
        let message = format!("the container was OOMKilled; raise {field}.resources.limits.memory");
        return Some(PodProblem { reason: Reason::OOMKilled, message });
    }
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let (reason, message) = (waiting.reason.as_deref()?, waiting.message.clone().unwrap_or_default());
    match reason {
        // Message of kubelet: secret "x" not found, or couldn't find key k in Secret ns/x
        "CreateContainerConfigError" => Some(PodProblem {
            reason: Reason::ReferenceNotFound,
            message: format!("{message}; create it, and the pod starts automatically"),
        }),
        _ if IMAGE_REASONS.contains(&reason) => Some(PodProblem {
            reason: blocked(component),
            message: format!("{reason}: {message}; check the chart value image.sidecar, and {field}.imagePullSecrets"),
        }),
        _ if START_REASONS.contains(&reason) => {
            Some(PodProblem { reason: blocked(component), message: format!("{reason}: {message}") })
        }
        "CrashLoopBackOff" => {
            let exit = terminations().next().map(|terminated| {
                let reason = terminated.reason.as_deref().unwrap_or("Error");
                format!(" (exit code {}, {reason})", terminated.exit_code)
            });
            Some(PodProblem {
                reason: blocked(component),
                message: format!(
                    "the container crashes again and again{}; kubectl logs --previous shows why",
                    exit.unwrap_or_default()
                ),
            })
        }
        _ => None,
    }
}

fn of_scheduling(pod: &ReceivedPod, field: &str) -> Option<PodProblem> {
    let scheduled = pod.status.conditions.as_ref()?.iter().find(|c| c.type_ == "PodScheduled")?;
    if scheduled.status == "True" {
        return None;
    }
    let message = scheduled.message.clone().unwrap_or_default();
    // Message of the scheduler: persistentvolumeclaim "x" not found, or is unbound
    let claim = message.contains("persistentvolumeclaim");
    let hint = if claim { String::new() } else { format!("; provide capacity, or lower {field}.resources.requests") };
    Some(PodProblem {
        reason: if claim { Reason::ReferenceNotFound } else { Reason::TrainingPending },
        message: format!("the pod cannot be scheduled: {message}{hint}"),
    })
}

/// What to do about the message of a controller, an admission plugin or kubelet.
pub fn advice(message: &str, field: &str) -> String {
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if has(&["quota", "must specify limits", "must specify requests"]) {
        return format!("set {field}.resources (requests and limits) within the quota, or raise the quota");
    }
    if has(&["memory usage", "cpu usage", "LimitRange", "less than or equal to", "limit to request ratio"]) {
        return format!("set {field}.resources (requests and limits) within the LimitRange of the namespace");
    }
    if has(&["PodSecurity"]) {
        return "use a namespace whose PodSecurity level allows it".to_owned();
    }
    if has(&["volume", "Mount", "mount"]) {
        return format!("check the volumes, Secrets and ConfigMaps of the pod ({})", volume_fields(field));
    }
    "kubectl describe shows its Events".to_owned()
}

fn volume_fields(field: &str) -> &'static str {
    if field == "training" { "data.source, data.items.source, store.secretRef" } else { "store.secretRef" }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(component: Component, status: &Value) -> (Reason, String) {
        let pod: ReceivedPod = serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).unwrap();
        let containers = pod.status.container_statuses.as_deref();
        let problem = problem(&pod, Some(component), containers.and_then(|c| c.first())).unwrap();
        (problem.reason, problem.message)
    }

    fn container(state: &Value, last: &Value) -> Value {
        let status = json!({
            "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state, "lastState": last,
        });
        json!({ "containerStatuses": [status] })
    }

    #[test]
    fn each_problem_names_the_server_s_sentence_and_the_field() {
        let waiting =
            |reason: &str| json!({"waiting": {"reason": reason, "message": "back-off pulling image \"x:1\""}});
        let (reason, message) = found(Component::Trainer, &container(&waiting("ImagePullBackOff"), &json!({})));
        assert_eq!(reason, Reason::TrainingBlocked);
        assert_eq!(
            message,
            "ImagePullBackOff: back-off pulling image \"x:1\"; check the chart value image.sidecar, and training.imagePullSecrets"
        );
        let crashed = json!({"terminated": {"exitCode": 139, "reason": "Error"}});
        let (reason, message) = found(Component::Serving, &container(&waiting("CrashLoopBackOff"), &crashed));
        assert_eq!(reason, Reason::ReplicasUnavailable);
        assert!(message.contains("exit code 139, Error"), "{message}");
        let killed = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
        let (reason, message) = found(Component::Serving, &container(&waiting("CrashLoopBackOff"), &killed));
        assert_eq!((reason, message.contains("serving.resources.limits.memory")), (Reason::OOMKilled, true));
        let scheduled =
            |message: &str| json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": message}]});
        let (reason, message) =
            found(Component::Serving, &scheduled("0/1 nodes are available: 1 Insufficient memory."));
        assert_eq!(reason, Reason::TrainingPending);
        assert!(message.ends_with("; provide capacity, or lower serving.resources.requests"), "{message}");
        let (reason, _) = found(Component::Trainer, &scheduled("persistentvolumeclaim \"a\" not found"));
        assert_eq!(reason, Reason::ReferenceNotFound);
    }

    #[test]
    fn advice_names_the_field_to_set() {
        for (message, expected) in [
            ("pods \"p\" is forbidden: failed quota: q: must specify limits.cpu", "set training.resources"),
            ("pods \"p\" is forbidden: exceeded quota: q, requested: limits.memory=256Mi", "within the quota"),
            ("pods \"p\" is forbidden: minimum memory usage per Container is 1Gi", "within the LimitRange"),
            ("pods \"p\" is forbidden: violates PodSecurity \"restricted:latest\"", "PodSecurity level"),
            ("MountVolume.SetUp failed for volume \"store\" : secret \"x\" not found", "store.secretRef"),
        ] {
            assert!(advice(message, "training").contains(expected), "{message}: {}", advice(message, "training"));
        }
    }
}
