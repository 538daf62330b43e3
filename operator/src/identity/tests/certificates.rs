//! Roots, certificates of pods, and the proof of a key.

use std::{fs, process::Command};

use webpki::{EndEntityCert, Error, KeyUsage};

use super::{NOW, p256_request, request, verify};
use crate::identity::{
    TrustDomain,
    leaf::{Validity, sign},
    public_key::{KeyProblem, proven},
    root::{ROOT_LIFE_SECONDS, Root},
};

const ID: &str = "spiffe://films.example/ns/shop/sa/web";

fn root() -> Root {
    Root::generate(&TrustDomain::parse("films.example").unwrap(), NOW).unwrap()
}

fn signed(root: &Root, max_expiration_seconds: Option<i32>) -> (String, Validity) {
    let validity = Validity::new(NOW, max_expiration_seconds, root).unwrap();
    let key = proven(&p256_request()).unwrap();
    (sign(root, ID, &key, validity).unwrap(), validity)
}

#[test]
fn a_certificate_is_valid_for_its_root_within_its_time_in_both_directions() {
    let root = root();
    let other = Root::generate(&TrustDomain::parse("films.example").unwrap(), NOW + 1).unwrap();
    let (certificate, validity) = signed(&root, None);
    assert_eq!((validity.not_before, validity.not_after), (NOW - 60, NOW - 60 + 86_400));
    assert_eq!(validity.begin_refresh_at, NOW - 60 + 43_200);
    for usage in [KeyUsage::client_auth, KeyUsage::server_auth] {
        let verify = |anchors: &str, second| verify(&certificate, anchors, usage(), second);
        for second in [NOW - 60, NOW, NOW - 60 + 86_400] {
            assert_eq!(verify(root.certificate(), second), Ok(()), "{}", second - NOW);
        }
        assert!(matches!(verify(root.certificate(), NOW - 61), Err(Error::CertNotValidYet { .. })));
        assert!(matches!(verify(root.certificate(), NOW - 60 + 86_401), Err(Error::CertExpired { .. })));
        assert_eq!(verify(other.certificate(), NOW), Err(Error::UnknownIssuer));
    }
}

#[test]
fn the_only_name_of_a_certificate_is_the_id_and_it_is_not_a_ca() {
    use rustls_pki_types::{CertificateDer, pem::PemObject as _};

    let (pem, _) = signed(&root(), None);
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let certificate = EndEntityCert::try_from(&der).unwrap();
    assert_eq!(certificate.valid_uri_names().collect::<Vec<_>>(), [ID]);
    assert_eq!(certificate.valid_dns_names().count(), 0);
    // openssl reads the same, and the subject is empty.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("leaf.pem");
    fs::write(&file, &pem).unwrap();
    let text = Command::new("openssl").args(["x509", "-noout", "-text", "-in"]).arg(&file).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    let names =
        "X509v3 Subject Alternative Name: critical\n                URI:spiffe://films.example/ns/shop/sa/web\n";
    for expected in [
        names,
        "Subject: \n",
        "CA:FALSE",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "TLS Web Server Authentication, TLS Web Client Authentication",
    ] {
        assert!(text.contains(expected), "expected {expected:?} in:\n{text}");
    }
}

#[test]
fn openssl_accepts_the_certificate_under_strict_rules() {
    let root = root();
    let (certificate, _) = signed(&root, Some(7200));
    let directory = tempfile::tempdir().unwrap();
    let [root_file, leaf_file] = ["root.pem", "leaf.pem"].map(|name| directory.path().join(name));
    fs::write(&root_file, root.certificate()).unwrap();
    fs::write(&leaf_file, certificate).unwrap();
    let verify = |purpose: &str, second: i64| {
        let mut command = Command::new("openssl");
        command.args(["verify", "-x509_strict", "-purpose", purpose, "-attime", &second.to_string(), "-CAfile"]);
        command.arg(&root_file).arg(&leaf_file).output().unwrap().status.success()
    };
    for purpose in ["sslclient", "sslserver"] {
        assert!(verify(purpose, NOW) && verify(purpose, NOW - 60 + 7199), "{purpose}");
        assert!(!verify(purpose, NOW - 62) && !verify(purpose, NOW - 60 + 7202), "{purpose}");
    }
}

#[test]
fn a_life_is_at_most_a_day_at_most_as_requested_and_at_most_that_of_the_root() {
    let root = root();
    let life = |now, requested| Validity::new(now, requested, &root).map(|v| v.not_after - v.not_before);
    assert_eq!(life(NOW, Some(3600)), Some(3600));
    assert_eq!(life(NOW, Some(86_400)), Some(86_400));
    assert_eq!(life(NOW, Some(7_862_400)), Some(86_400));
    let end = NOW + ROOT_LIFE_SECONDS;
    assert_eq!(life(end - 7200 + 60, None), Some(7200));
    assert_eq!(life(end - 3599 + 60, None), None, "less than the API server accepts");
}

#[test]
fn only_p256_keys_are_supported() {
    let unsupported: [&[&str]; 5] = [
        &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
        &["ec", "-pkeyopt", "ec_paramgen_curve:P-521"],
        &["rsa:3072"],
        &["rsa:4096"],
        &["ed25519"],
    ];
    for key in unsupported {
        assert_eq!(proven(&request(key)), Err(KeyProblem::Unsupported), "{key:?}");
    }
    assert!(proven(&p256_request()).is_ok());
}

#[test]
fn no_changed_bit_of_what_is_signed_or_of_the_signature_leaves_a_request_proven() {
    let request = p256_request();
    // A sequence of the signed part, the algorithm, and the signature, in DER. The header of the
    // outer sequence and the algorithm are not signed.
    let header = |at: usize| if request[at + 1] < 0x80 { 2 } else { 2 + usize::from(request[at + 1] & 0x7f) };
    let signed_from = header(0);
    let length = header(signed_from);
    let signed_bytes =
        request[signed_from + 2..signed_from + length].iter().fold(0, |sum, b| sum << 8 | usize::from(*b));
    let signed_bytes = if length == 2 { usize::from(request[signed_from + 1]) } else { signed_bytes };
    let signed = signed_from..signed_from + length + signed_bytes;
    let signature = request.len() - 60..request.len();
    assert!(signed.len() > 90 && signed.end < signature.start);
    for position in signed.chain(signature) {
        for bit in 0..8 {
            let mut changed = request.clone();
            changed[position] ^= 1 << bit;
            assert!(proven(&changed).is_err(), "bit {bit} of byte {position}");
        }
    }
    assert_eq!(proven(&[request.as_slice(), &[0]].concat()), Err(KeyProblem::Unproven));
    assert_eq!(proven(&[]), Err(KeyProblem::Unproven));
    assert_eq!(proven(&vec![0x30; 1 << 20]), Err(KeyProblem::Unproven));
}

#[test]
fn a_root_is_read_only_with_its_own_key() {
    let (a, b) = (root(), root());
    let read = Root::read(a.certificate(), "", &a.key()).unwrap();
    assert_eq!((read.certificate(), read.not_after()), (a.certificate(), NOW + ROOT_LIFE_SECONDS));
    assert!(Root::read(a.certificate(), "", &b.key()).is_err());
    let (leaf, _) = signed(&a, None);
    assert!(Root::read(&leaf, "", &a.key()).is_err(), "the certificate of a pod is not a root");
}
