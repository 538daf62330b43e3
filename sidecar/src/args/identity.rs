//! Options of the identity of a pod.

use std::path::PathBuf;

use clap::Args;
use mesh::identity::{IdentityPaths, IdentitySettings};

/// The identity of the pod. With it connections between sidecars use mutual TLS.
#[derive(Debug, Args)]
pub struct IdentityArgs {
    /// File with the private key and the certificate chain of this pod, as PEM; read again every
    /// 10 s.
    #[arg(long, value_name = "FILE", requires = "anchors")]
    pub credentials: Option<PathBuf>,
    /// File with the certificates of the trust anchors, as PEM; read again every 10 s.
    #[arg(long, value_name = "FILE", requires = "credentials")]
    pub anchors: Option<PathBuf>,
}

impl IdentityArgs {
    /// The identity, if one is given.
    pub fn settings(&self) -> Option<IdentitySettings> {
        let (credentials, anchors) = (self.credentials.clone()?, self.anchors.clone()?);
        Some(IdentitySettings::new(IdentityPaths { credentials, anchors }))
    }
}
