//! The ServiceAccount of all pods of a Recommender.

use serde_json::json;

use super::child::{Child, metadata};
use crate::{child_kind::ChildKind, names::Component, validate::Workload};

/// A ServiceAccount without permissions; `None` if the user names one for all pods.
pub fn build(plan: &Workload) -> Option<Child> {
    let needed = plan.uses_own_service_account();
    needed.then(|| Child {
        kind: ChildKind::ServiceAccount,
        manifest: json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": metadata(plan, &plan.name, Component::Serving),
            "automountServiceAccountToken": false,
        }),
    })
}
