//! The CAs of an issuer, and the Secret that cert-manager writes.

use k8s_openapi::ByteString;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use super::NOW;
use crate::identity::{
    TrustDomain,
    authority::SecretData,
    issued_ca::{self, CaProblem},
    root::{Root, date},
};

/// Life of a CA below the root, as the chart requests it.
pub const CA_LIFE_SECONDS: i64 = 90 * 24 * 3600;

/// A CA of an issuer.
pub struct Ca {
    params: CertificateParams,
    key: KeyPair,
    pub pem: String,
}

impl Ca {
    /// A root that is valid from an hour before `NOW`.
    pub fn root(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (mut params, key) = (params(name, NOW - 3600), KeyPair::generate().unwrap());
        params.not_after = date(NOW + 10 * CA_LIFE_SECONDS).unwrap();
        change(&mut params);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { params, key, pem }
    }

    /// A CA below this one with a new key, from a second on.
    pub fn issue(&self, name: &str, begin: i64, change: impl FnOnce(&mut CertificateParams)) -> Self {
        self.issue_for(KeyPair::generate().unwrap(), name, begin, change)
    }

    /// A CA below this one with this key.
    pub fn issue_for(&self, key: KeyPair, name: &str, begin: i64, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = params(name, begin);
        change(&mut params);
        let pem = params.signed_by(&key, &Issuer::from_params(&self.params, &self.key)).unwrap().pem();
        Self { params, key, pem }
    }

    /// The private key as PEM.
    pub fn key(&self) -> String {
        self.key.serialize_pem()
    }
}

fn params(name: &str, begin: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = (date(begin).unwrap(), date(begin + CA_LIFE_SECONDS).unwrap());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    params
}

/// The data of the Secret for a chain, of which the first signs.
pub fn secret(chain: &[&Ca], root: &Ca) -> SecretData {
    let certificates: String = chain.iter().map(|ca| ca.pem.as_str()).collect();
    texts([("tls.crt", &certificates), ("tls.key", &chain[0].key()), ("ca.crt", &root.pem)])
}

/// The data of a Secret.
pub fn texts<const N: usize>(texts: [(&str, &str); N]) -> SecretData {
    texts.into_iter().map(|(key, text)| (key.to_owned(), ByteString(text.as_bytes().to_vec()))).collect()
}

/// Reads the data of the Secret.
pub fn read(data: &SecretData, now: i64) -> Result<Root, CaProblem> {
    issued_ca::read(data, &TrustDomain::parse("films.example").unwrap(), now)
}
