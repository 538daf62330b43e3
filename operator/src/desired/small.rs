//! Children of a few lines: ServiceAccount, store Secrets, PodDisruptionBudget.

use k8s_openapi::ByteString;
use serde_json::{Value, json};
use sidecar_contract::credentials::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};

use super::{Child, Kind, metadata};
use crate::{
    names::{Component, Names, selector},
    validate::Plan,
};

/// An identity without rights, for all pods of the Recommender.
pub fn service_account(plan: &Plan) -> Child {
    Child {
        kind: Kind::ServiceAccount,
        manifest: json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": metadata(plan, &plan.name, Component::Serving),
            "automountServiceAccountToken": false,
        }),
    }
}

/// The volume with what opens the store; none where the pods' own identity does.
pub fn store_volume(plan: &Plan, embedded: &str) -> Option<Value> {
    let secret = match &plan.spec.store {
        None => embedded,
        Some(store) => &store.secret_ref.as_ref()?.name,
    };
    Some(json!({"name": "store", "secret": {"secretName": secret}}))
}

/// The store credential of one role.
pub fn store_secret(plan: &Plan, component: Component, (id, secret): &(String, String)) -> Child {
    let names = Names::new(&plan.name);
    let name = match component {
        Component::Trainer => names.train_secret(),
        Component::Serving => names.serve_secret(),
    };
    Child {
        kind: Kind::Secret,
        manifest: json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata(plan, &name, component),
            "type": "Opaque",
            // Not stringData: the API server would move it, and every apply would look like a change.
            "data": {ACCESS_KEY_ID: bytes(id), SECRET_ACCESS_KEY: bytes(secret)},
        }),
    }
}

fn bytes(text: &str) -> ByteString {
    ByteString(text.as_bytes().to_vec())
}

/// Node drains take one serving pod at a time.
pub fn pod_disruption_budget(plan: &Plan) -> Child {
    Child {
        kind: Kind::PodDisruptionBudget,
        manifest: json!({
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata(plan, &plan.name, Component::Serving),
            "spec": {
                "maxUnavailable": 1,
                "selector": {"matchLabels": selector(&plan.name, Component::Serving)},
                // A pod that is not ready protects nobody, and must not block a drain.
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
            },
        }),
    }
}
