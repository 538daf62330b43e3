//! How a handshake ended.

use std::{fmt, io, time::Duration};

use rustls::{CertificateError, Error, InvalidMessage, pki_types::CertificateDer};

use super::{
    connection_age::age_max, credentials::ValidCredentials, current::Identity, facts::Facts, refusal::Refusal,
    spiffe_id::SpiffeId, verifier::Rejected, verify::Peer,
};

/// A connection whose peer is verified.
#[derive(Debug)]
pub struct Established<S> {
    /// The encrypted stream.
    pub stream: S,
    /// The own id.
    pub own: SpiffeId,
    /// The peer.
    pub peer: Peer,
    /// Maximum age of the connection.
    pub age_max: Duration,
}

/// A connection that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub reason: Refusal,
    /// The own id, if there is one.
    pub own: Option<Box<SpiffeId>>,
    /// The id that the certificate of the peer states. It is verified only for
    /// [`Refusal::NotAllowed`] and [`Refusal::WrongServer`].
    pub claimed: Option<Box<SpiffeId>>,
    /// The error of TLS, if it tells more than the reason.
    pub detail: Option<String>,
}

impl std::error::Error for Refused {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = |id: &Option<Box<SpiffeId>>| id.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string);
        write!(f, "{} (own id {}, peer {})", self.reason, id(&self.own), id(&self.claimed))?;
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, ": {detail}"))
    }
}

impl Refused {
    /// A refusal without more than its reason.
    pub fn new(reason: Refusal, own: Option<SpiffeId>) -> Self {
        Self { reason, own: own.map(Box::new), claimed: None, detail: None }
    }

    /// The refusal in the error of a handshake.
    pub fn of(error: &io::Error, own: SpiffeId) -> Self {
        let own = Some(own);
        let Some(tls) = error.get_ref().and_then(|error| error.downcast_ref::<Error>()) else {
            return Self { detail: Some(error.to_string()), ..Self::new(Refusal::Closed, own) };
        };
        if let Error::InvalidCertificate(CertificateError::Other(other)) = tls
            && let Some(Rejected { reason, claimed }) = other.0.downcast_ref()
        {
            return Self { claimed: claimed.clone().map(Box::new), ..Self::new(*reason, own) };
        }
        Self { detail: Some(tls.to_string()), ..Self::new(reason_of(tls), own) }
    }
}

/// The reason for an error of rustls outside our own checks.
fn reason_of(error: &Error) -> Refusal {
    match error {
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge,
        ) => Refusal::NotTls,
        Error::NoCertificatesPresented => Refusal::NoCertificate,
        Error::AlertReceived(_) => Refusal::RefusedByPeer,
        // The signature of the handshake is not that of the certificate's key.
        Error::InvalidCertificate(CertificateError::BadSignature) => Refusal::Untrusted,
        Error::InvalidCertificate(_) => Refusal::Malformed,
        _ => Refusal::Protocol,
    }
}

/// The verified peer of a connection, from its certificate.
pub fn established<S>(
    stream: S,
    identity: &Identity,
    own: &ValidCredentials,
    leaf: Option<&CertificateDer<'_>>,
    random: f64,
) -> Result<Established<S>, Refused> {
    let refused = |reason| Refused::new(reason, Some(own.id.clone()));
    let facts = Facts::of(leaf.ok_or_else(|| refused(Refusal::NoCertificate))?).map_err(refused)?;
    let peer = Peer { id: facts.id.map_err(refused)?, validity: facts.validity };
    let age_max = age_max(own.validity, peer.validity, identity.now(), random);
    Ok(Established { stream, own: own.id.clone(), peer, age_max })
}
