//! A desired child, and the metadata of all children.

use serde_json::{Value, json};
use sidecar_contract::{Digest, canonical_json};

use crate::{
    child_kind::ChildKind,
    names::{Component, labels},
    validate::Workload,
};

/// A desired object.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Kind of the object.
    pub kind: ChildKind,
    /// Manifest of the object.
    pub manifest: Value,
}

impl Child {
    /// Name of the object.
    pub fn name(&self) -> &str {
        self.manifest.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
    }

    /// Value of an annotation.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.manifest.get("metadata")?.get("annotations")?.get(name)?.as_str()
    }

    /// Hash of the manifest.
    pub fn hash(&self) -> Digest {
        Digest::of(canonical_json(&self.manifest).as_bytes())
    }
}

/// Metadata of a child: name, labels, and the owner reference by which it is deleted.
pub fn metadata(plan: &Workload, name: &str, component: Component) -> Value {
    json!({
        "name": name,
        "namespace": plan.namespace,
        "labels": labels(&plan.name, component),
        "ownerReferences": [{
            "apiVersion": format!("{}/{}", recommender_crds::GROUP, recommender_crds::VERSION),
            "kind": "Recommender",
            "name": plan.name,
            "uid": plan.uid,
            "controller": true,
            "blockOwnerDeletion": true,
        }],
    })
}
