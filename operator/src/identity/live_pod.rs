//! The live pod that a request names: what the signer compares with it. The bindings of the minimum
//! version of Kubernetes do not have volumes with a certificate.

use std::{borrow::Cow, net::IpAddr};

use k8s_openapi::jiff::Timestamp;
use kube::{Resource, api::ObjectMeta, core::NamespaceResourceScope};
use serde::{Deserialize, Serialize};

use crate::{
    names::{COMPONENT_LABEL, Component, INJECT_LABEL, NAMESPACE_LABEL, RECOMMENDER_LABEL},
    received::metadata,
};

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LivePod {
    /// Metadata.
    #[serde(default, deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    /// Spec.
    #[serde(default)]
    pub spec: Spec,
    /// Status.
    #[serde(default)]
    pub status: Status,
}

/// The part of a pod's status that concerns identity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// Phase of its life.
    pub phase: String,
    /// Its address.
    #[serde(rename = "podIP")]
    pub pod_ip: Option<String>,
    /// When the kubelet started it.
    pub start_time: Option<String>,
}

impl Status {
    /// Its address.
    pub fn address(&self) -> Option<IpAddr> {
        self.pod_ip.as_deref()?.parse().ok()
    }

    /// Second since 1970 at which the kubelet started it.
    pub fn start_time(&self) -> Option<i64> {
        self.start_time.as_deref()?.parse::<Timestamp>().ok().map(Timestamp::as_second)
    }
}

/// The part of a pod's spec that concerns identity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    /// Name of the account.
    pub service_account_name: String,
    /// Name of the node.
    pub node_name: String,
    /// Volumes.
    pub volumes: Vec<Volume>,
}

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// Set for a projected volume.
    #[serde(default)]
    pub projected: Option<Projected>,
}

/// A projected volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Projected {
    /// Its sources.
    #[serde(default)]
    pub sources: Vec<Source>,
}

/// A source of a projected volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Set for a certificate.
    #[serde(default)]
    pub pod_certificate: Option<PodCertificate>,
}

/// A certificate in a volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodCertificate {
    /// Its signer.
    pub signer_name: String,
}

/// A Recommender, by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecommenderRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl LivePod {
    /// The Recommender that a serving pod belongs to, according to its labels.
    pub fn serves(&self) -> Option<RecommenderRef> {
        let is_serving = self.label(COMPONENT_LABEL) == Some(Component::Serving.as_str());
        let name = self.label(RECOMMENDER_LABEL).filter(|_| is_serving)?;
        Some(RecommenderRef { namespace: self.metadata.namespace.clone()?, name: name.to_owned() })
    }

    /// The Recommender that the sidecar of an app's pod calls, according to its labels.
    pub fn calls(&self) -> Option<RecommenderRef> {
        let name = self.label(INJECT_LABEL)?;
        let namespace = self.label(NAMESPACE_LABEL).or(self.metadata.namespace.as_deref())?;
        Some(RecommenderRef { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.metadata.labels.as_ref()?.get(name).map(String::as_str)
    }

    /// Whether a volume of the pod asks for a certificate of this signer.
    pub fn asks(&self, signer: &str) -> bool {
        let sources = self.spec.volumes.iter().filter_map(|volume| volume.projected.as_ref());
        let mut certificates =
            sources.flat_map(|projected| &projected.sources).filter_map(|s| s.pod_certificate.as_ref());
        certificates.any(|certificate| certificate.signer_name == signer)
    }
}

impl Resource for LivePod {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Pod".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "pods".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
