//! The resource ClusterTrustBundle (`certificates.k8s.io/v1`, Kubernetes 1.37), in which the signer
//! publishes its anchors. The bindings of the minimum version of Kubernetes do not have it.

use std::borrow::Cow;

use kube::{Resource, api::ObjectMeta, core::ClusterResourceScope};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::pod_certificate_request::GROUP;
use crate::names::{ANCHORS_LABEL, INSTALLATION_ANNOTATION};

/// A list of trust anchors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterTrustBundle {
    /// Metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Signer and anchors.
    pub spec: Spec,
}

/// Signer and anchors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// The signer whose anchors these are.
    #[serde(default)]
    pub signer_name: String,
    /// The anchors as PEM.
    #[serde(default)]
    pub trust_bundle: String,
}

/// Name of the bundle of a signer. The API server requires the prefix.
pub fn name(signer: &str) -> String {
    format!("{}:anchors", signer.replace('/', ":"))
}

/// The bundle of a signer. `installation` is the namespace of the operator.
pub fn manifest(signer: &str, installation: &str, anchors: &str) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": "ClusterTrustBundle",
        "metadata": {
            "name": name(signer),
            "labels": {"app.kubernetes.io/part-of": "recmesh", ANCHORS_LABEL: "true"},
            "annotations": {INSTALLATION_ANNOTATION: installation},
        },
        "spec": {"signerName": signer, "trustBundle": anchors},
    })
}

impl ClusterTrustBundle {
    /// The namespace of another operator that published this bundle. Two installations with one
    /// signer would replace each other's anchors.
    pub fn other_installation(&self, installation: &str) -> Option<&str> {
        let annotations = self.metadata.annotations.as_ref();
        let owner = annotations.and_then(|annotations| annotations.get(INSTALLATION_ANNOTATION));
        owner.map(String::as_str).filter(|owner| *owner != installation)
    }
}

impl Resource for ClusterTrustBundle {
    type DynamicType = ();
    type Scope = ClusterResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "ClusterTrustBundle".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "clustertrustbundles".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
