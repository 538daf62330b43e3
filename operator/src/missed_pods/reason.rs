//! Why a pod that asks for a sidecar has none, and what to do. Pure.

use k8s_openapi::{api::core::v1::ObjectReference, jiff::Timestamp};
use serde_json::Value;

use crate::{inject, names::INJECT_LABEL, notice::Notice};

/// Reason of the Event.
const EVENT_REASON: &str = "SidecarMissing";
/// Kinds whose pods `kubectl rollout restart` replaces.
const RESTARTABLE: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];

/// The policy of the chart that adds sidecars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The installation has none.
    Off,
    /// It was deleted.
    Absent {
        /// Its name.
        name: String,
    },
    /// It exists.
    Present {
        /// Its name.
        name: String,
        /// When it was created; `None` if the operator may not read it.
        since: Option<Timestamp>,
    },
}

/// The installation that adds sidecars.
#[derive(Clone, Debug)]
pub struct Installed<'a> {
    /// Namespace of the operator.
    pub namespace: &'a str,
    /// Its policy.
    pub policy: Policy,
}

/// Why a pod has no sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MissedReason {
    /// The pod cannot have one.
    NotPossible {
        /// What prevents it.
        problem: String,
    },
    /// The installation adds none.
    Off,
    /// The policy was deleted.
    NoPolicy {
        /// Name of the policy.
        policy: String,
    },
    /// The pod was created before the policy.
    BeforePolicy {
        /// Name of the policy.
        policy: String,
    },
    /// The policy did not change the pod when it was created.
    NotChanged {
        /// Name of the policy.
        policy: String,
    },
}

impl MissedReason {
    /// Label of the metric, from a closed set.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NotPossible { .. } => "not_possible",
            Self::Off => "off",
            Self::NoPolicy { .. } => "no_policy",
            Self::BeforePolicy { .. } => "before_policy",
            Self::NotChanged { .. } => "not_changed",
        }
    }
}

/// Why a pod, which was created at this time, has no sidecar.
pub fn why(pod: &Value, created: Option<Timestamp>, installed: &Installed<'_>) -> MissedReason {
    let namespace = pod.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
    if namespace == "kube-system" || namespace == installed.namespace {
        return MissedReason::NotPossible { problem: format!("no pod in namespace {namespace} gets one") };
    }
    if let Some(problem) = inject::problem(pod) {
        return MissedReason::NotPossible { problem };
    }
    match installed.policy.clone() {
        Policy::Off => MissedReason::Off,
        Policy::Absent { name } => MissedReason::NoPolicy { policy: name },
        Policy::Present { name, since } if since.zip(created).is_some_and(|(since, created)| created < since) => {
            MissedReason::BeforePolicy { policy: name }
        }
        Policy::Present { name, .. } => MissedReason::NotChanged { policy: name },
    }
}

/// The Event about pods without a sidecar, on the object that a user applied.
pub fn notice(reason: &MissedReason, about: &ObjectReference, recommender: &str) -> Notice {
    let replace = replace(about);
    let text = match reason {
        MissedReason::NotPossible { problem } => {
            format!("{problem}. Change the pod template, or remove the label {INJECT_LABEL}")
        }
        MissedReason::Off => {
            "this installation adds none. Set mesh.enabled in the values of its chart (Kubernetes 1.36 \
                              or newer), or write the sidecar into the manifest with recmesh-operator inject"
                .to_owned()
        }
        MissedReason::NoPolicy { policy } => {
            format!("the MutatingAdmissionPolicy {policy} does not exist. Restore it with helm upgrade, then {replace}")
        }
        MissedReason::BeforePolicy { policy } => {
            format!("they were created before the MutatingAdmissionPolicy {policy}. To add it, {replace}")
        }
        MissedReason::NotChanged { policy } => format!(
            "the MutatingAdmissionPolicy {policy} did not apply when they were created, or they were labelled later. \
             To add it, {replace}; if it is missing again, write it into the manifest with recmesh-operator inject"
        ),
    };
    let text = format!("pods without the sidecar of Recommender {recommender}: {text}");
    Notice { is_warning: true, reason: EVENT_REASON.to_owned(), text }
}

/// How the pods are replaced.
fn replace(about: &ObjectReference) -> String {
    let (kind, name) = (about.kind.as_deref().unwrap_or_default(), about.name.as_deref().unwrap_or_default());
    if RESTARTABLE.contains(&kind) {
        let namespace = about.namespace.as_deref().unwrap_or_default();
        format!("run: kubectl -n {namespace} rollout restart {}/{name}", kind.to_lowercase())
    } else {
        "create the pods again".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Option<Timestamp> {
        Timestamp::from_second(second).ok()
    }

    fn of(pod: &Value, created: i64, policy: Policy) -> MissedReason {
        why(pod, at(created), &Installed { namespace: "recmesh-system", policy })
    }

    fn present(since: Option<i64>) -> Policy {
        Policy::Present { name: "recmesh-injection".to_owned(), since: since.and_then(at) }
    }

    #[test]
    fn what_the_pod_prevents_comes_first_then_what_the_policy_did() {
        let pod = |spec: Value| json!({"metadata": {"namespace": "shop", "labels": {"recmesh.dev/inject": "films"}}, "spec": spec});
        let fine = pod(json!({"containers": [{"name": "app"}]}));
        let policies = [
            (Policy::Off, "off"),
            (Policy::Absent { name: "p".to_owned() }, "no_policy"),
            (present(Some(8)), "before_policy"),
            (present(Some(7)), "not_changed"),
            (present(Some(6)), "not_changed"),
            (present(None), "not_changed"),
        ];
        for (policy, label) in policies {
            assert_eq!(of(&fine, 7, policy.clone()).label(), label, "{policy:?}");
            let host = pod(json!({"hostNetwork": true, "containers": []}));
            assert_eq!(of(&host, 7, policy).label(), "not_possible");
        }
        for namespace in ["kube-system", "recmesh-system"] {
            let mut pod = fine.clone();
            pod["metadata"]["namespace"] = json!(namespace);
            assert_eq!(of(&pod, 7, present(None)).label(), "not_possible");
        }
    }

    #[test]
    fn an_event_names_the_problem_and_the_command() {
        let about = |kind: &str| ObjectReference {
            kind: Some(kind.to_owned()),
            name: Some("web".to_owned()),
            namespace: Some("shop".to_owned()),
            ..ObjectReference::default()
        };
        let port = json!({
            "metadata": {"namespace": "shop", "labels": {"recmesh.dev/inject": "films"}},
            "spec": {"containers": [{"name": "app", "ports": [{"containerPort": 8088}]}]},
        });
        let reason = of(&port, 7, Policy::Off);
        let notice = |reason: &MissedReason, kind: &str| notice(reason, &about(kind), "films").text;
        assert_eq!(
            notice(&reason, "Deployment"),
            "pods without the sidecar of Recommender films: a container declares port 8088; choose another with \
             annotation recmesh.dev/port. Change the pod template, or remove the label recmesh.dev/inject"
        );
        let before = MissedReason::BeforePolicy { policy: "recmesh-injection".to_owned() };
        let restart = "created before the MutatingAdmissionPolicy recmesh-injection. To add it, run: kubectl -n shop \
                       rollout restart statefulset/web";
        assert!(notice(&before, "StatefulSet").ends_with(restart));
        assert!(notice(&before, "Job").ends_with("To add it, create the pods again"));
    }
}
