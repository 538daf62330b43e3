//! Why a connection with mutual TLS was refused: a closed set, for metrics.

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// The first bytes are not TLS.
    #[error("the peer does not speak TLS")]
    NotTls,
    /// Another version of TLS, or not HTTP/2.
    #[error("the peer does not speak TLS 1.3 with HTTP/2 (ALPN h2)")]
    Protocol,
    /// The handshake took too long.
    #[error("the handshake timed out")]
    TimedOut,
    /// The peer closed the connection during the handshake.
    #[error("the peer closed the connection during the handshake")]
    Closed,
    /// The peer sent an alert: it refuses our certificate, or does not support what we do.
    #[error("the peer refused our certificate or protocol")]
    RefusedByPeer,
    /// Our own files are missing or were never good.
    #[error("the own certificate or the trust anchors are not loaded")]
    NoIdentity,
    /// The peer has no certificate.
    #[error("the peer has no certificate")]
    NoCertificate,
    /// The certificate cannot be parsed, or has an unknown critical extension.
    #[error("the certificate is malformed")]
    Malformed,
    /// No chain to a trust anchor, or a wrong signature.
    #[error("the certificate is not issued by a trust anchor")]
    Untrusted,
    /// The validity begins later.
    #[error("the certificate is not yet valid")]
    NotYetValid,
    /// The validity has ended.
    #[error("the certificate is expired")]
    Expired,
    /// The certificate may issue others.
    #[error("the certificate is that of a CA, or may sign certificates")]
    CaCertificate,
    /// The certificate is not for this side of a connection.
    #[error("the certificate lacks the extended key usage for this side of the connection")]
    KeyUsage,
    /// The certificate has no URI.
    #[error("the certificate has no URI")]
    NoUri,
    /// The certificate has several URIs.
    #[error("the certificate has several URIs")]
    SeveralUris,
    /// The URI is not the SPIFFE id of a workload.
    #[error("the URI of the certificate is not spiffe://<trust domain>/ns/<namespace>/sa/<service account>")]
    SpiffeId,
    /// The id is of another trust domain.
    #[error("the certificate is of another trust domain")]
    TrustDomain,
    /// The caller may not ask this Recommender.
    #[error("spec.access of the Recommender does not allow this caller")]
    NotAllowed,
    /// The server is not that of the Recommender.
    #[error("the server is not a serving pod of the Recommender")]
    WrongServer,
}

impl Refusal {
    /// All reasons.
    pub const ALL: [Self; 19] = [
        Self::NotTls,
        Self::Protocol,
        Self::TimedOut,
        Self::Closed,
        Self::RefusedByPeer,
        Self::NoIdentity,
        Self::NoCertificate,
        Self::Malformed,
        Self::Untrusted,
        Self::NotYetValid,
        Self::Expired,
        Self::CaCertificate,
        Self::KeyUsage,
        Self::NoUri,
        Self::SeveralUris,
        Self::SpiffeId,
        Self::TrustDomain,
        Self::NotAllowed,
        Self::WrongServer,
    ];

    /// Name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotTls => "not-tls",
            Self::Protocol => "protocol",
            Self::TimedOut => "timed-out",
            Self::Closed => "closed",
            Self::RefusedByPeer => "refused-by-peer",
            Self::NoIdentity => "no-identity",
            Self::NoCertificate => "no-certificate",
            Self::Malformed => "malformed",
            Self::Untrusted => "untrusted",
            Self::NotYetValid => "not-yet-valid",
            Self::Expired => "expired",
            Self::CaCertificate => "ca-certificate",
            Self::KeyUsage => "key-usage",
            Self::NoUri => "no-uri",
            Self::SeveralUris => "several-uris",
            Self::SpiffeId => "spiffe-id",
            Self::TrustDomain => "trust-domain",
            Self::NotAllowed => "not-allowed",
            Self::WrongServer => "wrong-server",
        }
    }
}
