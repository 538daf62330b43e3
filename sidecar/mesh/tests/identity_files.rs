//! Identity files with every kind of content, and what stays in use while they are bad.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // A test may panic.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use mesh::identity::{
    Identity, IdentityFile, IdentityObserver, IdentityPaths, IdentitySettings, Purpose, Reload, TimeProvider,
    TrustAnchors, UnixTime, ValidCredentials,
};
use rustls::crypto::ring;
use test_certificates::{Authority, DAY, ExtendedKeyUsagePurpose, Leaf, replace};

const NOW: i64 = 1_800_000_000;
const ID: &str = "spiffe://cluster.local/ns/shop/sa/web";

#[derive(Debug)]
struct FixedClock;

impl TimeProvider for FixedClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(NOW.unsigned_abs())))
    }
}

#[derive(Debug, Default)]
struct Seen {
    reloads: Mutex<Vec<(IdentityFile, Reload)>>,
    expiry: Mutex<Vec<i64>>,
}

impl IdentityObserver for Seen {
    fn reloaded(&self, file: IdentityFile, result: Reload) {
        self.reloads.lock().unwrap().push((file, result));
    }

    fn certificate_loaded(&self, not_after: i64) {
        self.expiry.lock().unwrap().push(not_after);
    }
}

fn credentials_error(pem: &str) -> String {
    let now = FixedClock.current_time().unwrap();
    let parsed = ValidCredentials::parse(pem.as_bytes(), Purpose::Client, now, &ring::default_provider());
    parsed.unwrap_err().to_string()
}

#[test]
fn bad_credentials_are_refused_with_what_was_expected() {
    let authority = Authority::new("anchor", NOW);
    let good = Leaf::valid(ID, NOW);
    let issued = authority.issue(&good);
    let (key, certificate) = issued.pem.split_at(issued.pem.find("-----BEGIN CERTIFICATE").unwrap());
    let other_key = authority.issue(&good).pem;
    let other_key = &other_key[..other_key.find("-----BEGIN CERTIFICATE").unwrap()];
    let of = |leaf: Leaf| authority.issue(&leaf).pem;
    let cases = [
        (String::new(), "contains 0 private keys, expected one"),
        (certificate.to_owned(), "contains 0 private keys, expected one"),
        (format!("{key}{key}{certificate}"), "contains 2 private keys, expected one"),
        (key.to_owned(), "contains 0 certificates, expected 1 to 8"),
        (format!("{key}{}", certificate.repeat(9)), "contains 9 certificates, expected 1 to 8"),
        (format!("{other_key}{certificate}"), "the private key does not fit the certificate"),
        (issued.pem[..issued.pem.len() - 40].to_owned(), "is not valid PEM"),
        (of(Leaf { not_after: NOW - 61, ..good.clone() }), "certificate 1: the certificate is expired"),
        (
            of(Leaf { not_before: NOW + 61, not_after: NOW + DAY, ..good.clone() }),
            "certificate 1: the certificate is not yet valid",
        ),
        (of(Leaf { uris: Vec::new(), ..good.clone() }), "certificate 1: the certificate has no URI"),
        (of(Leaf { is_ca: true, ..good.clone() }), "certificate 1: the certificate is that of a CA"),
        (
            of(Leaf { extended_key_usages: vec![ExtendedKeyUsagePurpose::ServerAuth], ..good }),
            "certificate 1: the certificate lacks the extended key usage",
        ),
    ];
    for (pem, expected) in cases {
        let error = credentials_error(&pem);
        assert!(error.starts_with(expected), "{error:?}, expected {expected:?}");
        assert!(!error.contains("BEGIN"), "no content of the file: {error}");
    }
}

#[test]
fn anchors_are_certificates_of_authorities_in_any_order() {
    let (first, second) = (Authority::new("first", NOW), Authority::new("second", NOW));
    let leaf = first.issue(&Leaf::valid(ID, NOW)).pem;
    let leaf = &leaf[leaf.find("-----BEGIN CERTIFICATE").unwrap()..];
    let count = |pem: String| TrustAnchors::parse(pem.as_bytes()).map(|anchors| anchors.count());
    assert_eq!(count(format!("{}\n# a comment\n{}", second.pem(), first.pem())).unwrap(), 2);
    for (pem, expected) in [
        (String::new(), "contains 0 certificates, expected 1 to 32"),
        (first.pem().repeat(33), "contains 33 certificates, expected 1 to 32"),
        (format!("{}{leaf}", first.pem()), "certificate 2 is not that of a CA that may sign certificates"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
            "certificate 1: the certificate is malformed",
        ),
    ] {
        assert_eq!(count(pem).unwrap_err().to_string(), expected);
    }
}

#[test]
fn the_last_good_content_stays_in_use_and_each_bad_read_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let paths = IdentityPaths { credentials: at("credentials.pem"), anchors: at("anchors.pem") };
    let settings = IdentitySettings { clock: Arc::new(FixedClock), ..IdentitySettings::new(paths.clone()) };
    let seen = Arc::new(Seen::default());
    let identity = Identity::open(settings, Purpose::Client, Arc::<Seen>::clone(&seen));
    let reload = || {
        seen.reloads.lock().unwrap().clear();
        identity.reload();
        seen.reloads.lock().unwrap().clone()
    };
    let (anchors, credentials) = (IdentityFile::Anchors, IdentityFile::Credentials);
    assert_eq!(reload(), [(anchors, Reload::Failed), (credentials, Reload::Failed)]);
    assert!(identity.credentials().is_none() && identity.anchors().is_none());

    let authority = Authority::new("anchor", NOW);
    let set = |path: &Path, content: &str| replace(path, content);
    set(&paths.anchors, &authority.pem());
    set(&paths.credentials, &authority.issue(&Leaf::valid(ID, NOW)).pem);
    assert_eq!(reload(), [(anchors, Reload::Changed), (credentials, Reload::Changed)]);
    assert_eq!(reload(), [], "unchanged");
    assert_eq!(*seen.expiry.lock().unwrap(), [NOW + 3600]);

    let large = "x".repeat((128 << 10) + 1);
    set(&paths.credentials, &large);
    std::fs::remove_file(&paths.anchors).unwrap();
    for _ in 0..2 {
        assert_eq!(reload(), [(anchors, Reload::Failed), (credentials, Reload::Failed)]);
    }
    let kept = identity.credentials().unwrap();
    assert_eq!((kept.id.to_string().as_str(), identity.anchors().unwrap().count()), (ID, 1));

    let renewed = Leaf { not_after: NOW + 7200, ..Leaf::valid(ID, NOW) };
    set(&paths.credentials, &authority.issue(&renewed).pem);
    set(&paths.anchors, &format!("{}{}", authority.pem(), Authority::new("next", NOW).pem()));
    assert_eq!(reload(), [(anchors, Reload::Changed), (credentials, Reload::Changed)]);
    assert_eq!(identity.anchors().unwrap().count(), 2);
    assert_eq!(*seen.expiry.lock().unwrap(), [NOW + 3600, NOW + 7200]);
}
