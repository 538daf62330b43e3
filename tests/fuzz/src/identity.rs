//! The files of a sidecar's identity, and certificates of peers. An input that is not PEM is taken
//! as one certificate in DER, because mutations rarely find valid base64.

use std::{borrow::Cow, sync::LazyLock, time::Duration};

use mesh::{
    identity::{FileError, Purpose, SpiffeId, TrustAnchors, UnixTime, ValidCredentials, verify},
    limits::{ANCHORS_MAX, CHAIN_CERTIFICATES_MAX},
};
use rustls::{
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// A time at which the seeds are valid.
const NOW: UnixTime = UnixTime::since_unix_epoch(Duration::from_hours(500_000));
const TRUST_DOMAIN: &str = "cluster.local";
/// The only id that the anchors of the seeds issued.
const ISSUED: &str = "spiffe://cluster.local/ns/shop/sa/web";
/// Maximum length of an error, in bytes. It contains no part of the file, so it is short.
const ERROR_BYTES_MAX: usize = 256;

static PROVIDER: LazyLock<CryptoProvider> = LazyLock::new(ring::default_provider);
static ANCHORS: LazyLock<TrustAnchors> =
    LazyLock::new(|| TrustAnchors::parse(include_bytes!("../corpus/identity/anchors")).unwrap());

/// A file as credentials of both sides and as anchors, and its certificates as those of a peer.
/// Returns whether the file can be used.
pub fn identity(input: &[u8]) -> bool {
    let pem = pem(input);
    let credentials = [Purpose::Server, Purpose::Client]
        .map(|purpose| check_credentials(ValidCredentials::parse(&pem, purpose, NOW, &PROVIDER), &pem));
    let anchors = check_anchors(TrustAnchors::parse(&pem), &pem);
    check_peer(&pem);
    credentials.contains(&true) || anchors
}

fn pem(input: &[u8]) -> Cow<'_, [u8]> {
    if input.windows(5).any(|window| window == b"-----") {
        return input.into();
    }
    let base64 = base64_simd::STANDARD.encode_to_string(input);
    format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n").into_bytes().into()
}

fn check_credentials(parsed: Result<ValidCredentials, FileError>, pem: &[u8]) -> bool {
    match parsed {
        Ok(credentials) => {
            assert_eq!(credentials.id.to_string().parse::<SpiffeId>().as_ref(), Ok(&credentials.id));
            assert!(credentials.validity.check(NOW).is_ok(), "not valid now: {:?}", credentials.validity);
            let chain = credentials.certified_key().cert.len();
            assert!((1..=CHAIN_CERTIFICATES_MAX).contains(&chain), "{chain} certificates");
            true
        }
        Err(error) => check_error(&error, pem),
    }
}

fn check_anchors(parsed: Result<TrustAnchors, FileError>, pem: &[u8]) -> bool {
    match parsed {
        Ok(anchors) => {
            assert!((1..=ANCHORS_MAX).contains(&anchors.count()), "{} anchors", anchors.count());
            assert!(anchors.valid(NOW).len() <= anchors.count());
            true
        }
        Err(error) => check_error(&error, pem),
    }
}

/// No error repeats a line of a file that holds a private key.
fn check_error(error: &FileError, pem: &[u8]) -> bool {
    let text = error.to_string();
    assert!(text.len() <= ERROR_BYTES_MAX, "an error of {} bytes", text.len());
    let lines = std::str::from_utf8(pem).unwrap_or_default().lines();
    for line in lines.filter(|line| is_base64(line)) {
        assert!(!text.contains(line), "the error repeats a line of the file: {text}");
    }
    false
}

/// Whether a line may be a part of a key, and is longer than any word of a message.
fn is_base64(line: &str) -> bool {
    line.len() >= 24 && line.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
}

/// Whoever changes a certificate is not accepted under another id.
fn check_peer(pem: &[u8]) {
    let certificates: Result<Vec<CertificateDer<'_>>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let Some((leaf, rest)) = certificates.as_ref().ok().and_then(|all| all.split_first()) else { return };
    let algorithms = &PROVIDER.signature_verification_algorithms;
    for purpose in [Purpose::Server, Purpose::Client] {
        if let Ok(peer) = verify(leaf, rest, &ANCHORS, TRUST_DOMAIN, purpose, NOW, algorithms) {
            assert_eq!(peer.id.to_string(), ISSUED);
            assert!(peer.validity.check(NOW).is_ok(), "not valid now: {:?}", peer.validity);
        }
    }
}
