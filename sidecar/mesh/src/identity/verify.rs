//! The decision about the certificate of a peer. It has no I/O and no state.

use rustls::{
    crypto::WebPkiSupportedAlgorithms,
    pki_types::{CertificateDer, UnixTime},
};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use super::{
    anchors::TrustAnchors, credentials::Purpose, facts::Facts, refusal::Refusal, spiffe_id::SpiffeId,
    validity::Validity,
};
use crate::limits::CHAIN_CERTIFICATES_MAX;

/// A peer whose certificate is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub id: SpiffeId,
    /// Period of its certificate.
    pub validity: Validity,
}

/// Verifies the certificate chain of a peer: a path to an anchor that is valid now, then the rules
/// for a leaf, then the trust domain.
///
/// # Errors
/// The first rule that is broken.
pub fn verify(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    anchors: &TrustAnchors,
    trust_domain: &str,
    purpose: Purpose,
    now: UnixTime,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<Peer, Refusal> {
    if intermediates.len() >= CHAIN_CERTIFICATES_MAX {
        return Err(Refusal::Malformed);
    }
    let facts = Facts::of(leaf)?;
    facts.validity.check(now)?;
    let end_entity = EndEntityCert::try_from(leaf).map_err(|error| refusal_of(&error))?;
    // A missing extended key usage is refused below: intermediates need not have one.
    let usage = match purpose {
        Purpose::Server => KeyUsage::server_auth(),
        Purpose::Client => KeyUsage::client_auth(),
    };
    let (anchors, time) = (anchors.valid(now), facts.validity.nearest(now));
    end_entity
        .verify_for_usage(algorithms.all, &anchors, intermediates, time, usage, None, Some(&may_issue))
        .map_err(|error| refusal_of(&error))?;
    let id = purpose.check(&facts)?;
    if id.trust_domain != trust_domain {
        return Err(Refusal::TrustDomain);
    }
    Ok(Peer { id: id.clone(), validity: facts.validity })
}

/// Rejects a path with an authority whose key usage excludes the signing of certificates, which
/// webpki does not check.
fn may_issue(path: &VerifiedPath<'_>) -> Result<(), webpki::Error> {
    let may_issue = |facts: Facts| facts.may_issue;
    let all = path.intermediate_certificates().all(|certificate| Facts::of(&certificate.der()).is_ok_and(may_issue));
    if all { Ok(()) } else { Err(webpki::Error::UnknownIssuer) }
}

/// The reason for an error of webpki.
fn refusal_of(error: &webpki::Error) -> Refusal {
    use webpki::Error;
    match error {
        Error::CertExpired { .. } => Refusal::Expired,
        Error::CertNotValidYet { .. } => Refusal::NotYetValid,
        Error::CaUsedAsEndEntity => Refusal::CaCertificate,
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => Refusal::KeyUsage,
        Error::BadDer
        | Error::BadDerTime
        | Error::ExtensionValueInvalid
        | Error::InvalidCertValidity
        | Error::InvalidSerialNumber
        | Error::MalformedExtensions
        | Error::SignatureAlgorithmMismatch
        | Error::TrailingData(_)
        | Error::UnsupportedCertVersion
        | Error::UnsupportedCriticalExtension => Refusal::Malformed,
        _ => Refusal::Untrusted,
    }
}
