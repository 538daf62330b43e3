//! Decides on a request: sign, refuse for good, or wait.
//!
//! `Denied` and `Failed` are final for a pod, also when it renews a certificate. Only what no retry
//! can change is refused: the type of the key, and annotations. Everything else stays pending.

use super::{
    live_pod::LivePod,
    pod_certificate_request::PodCertificateRequest,
    public_key::{KEY_TYPE, KeyProblem, ProvenKey, proven},
};

/// What to do with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Sign a certificate for this key.
    Sign(ProvenKey),
    /// Refuse for good.
    Deny(Denial),
    /// Leave it pending.
    Wait(Waiting),
}

/// Why a request is refused for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The type of the key is not supported.
    KeyType,
    /// The volume has annotations, of which the signer knows none.
    UserAnnotations,
}

impl Denial {
    /// Word for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyType => "denied_key_type",
            Self::UserAnnotations => "denied_user_annotations",
        }
    }

    /// Reason of the condition, as Kubernetes defines it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::KeyType => "UnsupportedKeyType",
            Self::UserAnnotations => "InvalidUnverifiedUserAnnotations",
        }
    }

    /// Message of the condition: what to change in the volume.
    pub fn message(self) -> String {
        match self {
            Self::KeyType => format!("the signer supports the key type {KEY_TYPE} only; set keyType of the volume"),
            Self::UserAnnotations => "the signer supports no userAnnotations; remove them from the volume".to_owned(),
        }
    }
}

/// Why a request stays pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The request or its proof is malformed.
    Malformed,
    /// There is no pod of this name.
    PodMissing,
    /// The pod has another uid.
    PodReplaced,
    /// The pod runs under another account.
    OtherAccount,
    /// The pod runs on another node.
    OtherNode,
    /// No volume of the pod asks for the certificate.
    NoVolume,
}

impl Waiting {
    /// Word for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::PodMissing => "pod_missing",
            Self::PodReplaced => "pod_replaced",
            Self::OtherAccount => "other_account",
            Self::OtherNode => "other_node",
            Self::NoVolume => "no_volume",
        }
    }
}

/// Whether the installation signs for this namespace. An empty list stands for all.
pub fn is_watched(namespace: &str, watched: &[String]) -> bool {
    watched.is_empty() || watched.iter().any(|watched| watched == namespace)
}

/// Decides on a request, given the live pod that has the name in it.
pub fn decide(request: &PodCertificateRequest, pod: Option<&LivePod>) -> Decision {
    let spec = &request.spec;
    if !spec.unverified_user_annotations.is_empty() {
        return Decision::Deny(Denial::UserAnnotations);
    }
    let key = match proven(&spec.stub_pkcs10_request.0) {
        Ok(key) => key,
        Err(KeyProblem::Unsupported) => return Decision::Deny(Denial::KeyType),
        Err(KeyProblem::Unproven) => return Decision::Wait(Waiting::Malformed),
    };
    let Some(pod) = pod else { return Decision::Wait(Waiting::PodMissing) };
    if pod.metadata.uid.as_deref() != Some(&spec.pod_uid) {
        Decision::Wait(Waiting::PodReplaced)
    } else if pod.spec.service_account_name != spec.service_account_name {
        Decision::Wait(Waiting::OtherAccount)
    } else if pod.spec.node_name.is_empty() || pod.spec.node_name != spec.node_name {
        Decision::Wait(Waiting::OtherNode)
    } else if !pod.asks(&spec.signer_name) {
        Decision::Wait(Waiting::NoVolume)
    } else {
        Decision::Sign(key)
    }
}
