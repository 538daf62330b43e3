//! Our decisions about certificates, compared with those of go-spiffe, the reference implementation
//! of SPIFFE. Ours are stricter in two ways: the extended key usage, and the form of the path.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may panic.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use mesh::identity::{Purpose, SpiffeId, TrustAnchors, UnixTime, verify};
use proptest::{
    prelude::RngExt as _,
    test_runner::{TestRng, TestRunner},
};
use rustls::{crypto::ring, pki_types::CertificateDer};
use serde::Deserialize;
use serde_json::json;
use test_certificates::{Authority, DAY, ExtendedKeyUsagePurpose, Issued, KeyUsagePurpose, Leaf};

/// Number of generated certificates.
const CASES: usize = 2_000;
const NOW: i64 = 1_800_000_000;
const TRUST_DOMAIN: &str = "cluster.local";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(default)]
    id: String,
    #[serde(default)]
    is_for_clients: bool,
    #[serde(default)]
    error: String,
}

struct Authorities {
    root: Authority,
    intermediate: Authority,
    /// Has the name of the root, and another key.
    impostor: Authority,
    /// Trusted, but its own certificate has expired.
    expired: Authority,
}

/// A random element of a slice.
fn one<'a, T>(random: &mut TestRng, of: &'a [T]) -> &'a T {
    of.get(random.random_range(0..of.len())).unwrap()
}

/// A certificate with random properties, most of which are right.
fn leaf(random: &mut TestRng) -> Leaf {
    let good = format!("spiffe://{TRUST_DOMAIN}/ns/shop/sa/web");
    let uris = [
        vec![good.clone()],
        vec![good.clone()],
        vec![good.clone()],
        vec![good.clone()],
        vec![],
        vec![good.clone(), good.clone()],
        vec![good.clone(), "https://shop.example/".to_owned()],
        vec![format!("spiffe://{TRUST_DOMAIN}/ns/shop/sa/web/")],
        vec![format!("spiffe://{TRUST_DOMAIN}/ns/shop/sa/we%62")],
        vec![format!("spiffe://{TRUST_DOMAIN}/ns/./sa/web")],
        vec![format!("spiffe://{TRUST_DOMAIN}/workload")],
        vec![format!("spiffe://{TRUST_DOMAIN}")],
        vec!["spiffe://other.local/ns/shop/sa/web".to_owned()],
        vec!["spiffe://CLUSTER.local/ns/shop/sa/web".to_owned()],
        vec![format!("spiffe://user@{TRUST_DOMAIN}/ns/shop/sa/web")],
        vec![format!("spiffe://{TRUST_DOMAIN}:443/ns/shop/sa/web")],
        vec![format!("spiffe://{TRUST_DOMAIN}/ns/shop/sa/web?x=1")],
        vec![format!("spiffe://{TRUST_DOMAIN}/ns/shop/sa/web#x")],
        vec![format!("https://{TRUST_DOMAIN}/ns/shop/sa/web")],
    ];
    let names = [vec![], vec!["web.shop.svc".to_owned()]];
    let usages = [
        vec![KeyUsagePurpose::DigitalSignature],
        vec![KeyUsagePurpose::DigitalSignature],
        vec![],
        vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment],
        vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign],
        vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign],
    ];
    let both = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let extended = [
        both.clone(),
        both,
        vec![ExtendedKeyUsagePurpose::ClientAuth],
        vec![ExtendedKeyUsagePurpose::ServerAuth],
        vec![ExtendedKeyUsagePurpose::Any],
        vec![],
    ];
    // The tolerance for clocks is ours alone, so no period ends near the time.
    let periods = [(-DAY, DAY), (-60, 3600), (-DAY, DAY), (-9 * DAY, DAY), (-60, DAY), (-DAY, -120), (120, DAY)];
    let (begin, end) = *one(random, &periods);
    Leaf {
        uris: one(random, &uris).clone(),
        dns_names: one(random, &names).clone(),
        is_ca: random.random_ratio(1, 12),
        key_usages: one(random, &usages).clone(),
        extended_key_usages: one(random, &extended).clone(),
        not_before: NOW + begin,
        not_after: NOW + end,
    }
}

/// A certificate chain: by one of the authorities, and with a changed bit in some cases.
fn chain(random: &mut TestRng, authorities: &Authorities) -> Vec<Vec<u8>> {
    let leaf = leaf(random);
    let Authorities { root, intermediate, impostor, expired } = authorities;
    let below_intermediate = vec![intermediate.issue(&leaf).certificate, intermediate.der().to_vec()];
    let mut chain = match random.random_range(0..10) {
        0..4 => vec![root.issue(&leaf).certificate],
        4..7 => below_intermediate,
        7 => vec![below_intermediate.first().unwrap().clone()],
        8 => vec![impostor.issue(&leaf).certificate],
        _ if random.random() => vec![expired.issue(&leaf).certificate],
        _ => vec![Issued::self_signed(&leaf).certificate],
    };
    if random.random_ratio(1, 3) {
        let certificate = random.random_range(0..chain.len());
        let certificate = chain.get_mut(certificate).unwrap();
        let at = random.random_range(0..certificate.len());
        *certificate.get_mut(at).unwrap() ^= 1 << random.random_range(0..8_u32);
    }
    chain
}

/// The answers of go-spiffe.
fn answers(questions: &str) -> Vec<Answer> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go_spiffe");
    let mut go = Command::new("go")
        .args(["run", "-mod=readonly", "."])
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs Go");
    let (mut stdin, questions) = (go.stdin.take().unwrap(), questions.to_owned());
    let writing = std::thread::spawn(move || stdin.write_all(questions.as_bytes()).unwrap());
    let output = go.wait_with_output().unwrap();
    writing.join().unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn two_thousand_changed_certificates_are_judged_as_by_go_spiffe() {
    let mut runner = TestRunner::deterministic();
    let random = runner.rng();
    let root = Authority::new("root", NOW);
    let authorities = Authorities {
        intermediate: root.intermediate("intermediate", NOW),
        root,
        impostor: Authority::new("root", NOW),
        expired: Authority::with_period("expired", NOW - 20 * DAY, NOW - 10 * DAY),
    };
    let trusted = [&authorities.root, &authorities.expired];
    let anchors = TrustAnchors::parse(trusted.map(Authority::pem).concat().as_bytes()).unwrap();
    let chains: Vec<_> = (0..CASES).map(|_| chain(random, &authorities)).collect();
    let questions: String = chains
        .iter()
        .map(|chain| {
            let chain: Vec<_> = chain.iter().map(hex::encode).collect();
            let anchors = trusted.map(|authority| hex::encode(authority.der()));
            json!({"trustDomain": TRUST_DOMAIN, "chain": chain, "anchors": anchors, "now": NOW}).to_string() + "\n"
        })
        .collect();
    let answers = answers(&questions);
    assert_eq!(answers.len(), CASES);
    let algorithms = ring::default_provider().signature_verification_algorithms;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW.unsigned_abs()));
    let mut counts = BTreeMap::new();
    for (chain, answer) in chains.iter().zip(&answers) {
        let chain: Vec<_> = chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let (leaf, rest) = chain.split_first().unwrap();
        let ours = verify(leaf, rest, &anchors, TRUST_DOMAIN, Purpose::Client, now, &algorithms);
        let is_accepted_there =
            answer.error.is_empty() && answer.is_for_clients && answer.id.parse::<SpiffeId>().is_ok();
        assert_eq!(ours.is_ok(), is_accepted_there, "ours {ours:?}, go-spiffe {answer:?}, {chain:x?}");
        if let Ok(peer) = &ours {
            assert_eq!(peer.id.to_string(), answer.id);
        }
        *counts.entry(ours.map_or_else(mesh::identity::Refusal::as_str, |_| "accepted")).or_insert(0) += 1;
    }
    // The certificates are of all kinds.
    for kind in [
        "accepted",
        "untrusted",
        "expired",
        "not-yet-valid",
        "ca-certificate",
        "key-usage",
        "no-uri",
        "several-uris",
        "spiffe-id",
        "trust-domain",
    ] {
        assert!(counts.get(kind).is_some_and(|count| *count >= 5), "{counts:?}");
    }
}
