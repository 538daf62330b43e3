//! What signs the certificates of pods: a root, or a CA below a root of an issuer.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use thiserror::Error;
use time::OffsetDateTime;
use x509_parser::pem::Pem;

use super::trust_domain::TrustDomain;

/// Life of a root: ten years. Rotation replaces it earlier.
pub const ROOT_LIFE_SECONDS: i64 = 10 * 365 * 24 * 3600;
/// How far the clocks of nodes may be behind that of the signer.
pub const CLOCK_SKEW_SECONDS: i64 = 60;

/// A root, with the key that signs: its own, or that of a CA below it.
pub struct Root {
    pub(super) issuer: Issuer<'static, KeyPair>,
    certificate: String,
    chain: String,
    not_before: i64,
    not_after: i64,
    certificate_not_after: i64,
}

/// Why a root cannot be made or read.
#[derive(Debug, Error)]
pub enum RootError {
    /// The library of certificates failed.
    #[error("cannot make or read a root")]
    Certificate(#[from] rcgen::Error),
    /// A certificate is not that of a CA.
    #[error("a certificate of the root is malformed")]
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
        Self::read(&certificate, "", &key.serialize_pem())
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
        Ok((Self::read(&certificate, "", &key.serialize_pem())?, cross_signed))
    }

    /// Reads a root from PEM. `chain` has the certificates from that of the key to one that the
    /// root signed; it is empty if the key is that of the root.
    ///
    /// # Errors
    /// Fails if the texts are not certificates of CAs, or do not belong together.
    pub fn read(certificate: &str, chain: &str, key: &str) -> Result<Self, RootError> {
        let key = KeyPair::from_pem(key)?;
        let texts = [chain, certificate].concat();
        let blocks: Result<Vec<Pem>, _> = Pem::iter_from_buffer(texts.as_bytes()).collect();
        let blocks = blocks.map_err(|_| RootError::Malformed)?;
        let parsed: Result<Vec<_>, _> = blocks.iter().map(Pem::parse_x509).collect();
        let parsed = parsed.map_err(|_| RootError::Malformed)?;
        let (Some(signer), Some(root)) = (parsed.first(), parsed.last()) else { return Err(RootError::Malformed) };
        if !parsed.iter().all(|certificate| certificate.is_ca()) {
            return Err(RootError::Malformed);
        }
        if *signer.public_key().subject_public_key.data != *key.public_key_raw() {
            return Err(RootError::OtherKey);
        }
        // What is signed is valid only while all certificates above it are.
        let begins = parsed.iter().map(|certificate| certificate.validity().not_before.timestamp());
        let ends = parsed.iter().map(|certificate| certificate.validity().not_after.timestamp());
        let certificate_not_after = root.validity().not_after.timestamp();
        let (not_before, not_after) = (begins.max().unwrap_or_default(), ends.min().unwrap_or_default());
        let issuer = Issuer::from_ca_cert_pem(if chain.is_empty() { certificate } else { chain }, key)?;
        let (certificate, chain) = (certificate.to_owned(), chain.to_owned());
        Ok(Self { issuer, certificate, chain, not_before, not_after, certificate_not_after })
    }

    /// A copy with the same key.
    ///
    /// # Errors
    /// Fails only if [`Self::read`] does.
    pub fn copy(&self) -> Result<Self, RootError> {
        Self::read(&self.certificate, &self.chain, &self.key())
    }

    /// The certificate of the root as PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The certificates between the root and those of pods, as PEM; empty if the root signs.
    pub fn chain(&self) -> &str {
        &self.chain
    }

    /// Whether an issuer issued it: the key is not that of the root.
    pub fn is_issued(&self) -> bool {
        !self.chain.is_empty()
    }

    /// The private key as PEM.
    pub fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// First second since 1970 at which what it signs is valid.
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// Last second since 1970 at which what it signs is valid.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// Last second since 1970 at which the certificate of the root is valid.
    pub fn certificate_not_after(&self) -> i64 {
        self.certificate_not_after
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
