//! The pods that answer.

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::PodSettings;

/// The fallback that every model carries.
pub const POPULAR: &str = "popular";

/// The pods that answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServingSpec {
    /// Number of serving pods, 0 to 1000; `kubectl scale` and a HorizontalPodAutoscaler set it too. 0 is fine: trained,
    /// not served. Default: 1.
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i32,
    /// What answers where the model knows nothing of a user, in order. Default: popular.
    #[schemars(length(min = 1, max = 4))]
    pub fallback: Vec<String>,
    /// Who may reach the serving port besides this namespace, as NetworkPolicy peers.
    /// Example: [{namespaceSelector: {matchLabels: {team: web}}}].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub allow_from: Vec<NetworkPolicyPeer>,
    /// What one request may ask for.
    pub limits: ServingLimits,
    /// Settings of the serving pods.
    #[serde(flatten)]
    pub pod: PodSettings,
}

impl Default for ServingSpec {
    fn default() -> Self {
        Self {
            replicas: 1,
            fallback: vec![POPULAR.to_owned()],
            allow_from: Vec::new(),
            limits: ServingLimits::default(),
            pod: PodSettings::default(),
        }
    }
}

/// What one request may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServingLimits {
    /// Most items in an answer, 1 to 10000. Default: 1000.
    #[schemars(range(min = 1, max = 10_000))]
    pub items_per_answer_max: u32,
    /// Most rows of history in a request, 1 to 10000. Default: 1000.
    #[schemars(range(min = 1, max = 10_000))]
    pub history_per_request_max: u32,
    /// Most requests in a batch, 1 to 1000. Default: 100.
    #[schemars(range(min = 1, max = 1000))]
    pub requests_per_batch_max: u32,
}

impl Default for ServingLimits {
    fn default() -> Self {
        Self { items_per_answer_max: 1000, history_per_request_max: 1000, requests_per_batch_max: 100 }
    }
}
