//! Identity of sidecars: what a signer of PodCertificateRequests decides and writes. Pure; the
//! shell is [`crate::signer`].
//!
//! The kubelet makes a key, and asks for a certificate of a pod in a [`PodCertificateRequest`]. The
//! signer compares the request with the live pod ([`mod@decide`]), and signs a certificate
//! ([`leaf`]) whose only name is `spiffe://<trust domain>/ns/<namespace>/sa/<account>`. The roots
//! and the state of their rotation are an [`authority::Authority`], which is stored in one Secret. In
//! place of a root of the operator, a CA of an issuer can sign ([`issued_ca`]).

pub mod authority;
pub mod cluster_trust_bundle;
pub mod confirmation;
pub mod decide;
pub mod issued_ca;
pub mod leaf;
pub mod live_pod;
pub mod pod_certificate_request;
pub mod public_key;
pub mod root;
pub mod rotation;
pub mod trust_domain;
pub mod volumes;

pub use self::{
    cluster_trust_bundle::ClusterTrustBundle, pod_certificate_request::PodCertificateRequest, trust_domain::TrustDomain,
};

#[cfg(test)]
mod tests;
