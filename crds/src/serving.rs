//! Serving.

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::PodSettings;

/// The fallback that every model contains.
pub const POPULAR: &str = "popular";

/// Serving pods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServingSpec {
    /// Number of serving pods, 0 to 1000. `kubectl scale` and a HorizontalPodAutoscaler also set
    /// it. With 0 models are trained and not served. Default: 1.
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i32,
    /// Fallback sources for unknown users, in order. Default: popular.
    #[schemars(length(min = 1, max = 4))]
    pub fallback: Vec<String>,
    /// NetworkPolicy peers that may connect to the serving port, in addition to this namespace.
    /// Example: [{namespaceSelector: {matchLabels: {team: web}}}].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub allow_from: Vec<NetworkPolicyPeer>,
    /// Limits of requests.
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

/// Limits of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServingLimits {
    /// Maximum number of items in a response, 1 to 10000. Default: 1000.
    #[schemars(range(min = 1, max = 10_000))]
    pub items_per_answer_max: u32,
    /// Maximum number of history rows in a request, 1 to 10000. Default: 1000.
    #[schemars(range(min = 1, max = 10_000))]
    pub history_per_request_max: u32,
    /// Maximum number of requests in a batch, 1 to 1000. Default: 100.
    #[schemars(range(min = 1, max = 1000))]
    pub requests_per_batch_max: u32,
    /// Latency budget, 1 to 2000 ms: a pod answers 503 with Retry-After to a request that would
    /// wait longer for a compute thread. Default: 100.
    #[schemars(range(min = 1, max = 2000))]
    pub latency_budget_milliseconds: u32,
}

impl Default for ServingLimits {
    fn default() -> Self {
        Self {
            items_per_answer_max: 1000,
            history_per_request_max: 1000,
            requests_per_batch_max: 100,
            latency_budget_milliseconds: 100,
        }
    }
}
