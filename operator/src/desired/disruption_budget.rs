//! The PodDisruptionBudget of the serving pods.

use serde_json::json;

use super::child::{Child, metadata};
use crate::{
    child_kind::ChildKind,
    names::{Component, selector},
    validate::Workload,
};

/// A budget that lets node drains evict one serving pod at a time.
pub fn build(plan: &Workload) -> Child {
    Child {
        kind: ChildKind::PodDisruptionBudget,
        manifest: json!({
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata(plan, &plan.name, Component::Serving),
            "spec": {
                "maxUnavailable": 1,
                "selector": {"matchLabels": selector(&plan.name, Component::Serving)},
                // A pod that is not ready serves no requests and must not block a drain.
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
            },
        }),
    }
}
