//! Pod settings.

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::{
    api::core::v1::{ResourceRequirements, Toleration},
    apimachinery::pkg::api::resource::Quantity,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::NameRef;

/// Pod settings of training and serving.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSettings {
    /// CPU and memory. Absent: a small request and no limit. Example: {requests: {cpu: 500m,
    /// memory: 1Gi}}.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// ServiceAccount of the pod, for workload identity. Absent: the Recommender's own
    /// ServiceAccount, which has no permissions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub service_account_name: Option<String>,
    /// Labels that a node must have. Example: {disktype: ssd}.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pod tolerates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// Labels added to the pod. The prefixes app.kubernetes.io/ and recmesh.dev/ are reserved.
    /// Example: {team: shop}.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub labels: BTreeMap<String, String>,
    /// Annotations added to the pod. The prefix recmesh.dev/ is reserved. Example:
    /// {linkerd.io/inject: enabled}.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub annotations: BTreeMap<String, String>,
    /// Secrets with credentials of the image registry. Example: [{name: registry}].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub image_pull_secrets: Vec<NameRef>,
}

/// CPU and memory of a pod, by resource name, as in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Resources {
    /// Reserved amounts. Example: {cpu: 500m, memory: 1Gi}.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub requests: BTreeMap<String, QuantityOrInt>,
    /// Maximum amounts. Example: {memory: 2Gi}.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub limits: BTreeMap<String, QuantityOrInt>,
}

impl From<&Resources> for ResourceRequirements {
    fn from(resources: &Resources) -> Self {
        let quantities = |map: &BTreeMap<String, QuantityOrInt>| {
            (!map.is_empty()).then(|| map.iter().map(|(name, quantity)| (name.clone(), quantity.into())).collect())
        };
        Self { requests: quantities(&resources.requests), limits: quantities(&resources.limits), claims: None }
    }
}

/// A quantity as a number or a string: `2` or `500m`. The type of the Kubernetes client accepts
/// only strings, and a number in one resource would make the whole list of resources unreadable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum QuantityOrInt {
    /// A plain number.
    Whole(i64),
    /// A number with a suffix.
    Text(String),
}

impl From<&QuantityOrInt> for Quantity {
    fn from(quantity: &QuantityOrInt) -> Self {
        match quantity {
            QuantityOrInt::Whole(number) => Self(number.to_string()),
            QuantityOrInt::Text(text) => Self(text.clone()),
        }
    }
}

impl JsonSchema for QuantityOrInt {
    fn schema_name() -> Cow<'static, str> {
        "QuantityOrInt".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "minimum": 0,
            "maxLength": 32,
            "pattern": "^([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]+)?$",
        })
    }
}
