//! What a certificate states, as far as webpki does not decide about it.

use rustls::pki_types::CertificateDer;
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    prelude::{FromDer as _, X509Error},
};

use super::{refusal::Refusal, spiffe_id::SpiffeId, validity::Validity};

/// Facts about a certificate. They are not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact by itself")]
pub struct Facts {
    /// Its period.
    pub validity: Validity,
    /// The workload that its only URI names.
    pub id: Result<SpiffeId, Refusal>,
    /// Whether it is that of a CA.
    pub is_ca: bool,
    /// Whether its key may sign certificates or revocation lists.
    pub may_sign: bool,
    /// Whether it may issue certificates: it is that of a CA, and its key usage, if it has one,
    /// includes the signing of certificates.
    pub may_issue: bool,
    /// Extended key usage for servers.
    pub is_for_servers: bool,
    /// Extended key usage for clients.
    pub is_for_clients: bool,
}

impl Facts {
    /// Reads a certificate.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, Refusal> {
        let (rest, parsed) = X509Certificate::from_der(certificate).map_err(|_| Refusal::Malformed)?;
        if !rest.is_empty() {
            return Err(Refusal::Malformed);
        }
        Self::read(&parsed).map_err(|_| Refusal::Malformed)?
    }

    /// The outer error is that of a malformed extension, the inner one that of a malformed name.
    fn read(certificate: &X509Certificate<'_>) -> Result<Result<Self, Refusal>, X509Error> {
        let is_ca = certificate.basic_constraints()?.is_some_and(|extension| extension.value.ca);
        let usage = certificate.key_usage()?.map(|extension| extension.value);
        let extended = certificate.extended_key_usage()?;
        let mut uris = Vec::new();
        for name in certificate.subject_alternative_name()?.iter().flat_map(|names| &names.value.general_names) {
            match name {
                GeneralName::URI(uri) => uris.push(*uri),
                GeneralName::Invalid(..) => return Ok(Err(Refusal::Malformed)),
                _ => {}
            }
        }
        let id = match uris.as_slice() {
            [] => Err(Refusal::NoUri),
            [uri] => uri.parse().map_err(|_| Refusal::SpiffeId),
            _ => Err(Refusal::SeveralUris),
        };
        Ok(Ok(Self {
            validity: Validity {
                not_before: certificate.validity().not_before.timestamp(),
                not_after: certificate.validity().not_after.timestamp(),
            },
            id,
            is_ca,
            may_sign: usage.is_some_and(|usage| usage.key_cert_sign() || usage.crl_sign()),
            may_issue: is_ca && usage.is_none_or(x509_parser::extensions::KeyUsage::key_cert_sign),
            is_for_servers: extended.as_ref().is_some_and(|extension| extension.value.server_auth),
            is_for_clients: extended.as_ref().is_some_and(|extension| extension.value.client_auth),
        }))
    }
}
