//! Secrets with the credentials of the embedded store, and the volume that mounts store credentials
//! into a pod.

use k8s_openapi::ByteString;
use serde_json::{Value, json};
use sidecar_contract::credentials::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};

use super::child::{Child, metadata};
use crate::{
    child_kind::ChildKind,
    names::{Component, Names},
    validate::Plan,
};

/// The volume with the store credentials; `None` if the pods access the store with their own
/// identity.
pub fn store_volume(plan: &Plan, embedded: &str) -> Option<Value> {
    let secret = match &plan.spec.store {
        None => embedded,
        Some(store) => &store.secret_ref.as_ref()?.name,
    };
    Some(json!({"name": "store", "secret": {"secretName": secret}}))
}

/// The Secret with the store credentials of a component.
pub fn store_secret(plan: &Plan, component: Component, (id, secret): &(String, String)) -> Child {
    let names = Names::new(&plan.name);
    let name = match component {
        Component::Trainer | Component::Batch | Component::Catalogue => names.train_secret(),
        Component::Serving => names.serve_secret(),
    };
    Child {
        kind: ChildKind::Secret,
        manifest: json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata(plan, &name, component),
            "type": "Opaque",
            // Not stringData: the API server converts it to data, so that every apply would count
            // as a change.
            "data": {ACCESS_KEY_ID: bytes(id), SECRET_ACCESS_KEY: bytes(secret)},
        }),
    }
}

fn bytes(text: &str) -> ByteString {
    ByteString(text.as_bytes().to_vec())
}
