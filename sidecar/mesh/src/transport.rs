//! How connections to serving pods are protected.

use http::HeaderValue;

use crate::identity::ClientTls;

/// Protection of connections.
#[derive(Clone, Debug, Default)]
pub enum Transport {
    /// None: the network is trusted.
    #[default]
    Plaintext,
    /// Mutual TLS.
    MutualTls(ClientTls),
}

impl Transport {
    /// Scheme in requests.
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Plaintext => "http",
            Self::MutualTls(_) => "https",
        }
    }

    /// The digest of the own trust anchors, with mutual TLS.
    pub fn anchors(&self) -> Option<HeaderValue> {
        match self {
            Self::Plaintext => None,
            Self::MutualTls(tls) => tls.anchors(),
        }
    }
}
