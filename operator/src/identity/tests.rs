//! Certificates, decisions and rotations. Certificates are verified by the verifier of rustls, by
//! that of sidecars, and by the command openssl, which also makes the requests.

mod certificates;
mod confirmations;
mod decisions;
mod issued;
mod issuer;
mod rotations;

use std::process::{Command, Stdio};

use mesh::identity::{Purpose, Refusal, TrustAnchors};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime, pem::PemObject as _};
use webpki::{EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert, ring::ECDSA_P256_SHA256};

/// Second since 1970 at which the tests sign.
const NOW: i64 = 1_800_000_000;

/// A PKCS#10 request of openssl, with an empty subject like that of the kubelet.
fn request(key: &[&str]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let key_file = directory.path().join("key.pem");
    let mut command = Command::new("openssl");
    command.args(["req", "-new", "-nodes", "-batch", "-subj", "/", "-outform", "DER", "-newkey"]).args(key);
    let made = command.arg("-keyout").arg(key_file).stderr(Stdio::null()).output().unwrap();
    assert!(made.status.success() && !made.stdout.is_empty(), "openssl makes no request: {key:?}");
    made.stdout
}

/// A request with a key of the supported type.
fn p256_request() -> Vec<u8> {
    request(&["ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
}

/// Whether a chain of certificates is valid for anchors at a second since 1970, by the verifier of
/// rustls.
fn verify(chain: &str, anchors: &str, usage: KeyUsage, second: i64) -> Result<(), Error> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes()).map(Result::unwrap).collect();
    let (certificate, intermediates) = chain.split_first().unwrap();
    let anchors: Vec<_> = CertificateDer::pem_slice_iter(anchors.as_bytes()).map(Result::unwrap).collect();
    let anchors: Vec<TrustAnchor> = anchors.iter().map(|anchor| anchor_from_trusted_cert(anchor).unwrap()).collect();
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(second.try_into().unwrap()));
    let certificate = EndEntityCert::try_from(certificate)?;
    certificate.verify_for_usage(&[ECDSA_P256_SHA256], &anchors, intermediates, time, usage, None, None).map(drop)
}

/// The id that a sidecar with these anchors reads from the chain of a peer.
fn sidecar_accepts(chain: &str, anchors: &str, purpose: Purpose, second: i64) -> Result<String, Refusal> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes()).map(Result::unwrap).collect();
    let (certificate, intermediates) = chain.split_first().unwrap();
    let anchors = TrustAnchors::parse(anchors.as_bytes()).unwrap();
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(second.try_into().unwrap()));
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let peer =
        mesh::identity::verify(certificate, intermediates, &anchors, "films.example", purpose, time, &algorithms);
    peer.map(|peer| peer.id.to_string())
}

/// Whether openssl accepts a chain, at any time.
fn openssl_accepts(chain: &str, anchors: &str) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let (chain, anchors) = (file("chain.pem", chain), file("anchors.pem", anchors));
    let mut command = Command::new("openssl");
    command.args(["verify", "-x509_strict", "-no_check_time", "-purpose", "sslclient", "-CAfile"]).arg(anchors);
    // The leaf is the first certificate of the file.
    let verified = command.arg("-untrusted").arg(&chain).arg(&chain).output().unwrap();
    verified.status.success()
}
