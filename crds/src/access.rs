//! Access to the serving pods.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who may ask the serving pods, and how. Sidecars of apps connect with certificates where the
/// installation signs them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AccessSpec {
    /// Callers that may connect with mutual TLS on port 8443. Absent: every ServiceAccount of this
    /// namespace; an empty list: none. Example: [{namespace: web, serviceAccount: frontend}].
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub allow: Option<Vec<AllowedCaller>>,
    /// Requests without TLS on port 8080. SameNamespace: they are answered if the NetworkPolicy
    /// admits them, from this namespace and from serving.allowFrom. Never: they are refused.
    /// Default: SameNamespace.
    pub plaintext: Plaintext,
    /// Certificates of the serving pods. Auto: they have one where the installation signs, and a
    /// new pod waits for it. None: they have none, and answer without TLS only. Default: Auto.
    pub identity: Identity,
}

/// A ServiceAccount, or all of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllowedCaller {
    /// Namespace of the caller's pod.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: String,
    /// Name of its ServiceAccount. Absent: every one of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub service_account: Option<String>,
}

/// Requests without TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Plaintext {
    /// They are answered, if the NetworkPolicy admits them.
    #[default]
    SameNamespace,
    /// They are refused.
    Never,
}

/// Certificates of the serving pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Identity {
    /// They have one where the installation signs.
    #[default]
    Auto,
    /// They have none.
    None,
}
