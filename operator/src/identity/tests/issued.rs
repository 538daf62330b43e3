//! CAs of issuers: which are used, why others are not, and that pods accept what they sign.

use std::{fs, process::Command};

use k8s_openapi::jiff::Timestamp;
use mesh::identity::{Purpose, Refusal};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use webpki::KeyUsage;

use super::{
    NOW,
    issuer::{CA_LIFE_SECONDS, Ca, read, secret, texts},
    openssl_accepts, p256_request, sidecar_accepts, verify,
};
use crate::identity::{
    TrustDomain,
    authority::{Authority, SecretData},
    issued_ca::overdue,
    leaf::{Validity, sign},
    public_key::proven,
    root::{Root, date},
};

const DAY: i64 = 86_400;

fn unchanged(_: &mut CertificateParams) {}

/// A root, a CA below it, and the CA below that, which signs.
fn three() -> [Ca; 3] {
    let root = Ca::root("root", unchanged);
    let region = root.issue("region", NOW - 60, unchanged);
    let ca = region.issue("ca", NOW - 60, unchanged);
    [root, region, ca]
}

/// The certificate of a pod with its chain, as it is answered.
fn signed(ca: Root, now: i64) -> (String, Authority) {
    let authority = Authority::with_root(TrustDomain::parse("films.example").unwrap(), ca);
    let validity = Validity::new(now, None, &authority.root).unwrap();
    let id = authority.trust_domain.account_id("shop", "web");
    let leaf = sign(&authority.root, &id, &proven(&p256_request()).unwrap(), validity).unwrap();
    (leaf + &authority.intermediates(), authority)
}

fn count(pem: &str) -> usize {
    CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).count()
}

#[test]
fn certificates_have_the_ca_in_their_chain_and_the_root_alone_is_an_anchor() {
    let [root, region, ca] = three();
    let (chain, authority) = signed(read(&secret(&[&ca, &region], &root), NOW).unwrap(), NOW);
    assert_eq!((authority.anchors(), count(&chain)), (root.pem.clone(), 3));
    for usage in [KeyUsage::client_auth(), KeyUsage::server_auth()] {
        assert_eq!(verify(&chain, &root.pem, usage, NOW), Ok(()));
    }
    assert!(openssl_accepts(&chain, &root.pem));
    for purpose in [Purpose::Client, Purpose::Server] {
        let id = sidecar_accepts(&chain, &root.pem, purpose, NOW);
        assert_eq!(id.as_deref(), Ok("spiffe://films.example/ns/shop/sa/web"));
    }
    // The leaf alone does not lead to the root.
    let leaf = &chain[..chain.find(&ca.pem).unwrap()];
    assert!(!openssl_accepts(leaf, &root.pem));
    assert_eq!(sidecar_accepts(leaf, &root.pem, Purpose::Client, NOW), Err(Refusal::Untrusted));
}

#[test]
fn an_authority_with_a_ca_survives_its_secret() {
    let [root, region, ca] = three();
    let (_, authority) = signed(read(&secret(&[&ca, &region], &root), NOW).unwrap(), NOW);
    let data = authority.secret_data();
    let read = Authority::read(&data).unwrap();
    assert_eq!((read.secret_data(), read.intermediates()), (data, ca.pem.clone() + &region.pem));
    assert_eq!((read.root.key(), read.root.is_issued()), (ca.key(), true));
}

#[test]
fn certificates_above_the_root_or_beside_the_chain_are_left_out() {
    let [root, region, ca] = three();
    let other = Ca::root("other", unchanged);
    let cases: [(&[&Ca], &Ca, String); 4] = [
        (&[&ca, &region, &root], &root, ca.pem.clone() + &region.pem),
        (&[&ca, &region], &region, ca.pem.clone()),
        (&[&ca, &other, &region], &root, ca.pem.clone() + &region.pem),
        // A CA that signs itself: the root is the CA.
        (&[&root], &root, String::new()),
    ];
    for (chain, anchor, expected) in cases {
        let (pod, authority) = signed(read(&secret(chain, anchor), NOW).unwrap(), NOW);
        assert_eq!(authority.intermediates(), expected);
        assert_eq!(sidecar_accepts(&pod, &anchor.pem, Purpose::Server, NOW).map(drop), Ok(()));
    }
}

#[test]
fn a_certificate_never_outlives_the_cas_above_it_and_never_begins_before_them() {
    let root = Ca::root("root", |params| params.not_after = date(NOW + 30 * 3600).unwrap());
    let ends = |region: i64, ca: i64| {
        let region = root.issue("region", NOW - 60, |params| params.not_after = date(NOW + region).unwrap());
        let ca = region.issue("ca", NOW - 10, |params| params.not_after = date(NOW + ca).unwrap());
        let ca = read(&secret(&[&ca, &region], &root), NOW).unwrap();
        let validity = Validity::new(NOW, None, &ca);
        (ca, validity.map(|validity| (validity.not_before - NOW, validity.not_after - NOW)))
    };
    assert_eq!(ends(30 * DAY, 10 * DAY).1, Some((-10, DAY - 10)));
    assert_eq!(ends(30 * DAY, 7200).1, Some((-10, 7200)));
    assert_eq!(ends(7200, 30 * DAY).1, Some((-10, 7200)));
    assert_eq!(ends(30 * DAY, 3500).1, None, "less than the API server accepts");
    let (ca, _) = ends(30 * DAY, 30 * DAY);
    assert_eq!(Validity::new(NOW + 28 * 3600, None, &ca).map(|validity| validity.not_after), Some(NOW + 30 * 3600));
    // With a clock that is a minute behind, the CA is not valid yet. The certificate is used at its
    // first second.
    let (chain, authority) = signed(ca, NOW);
    assert_eq!(sidecar_accepts(&chain, &authority.anchors(), Purpose::Client, NOW - 60).map(drop), Ok(()));
}

#[test]
fn a_ca_that_openssl_made_below_an_rsa_root_is_used() {
    let directory = tempfile::tempdir().unwrap();
    let config = "[req]\ndistinguished_name=name\nx509_extensions=ca\n[name]\n[ca]\nbasicConstraints=critical,CA:TRUE\n\
                  keyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always\n";
    fs::write(directory.path().join("config"), config).unwrap();
    let openssl = |arguments: &str| {
        let run = Command::new("openssl").args(arguments.split(' ')).current_dir(directory.path()).output().unwrap();
        assert!(run.status.success(), "{arguments}: {}", String::from_utf8_lossy(&run.stderr));
    };
    openssl(
        "req -x509 -config config -newkey rsa:3072 -nodes -keyout root.key -out root.crt -subj /O=Shop/CN=Root -days 9",
    );
    openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ca.key");
    openssl("req -new -config config -key ca.key -subj /CN=CA -out ca.csr");
    openssl(
        "x509 -req -in ca.csr -CA root.crt -CAkey root.key -CAcreateserial -days 8 -extfile config -extensions ca -out ca.crt",
    );
    openssl("ec -in ca.key -out sec1.key");
    let file = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    let now = Timestamp::now().as_second();
    let data = |key| texts([("tls.crt", &file("ca.crt")), ("tls.key", &file(key)), ("ca.crt", &file("root.crt"))]);
    let (chain, authority) = signed(read(&data("ca.key"), now).unwrap(), now);
    assert_eq!(count(&chain), 2);
    assert!(openssl_accepts(&chain, &file("root.crt")) && openssl_accepts(&chain, &authority.anchors()));
    assert_eq!(sidecar_accepts(&chain, &file("root.crt"), Purpose::Client, now).map(drop), Ok(()));
    // The same key in the older form, which is the default of cert-manager.
    assert_eq!(read(&data("sec1.key"), now).unwrap_err().reason(), "key_type");
}

#[test]
fn a_secret_that_cannot_be_used_is_explained_by_its_key_and_what_is_expected() {
    let [root, region, ca] = three();
    let other = Ca::root("root", unchanged);
    let usable = secret(&[&ca, &region], &root);
    let with = |key: &str, text: &str| {
        let mut data = usable.clone();
        data.extend(texts([(key, text)]));
        data
    };
    let without = |key: &str| {
        let mut data = usable.clone();
        data.remove(key);
        data
    };
    // The Secret with a changed certificate of the CA, or of the one above it.
    let changed = |change: fn(&mut CertificateParams)| secret(&[&region.issue("ca", NOW - 60, change), &region], &root);
    let changed_region = |change: fn(&mut CertificateParams)| {
        let region = root.issue("region", NOW - 60, change);
        secret(&[&region.issue("ca", NOW - 60, unchanged), &region], &root)
    };
    let changed_root = |change: fn(&mut CertificateParams)| {
        let root = Ca::root("root", change);
        let region = root.issue("region", NOW - 60, unchanged);
        secret(&[&region.issue("ca", NOW - 60, unchanged), &region], &root)
    };
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let p384 = region.issue_for(p384, "ca", NOW - 60, unchanged);
    let cases: [(&str, &[&str], SecretData); 26] = [
        ("unreadable", &["key tls.crt is missing", "expected the certificate of the CA"], without("tls.crt")),
        ("unreadable", &["key tls.key is missing", "expected a private key"], without("tls.key")),
        ("unreadable", &["key ca.crt is missing", "expected the certificate of the root"], without("ca.crt")),
        ("unreadable", &["key ca.crt"], with("ca.crt", "")),
        ("unreadable", &["key tls.crt"], with("tls.crt", &ca.pem[..ca.pem.len() / 2])),
        ("unreadable", &["key tls.crt"], with("tls.crt", &ca.key())),
        ("unreadable", &["key tls.crt"], with("tls.crt", &ca.pem.replace("MII", "MIJ"))),
        ("unreadable", &["key tls.key"], with("tls.key", "secret")),
        (
            "several_roots",
            &["key ca.crt has 2 certificates", "expected one"],
            with("ca.crt", &(root.pem.clone() + &other.pem)),
        ),
        ("key_type", &["key tls.key", "P-256", "PKCS #8"], secret(&[&p384, &region], &root)),
        ("other_key", &["key tls.key", "tls.crt"], with("tls.key", &region.key())),
        ("not_a_ca", &["key tls.crt: certificate 1", "isCA"], changed(|params| params.is_ca = IsCa::ExplicitNoCa)),
        ("not_a_ca", &["key tls.crt: certificate 2"], changed_region(|params| params.is_ca = IsCa::NoCa)),
        ("not_a_ca", &["key ca.crt: certificate 1"], changed_root(|params| params.is_ca = IsCa::ExplicitNoCa)),
        (
            "key_usage",
            &["key tls.crt: certificate 1", "keyCertSign"],
            changed(|params| params.key_usages = vec![KeyUsagePurpose::CrlSign]),
        ),
        (
            "key_usage",
            &["key tls.crt: certificate 2", "keyCertSign"],
            changed_region(|params| params.key_usages = vec![KeyUsagePurpose::CrlSign]),
        ),
        (
            "period",
            &["key tls.crt: certificate 1", "to 2027-01-15T07:59:59Z"],
            changed(|params| params.not_after = date(NOW - 1).unwrap()),
        ),
        (
            "period",
            &["key tls.crt: certificate 1", "from 2027-01-15T08:00:01Z"],
            changed(|params| params.not_before = date(NOW + 1).unwrap()),
        ),
        ("period", &["key tls.crt: certificate 2"], changed_region(|params| params.not_after = date(NOW - 1).unwrap())),
        ("period", &["key ca.crt: certificate 1"], changed_root(|params| params.not_after = date(NOW - 1).unwrap())),
        (
            "path_length",
            &["key tls.crt", "permits"],
            changed_region(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))),
        ),
        (
            "path_length",
            &["key ca.crt", "permits"],
            changed_root(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1))),
        ),
        ("chain", &["tls.crt does not lead to ca.crt", "up to the root"], with("ca.crt", &other.pem)),
        ("chain", &["tls.crt does not lead to ca.crt"], secret(&[&ca], &root)),
        (
            "subject",
            &["tls.crt", "expected each attribute once"],
            changed(|params| params.distinguished_name = DistinguishedName::new()),
        ),
        (
            "refused",
            &["tls.crt", "extended key usages"],
            changed(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
        ),
    ];
    for (reason, words, data) in cases {
        let problem = read(&data, NOW).unwrap_err();
        let message = problem.to_string();
        assert_eq!(problem.reason(), reason, "{message}");
        assert!(words.iter().all(|word| message.contains(word)), "expected {words:?}: {message}");
    }
    // The same with a root that permits two CAs below it.
    let permits = changed_root(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(2)));
    let (chain, _) = signed(read(&permits, NOW).unwrap(), NOW);
    assert_eq!(count(&chain), 3);
}

#[test]
fn what_is_refused_for_the_path_length_of_the_root_openssl_refuses_too() {
    let root = Ca::root("root", |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let ca = root.issue("ca", NOW - 60, unchanged);
    let forced = Root::read(&root.pem, &ca.pem, &ca.key()).unwrap();
    let (chain, _) = signed(forced, NOW);
    assert!(!openssl_accepts(&chain, &root.pem));
    assert_eq!(read(&secret(&[&ca], &root), NOW).unwrap_err().reason(), "path_length");
}

#[test]
fn a_ca_that_is_not_renewed_in_time_is_reported_and_used() {
    let root = Ca::root("root", unchanged);
    let ca = root.issue("ca", NOW, unchanged);
    let at = |now| {
        let ca = read(&secret(&[&ca], &root), now).unwrap();
        overdue(&ca, now).map(|problem| (problem.reason(), problem.to_string()))
    };
    // A third of its life is left when cert-manager renews it, and a quarter is late.
    assert_eq!(at(NOW + CA_LIFE_SECONDS * 2 / 3), None);
    assert_eq!(at(NOW + CA_LIFE_SECONDS * 3 / 4), None);
    let (reason, message) = at(NOW + CA_LIFE_SECONDS * 3 / 4 + 1).unwrap();
    assert_eq!(reason, "not_renewed");
    assert!(message.contains("tls.crt expires at 2027-04-15T08:00:00Z"), "{message}");
}
