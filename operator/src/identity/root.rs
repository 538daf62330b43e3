//! A root: the key and the certificate that sign the certificates of pods.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use thiserror::Error;
use time::OffsetDateTime;
use x509_parser::pem::parse_x509_pem;

use super::trust_domain::TrustDomain;

/// Life of a root: ten years. Rotation replaces it earlier.
pub const ROOT_LIFE_SECONDS: i64 = 10 * 365 * 24 * 3600;
/// How far the clocks of nodes may be behind that of the signer.
pub const CLOCK_SKEW_SECONDS: i64 = 60;

/// A root.
pub struct Root {
    pub(super) issuer: Issuer<'static, KeyPair>,
    certificate: String,
    not_after: i64,
}

/// Why a root cannot be made or read.
#[derive(Debug, Error)]
pub enum RootError {
    /// The library of certificates failed.
    #[error("cannot make or read a root")]
    Certificate(#[from] rcgen::Error),
    /// The certificate is not that of a root.
    #[error("the certificate of the root is malformed")]
    Malformed,
    /// The key is not that of the certificate.
    #[error("the key of the root is not that of its certificate")]
    OtherKey,
}

impl Root {
    /// Makes a root at a second since 1970.
    ///
    /// # Errors
    /// Fails if the system provides no random numbers.
    pub fn generate(domain: &TrustDomain, now: i64) -> Result<Self, RootError> {
        let (key, params) = (KeyPair::generate()?, params(domain, now)?);
        let certificate = params.self_signed(&key)?.pem();
        Self::read(&certificate, &key.serialize_pem())
    }

    /// Makes a root that follows this one, and the certificate of its key by this one, as PEM.
    ///
    /// # Errors
    /// Fails if the system provides no random numbers.
    pub fn generate_next(&self, domain: &TrustDomain, now: i64) -> Result<(Self, String), RootError> {
        let (key, mut params) = (KeyPair::generate()?, params(domain, now)?);
        let certificate = params.self_signed(&key)?.pem();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.not_after = date(self.not_after.min(now + ROOT_LIFE_SECONDS))?;
        params.use_authority_key_identifier_extension = true;
        let cross_signed = params.signed_by(&key, &self.issuer)?.pem();
        Ok((Self::read(&certificate, &key.serialize_pem())?, cross_signed))
    }

    /// Reads a root from PEM.
    ///
    /// # Errors
    /// Fails if the texts are not a root, or do not belong together.
    pub fn read(certificate: &str, key: &str) -> Result<Self, RootError> {
        let key = KeyPair::from_pem(key)?;
        let (_, block) = parse_x509_pem(certificate.as_bytes()).map_err(|_| RootError::Malformed)?;
        let parsed = block.parse_x509().map_err(|_| RootError::Malformed)?;
        if !parsed.is_ca() {
            return Err(RootError::Malformed);
        }
        if *parsed.public_key().subject_public_key.data != *key.public_key_raw() {
            return Err(RootError::OtherKey);
        }
        let not_after = parsed.validity().not_after.timestamp();
        let issuer = Issuer::from_ca_cert_pem(certificate, key)?;
        Ok(Self { issuer, certificate: certificate.to_owned(), not_after })
    }

    /// The certificate as PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The private key as PEM.
    pub fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Second since 1970 at which the certificate expires.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }
}

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Root").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// The certificate of a root. Between a root and the certificates of pods there may be one other:
/// that of the next root, during a rotation.
fn params(domain: &TrustDomain, now: i64) -> Result<CertificateParams, RootError> {
    let mut params = CertificateParams::default();
    params.not_before = date(now - CLOCK_SKEW_SECONDS)?;
    params.not_after = date(now + ROOT_LIFE_SECONDS)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.subject_alt_names = vec![SanType::URI(domain.root_id().try_into()?)];
    params.distinguished_name = DistinguishedName::new();
    // Two roots of one domain have different names.
    params.distinguished_name.push(DnType::CommonName, format!("Recmesh root of {now}"));
    Ok(params)
}

/// The date of a second since 1970.
pub(super) fn date(second: i64) -> Result<OffsetDateTime, rcgen::Error> {
    OffsetDateTime::from_unix_timestamp(second).map_err(|_| rcgen::Error::Time)
}
