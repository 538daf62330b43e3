//! The CA that an issuer of cert-manager issues to this installation: reads the Secret of its
//! Certificate, and decides whether sidecars would accept what the CA signs.

use k8s_openapi::jiff::Timestamp;
use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, SubjectPublicKeyInfo};
use rustls_pki_types::{CertificateDer, UnixTime};
use thiserror::Error;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use super::{
    authority::SecretData,
    leaf::{LIFE_SECONDS_MAX, Validity, sign},
    public_key::ProvenKey,
    root::Root,
    trust_domain::TrustDomain,
};

/// Key of the Secret: the certificate of the CA, and those of its issuers.
const CERTIFICATES: &str = "tls.crt";
/// Key of the Secret: the private key of the CA.
const KEY: &str = "tls.key";
/// Key of the Secret: the certificate of the root.
const ROOT: &str = "ca.crt";
/// Max certificates of a key of the Secret: two more than a verifier follows.
const CERTIFICATES_MAX: usize = 8;
/// Tag of a certificate in PEM.
const CERTIFICATE_TAG: &str = "CERTIFICATE";
/// Part of its life that is left when a CA should have been renewed: a quarter. cert-manager renews
/// when a third is left.
const OVERDUE_DIVISOR: i64 = 4;

/// Why the CA of a Secret is not used, or will not be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CaProblem {
    /// A key is missing, empty, or not PEM.
    #[error("key {0} is missing or malformed; expected {expected}", expected = content(.0))]
    Unreadable(&'static str),
    /// There is more than one root.
    #[error("key {ROOT} has {0} certificates; expected one, that of the root")]
    SeveralRoots(usize),
    /// The key cannot sign here.
    #[error("key {KEY} is not supported; expected an ECDSA key of the curve P-256 in PKCS #8")]
    KeyType,
    /// The key is that of another certificate, as after half of a write.
    #[error("key {KEY} does not belong to {CERTIFICATES}; expected the private key of its first certificate")]
    OtherKey,
    /// A certificate does not permit to sign others.
    #[error("key {key}: certificate {number} is not that of a CA; expected the basic constraint CA:TRUE (isCA: true)")]
    NotACa {
        /// Key of the Secret.
        key: &'static str,
        /// Number of the certificate, from 1.
        number: usize,
    },
    /// The key usage of a certificate excludes the signing of certificates.
    #[error(
        "key {key}: certificate {number} excludes the signing of certificates; expected the key usage keyCertSign (cert sign)"
    )]
    KeyUsage {
        /// Key of the Secret.
        key: &'static str,
        /// Number of the certificate, from 1.
        number: usize,
    },
    /// A certificate is not valid now.
    #[error("key {key}: certificate {number} is valid from {begin} to {end}; expected one that is valid now")]
    Period {
        /// Key of the Secret.
        key: &'static str,
        /// Number of the certificate, from 1.
        number: usize,
        /// Begin.
        begin: Timestamp,
        /// End.
        end: Timestamp,
    },
    /// There are more CAs below a certificate than it permits.
    #[error("the path length of a certificate in key {0} is exceeded; expected one that permits the CAs below it")]
    PathLength(&'static str),
    /// The certificates do not lead to the root.
    #[error(
        "key {CERTIFICATES} does not lead to {ROOT}; expected the certificate of the CA, then those of its issuers up to the root"
    )]
    Chain,
    /// The name of the CA cannot be written as the issuer of a certificate.
    #[error(
        "the subject of the first certificate in key {CERTIFICATES} is not supported; expected each attribute once, as text"
    )]
    Subject,
    /// Another rule excludes certificates of the CA.
    #[error(
        "sidecars would refuse certificates of the CA in key {CERTIFICATES}: {0}; expected one without constraints on names and \
         extended key usages"
    )]
    Refused(String),
    /// The CA is used, but its issuer has not renewed it.
    #[error(
        "the CA in key {CERTIFICATES} expires at {0} and is not renewed; expected a renewal when a third of its life is left"
    )]
    NotRenewed(Timestamp),
}

impl CaProblem {
    /// Label of the metric.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::SeveralRoots(_) => "several_roots",
            Self::KeyType => "key_type",
            Self::OtherKey => "other_key",
            Self::NotACa { .. } => "not_a_ca",
            Self::KeyUsage { .. } => "key_usage",
            Self::Period { .. } => "period",
            Self::PathLength(_) => "path_length",
            Self::Chain => "chain",
            Self::Subject => "subject",
            Self::Refused(_) => "refused",
            Self::NotRenewed(_) => "not_renewed",
        }
    }
}

/// What a key of the Secret should have.
fn content(key: &str) -> &'static str {
    match key {
        KEY => "a private key as PEM",
        ROOT => "the certificate of the root as PEM",
        _ => "the certificate of the CA, then those of its issuers, as PEM",
    }
}

/// Reads the CA from the data of its Secret, for a trust domain, at a second since 1970.
///
/// # Errors
/// Returns why it cannot be used.
pub fn read(data: &SecretData, domain: &TrustDomain, now: i64) -> Result<Root, CaProblem> {
    let (certificates, roots) = (certificates(data, CERTIFICATES)?, certificates(data, ROOT)?);
    let [root] = roots.as_slice() else { return Err(CaProblem::SeveralRoots(roots.len())) };
    let [first, ..] = certificates.as_slice() else { return Err(CaProblem::Unreadable(CERTIFICATES)) };
    let signer = checked(first, CERTIFICATES, 1, now)?;
    let key = data.get(KEY).and_then(|key| pem::parse(&key.0).ok()).ok_or(CaProblem::Unreadable(KEY))?;
    let key = KeyPair::try_from(key.contents()).ok().filter(|key| key.is_compatible(&PKCS_ECDSA_P256_SHA256));
    let key = key.ok_or(CaProblem::KeyType)?;
    if *signer.public_key().subject_public_key.data != *key.public_key_raw() {
        return Err(CaProblem::OtherKey);
    }
    let anchor = checked(root, ROOT, 1, now)?;
    let key = key.serialize_pem();
    let check = |(der, number): (&Vec<u8>, usize)| checked(der, CERTIFICATES, number, now).err();
    // A defect of a single certificate is more specific than the lack of a path.
    let path = path(root, &certificates, &signer, &key, domain, now)
        .map_err(|problem| certificates.iter().zip(1..).find_map(check).unwrap_or(problem))?;
    if let Some(problem) = certificates.iter().zip(1..).filter(|(der, _)| path.contains(der)).find_map(check) {
        return Err(problem);
    }
    // Verifiers ignore the path length of an anchor, and openssl does not.
    let permitted = anchor.basic_constraints().ok().flatten();
    let permitted = permitted.and_then(|constraints| constraints.value.path_len_constraint);
    if permitted.is_some_and(|permitted| path.len() > usize::try_from(permitted).unwrap_or(usize::MAX)) {
        return Err(CaProblem::PathLength(ROOT));
    }
    let chain: String = path.iter().map(|der| encode(der)).collect();
    Root::read(&encode(root), &chain, &key).map_err(|error| CaProblem::Refused(error.to_string()))
}

/// Whether a usable CA should have been renewed by its issuer.
pub fn overdue(ca: &Root, now: i64) -> Option<CaProblem> {
    let (life, rest) = (ca.not_after() - ca.not_before(), ca.not_after() - now);
    (rest < life / OVERDUE_DIVISOR).then(|| CaProblem::NotRenewed(timestamp(ca.not_after())))
}

/// The certificates of a key of the Secret in DER.
fn certificates(data: &SecretData, key: &'static str) -> Result<Vec<Vec<u8>>, CaProblem> {
    let blocks = data.get(key).and_then(|text| pem::parse_many(&text.0).ok());
    let blocks = blocks.filter(|blocks| !blocks.is_empty() && blocks.len() <= CERTIFICATES_MAX);
    let blocks = blocks.filter(|blocks| blocks.iter().all(|block| block.tag() == CERTIFICATE_TAG));
    let blocks = blocks.ok_or(CaProblem::Unreadable(key))?;
    Ok(blocks.into_iter().map(Pem::into_contents).collect())
}

/// Parses a certificate that issues others, and checks what verifiers do not check for each
/// certificate.
fn checked<'a>(der: &'a [u8], key: &'static str, number: usize, now: i64) -> Result<X509Certificate<'a>, CaProblem> {
    let parsed = X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty());
    let (_, parsed) = parsed.ok_or(CaProblem::Unreadable(key))?;
    if !parsed.is_ca() {
        return Err(CaProblem::NotACa { key, number });
    }
    let usage = parsed.key_usage().map_err(|_| CaProblem::Unreadable(key))?;
    if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
        return Err(CaProblem::KeyUsage { key, number });
    }
    let [begin, end] = [parsed.validity().not_before, parsed.validity().not_after].map(|at| at.timestamp());
    if !(begin..=end).contains(&now) {
        return Err(CaProblem::Period { key, number, begin: timestamp(begin), end: timestamp(end) });
    }
    Ok(parsed)
}

/// The certificates from that of the CA to one that the root issued: those by which the verifier of
/// sidecars accepts a certificate that the CA signs for a pod.
fn path(
    root: &[u8],
    certificates: &[Vec<u8>],
    signer: &X509Certificate<'_>,
    key: &str,
    domain: &TrustDomain,
    now: i64,
) -> Result<Vec<Vec<u8>>, CaProblem> {
    let attributes = || signer.subject().iter();
    if attributes().count() == 0 || attributes().any(|attribute| attribute.iter().count() != 1) {
        return Err(CaProblem::Subject);
    }
    let refused = |error: &dyn std::error::Error| CaProblem::Refused(error.to_string());
    let first: String = certificates.iter().take(1).map(|der| encode(der)).collect();
    let ca = Root::read(&encode(root), &first, key).map_err(|_| CaProblem::Subject)?;
    let public = SubjectPublicKeyInfo::from_der(signer.public_key().raw).map_err(|error| refused(&error))?;
    let validity = Validity { not_before: now, begin_refresh_at: now, not_after: now + LIFE_SECONDS_MAX };
    let trial = sign(&ca, &domain.account_id("trial", "trial"), &ProvenKey(public), validity);
    let trial = trial.map_err(|error| refused(&error))?;
    let trial = CertificateDer::from(pem::parse(trial).map_err(|error| refused(&error))?.into_contents());
    let issuer = X509Certificate::from_der(&trial).ok().map(|(_, parsed)| parsed.issuer().as_raw().to_vec());
    if issuer.as_deref() != Some(signer.subject().as_raw()) {
        return Err(CaProblem::Subject);
    }
    let root = CertificateDer::from(root);
    let anchors = [anchor_from_trusted_cert(&root).map_err(|_| CaProblem::Unreadable(ROOT))?];
    let intermediates: Vec<CertificateDer<'_>> = certificates.iter().map(|der| der.as_slice().into()).collect();
    let end_entity = EndEntityCert::try_from(&trial).map_err(|error| refused(&error))?;
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.try_into().unwrap_or_default()));
    let verify = |usage: KeyUsage| {
        let verified =
            end_entity.verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, &intermediates, time, usage, None, None);
        verified.map_err(|error| problem_of(&error))
    };
    verify(KeyUsage::server_auth())?;
    let path = verify(KeyUsage::client_auth())?;
    Ok(path.intermediate_certificates().map(|certificate| certificate.der().to_vec()).collect())
}

/// The problem for an error of the verifier.
fn problem_of(error: &webpki::Error) -> CaProblem {
    use webpki::Error;
    match error {
        Error::UnknownIssuer | Error::InvalidSignatureForPublicKey => CaProblem::Chain,
        Error::PathLenConstraintViolated => CaProblem::PathLength(CERTIFICATES),
        error => CaProblem::Refused(error.to_string()),
    }
}

fn encode(der: &[u8]) -> String {
    // As rcgen writes certificates: equal certificates are equal texts.
    pem::encode_config(&Pem::new(CERTIFICATE_TAG, der), EncodeConfig::new().set_line_ending(LineEnding::LF))
}

/// A second since 1970 for a message.
fn timestamp(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or_default()
}
