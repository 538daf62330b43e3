//! The CustomResourceDefinition: the derived schema, made structural, with the rules and defaults that types cannot say.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

use crate::Recommender;

/// Largest CRD file in bytes; client-side `kubectl apply` keeps a copy in an annotation of at most 256 KiB.
pub const CRD_BYTES_MAX: usize = 100 * 1024;

/// The definition that `crds/recommenders.yaml` holds.
pub fn crd() -> CustomResourceDefinition {
    Recommender::crd()
}

/// [`crd()`] as the file holds it.
pub fn crd_yaml() -> String {
    serde_yaml_ng::to_string(&crd()).unwrap_or_default()
}
