//! Certificates for tests: authorities, and leaves in which each property that a verifier checks
//! can be wrong.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc)] // A test may panic.

use std::path::Path;

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
pub use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};
use time::OffsetDateTime;

/// Days in seconds.
pub const DAY: i64 = 86_400;

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
}

/// A certificate and its private key.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate as DER.
    pub certificate: Vec<u8>,
    /// The private key as DER (PKCS#8).
    pub key: Vec<u8>,
    /// Private key, then certificate, as PEM.
    pub pem: String,
}

/// What a certificate states.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// URIs.
    pub uris: Vec<String>,
    /// DNS names.
    pub dns_names: Vec<String>,
    /// Whether it is that of a CA.
    pub is_ca: bool,
    /// Key usages.
    pub key_usages: Vec<KeyUsagePurpose>,
    /// Extended key usages.
    pub extended_key_usages: Vec<ExtendedKeyUsagePurpose>,
    /// First second.
    pub not_before: i64,
    /// Last second.
    pub not_after: i64,
}

impl Leaf {
    /// A valid certificate for both sides of a connection: from a minute before `now` to an hour
    /// after it.
    pub fn valid(uri: &str, now: i64) -> Self {
        Self {
            uris: vec![uri.to_owned()],
            dns_names: Vec::new(),
            is_ca: false,
            key_usages: vec![KeyUsagePurpose::DigitalSignature],
            extended_key_usages: vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            not_before: now - 60,
            not_after: now + 3600,
        }
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "leaf");
        let uris = self.uris.iter().map(|uri| SanType::URI(uri.as_str().try_into().unwrap()));
        let names = self.dns_names.iter().map(|name| SanType::DnsName(name.as_str().try_into().unwrap()));
        params.subject_alt_names = uris.chain(names).collect();
        params.is_ca = if self.is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
        params.key_usages.clone_from(&self.key_usages);
        params.extended_key_usages.clone_from(&self.extended_key_usages);
        (params.not_before, params.not_after) = (date(self.not_before), date(self.not_after));
        params
    }
}

impl Authority {
    /// A new authority with this name, valid from a day before `now` to ten years after it.
    pub fn new(name: &str, now: i64) -> Self {
        Self::with_period(name, now - DAY, now + 3650 * DAY)
    }

    /// A new authority with this period.
    pub fn with_period(name: &str, not_before: i64, not_after: i64) -> Self {
        let (params, key) = (authority_params(name, not_before, not_after), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// An authority that this one issues.
    #[must_use]
    pub fn intermediate(&self, name: &str, now: i64) -> Self {
        let (params, key) = (authority_params(name, now - DAY, now + 365 * DAY), KeyPair::generate().unwrap());
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// The certificate as DER.
    pub fn der(&self) -> &[u8] {
        self.certificate.der()
    }

    /// The certificate as PEM.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// Issues a certificate with a new key.
    pub fn issue(&self, leaf: &Leaf) -> Issued {
        let key = KeyPair::generate().unwrap();
        let certificate = leaf.params().signed_by(&key, &self.issuer).unwrap();
        Issued::new(&certificate, &key)
    }
}

impl Issued {
    /// A certificate that its own key signs.
    pub fn self_signed(leaf: &Leaf) -> Self {
        let key = KeyPair::generate().unwrap();
        Self::new(&leaf.params().self_signed(&key).unwrap(), &key)
    }

    fn new(certificate: &Certificate, key: &KeyPair) -> Self {
        let pem = format!("{}{}", key.serialize_pem(), certificate.pem());
        Self { certificate: certificate.der().to_vec(), key: key.serialize_der(), pem }
    }
}

/// Replaces a file at once, as the kubelet does.
pub fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, content).unwrap();
    std::fs::rename(new, path).unwrap();
}

fn authority_params(name: &str, not_before: i64, not_after: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (date(not_before), date(not_after));
    params
}

fn date(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}
