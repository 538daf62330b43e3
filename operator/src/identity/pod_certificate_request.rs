//! The resource PodCertificateRequest (`certificates.k8s.io/v1`, Kubernetes 1.37): the fields that
//! a signer uses. The bindings of the minimum version of Kubernetes do not have it.

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::{
    ByteString,
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
};
use kube::{Resource, api::ObjectMeta, core::NamespaceResourceScope};
use serde::{Deserialize, Serialize};

use crate::received::metadata;

/// API group of the resource, and of ClusterTrustBundles.
pub const GROUP: &str = "certificates.k8s.io";

/// Condition type: the certificate is in the status.
pub const ISSUED: &str = "Issued";
/// Condition type: refused by the signer. It is final, also for the renewal of a certificate.
pub const DENIED: &str = "Denied";
/// Condition type: the signer gave up. It is final, also for the renewal of a certificate.
pub const FAILED: &str = "Failed";

/// A request of a kubelet for the certificate of a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PodCertificateRequest {
    /// Metadata; the namespace is that of the pod.
    #[serde(default, deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    /// What is requested; immutable.
    pub spec: Spec,
    /// What the signer answered.
    #[serde(default)]
    pub status: Status,
}

/// What is requested.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// Name of the signer.
    pub signer_name: String,
    /// Name of the pod.
    pub pod_name: String,
    /// Uid of the pod.
    #[serde(rename = "podUID")]
    pub pod_uid: String,
    /// Name of the pod's account.
    pub service_account_name: String,
    /// Name of the pod's node.
    pub node_name: String,
    /// Longest life of the certificate. The API server sets a default.
    #[serde(default)]
    pub max_expiration_seconds: Option<i32>,
    /// A PKCS#10 request (DER) with the public key, signed with the private key.
    #[serde(rename = "stubPKCS10Request", default = "no_bytes")]
    pub stub_pkcs10_request: ByteString,
    /// Annotations that the author of the pod chose.
    #[serde(default)]
    pub unverified_user_annotations: BTreeMap<String, String>,
}

/// What the signer answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// At most one of [`ISSUED`], [`DENIED`] and [`FAILED`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The certificate and its intermediates as PEM.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub certificate_chain: String,
    /// Begin of the certificate's validity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// When the kubelet should renew the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin_refresh_at: Option<Time>,
    /// End of the certificate's validity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
}

impl PodCertificateRequest {
    /// Whether a signer has answered it. The API server allows no further answer.
    pub fn is_answered(&self) -> bool {
        let is_final = |condition: &Condition| [ISSUED, DENIED, FAILED].contains(&condition.type_.as_str());
        self.status.conditions.iter().any(is_final)
    }
}

fn no_bytes() -> ByteString {
    ByteString(Vec::new())
}

impl Resource for PodCertificateRequest {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "PodCertificateRequest".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "podcertificaterequests".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
