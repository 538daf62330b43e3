//! Our search for a path, compared with the expectations of BetterTLS (github.com/Netflix/bettertls):
//! paths through graphs of authorities, and constraints of names. Its leaves have no SPIFFE id, so that
//! this is what remains to refuse when the path is accepted.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may panic.

use std::{collections::BTreeMap, fs::File, io::BufReader, path::Path, process::Command};

use mesh::{
    identity::{Purpose, Refusal, TrustAnchors, UnixTime, verify},
    limits::CHAIN_CERTIFICATES_MAX,
};
use rustls::{crypto::ring, pki_types::CertificateDer};
use serde::Deserialize;

/// What the program of BetterTLS exports. Bytes are in base64.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Export {
    trust_root: String,
    suites: BTreeMap<String, Suite>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Suite {
    test_cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    id: u32,
    certificates: Vec<String>,
    required_features: Vec<String>,
    expected: Expected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Expected {
    Accept,
    Reject,
}

fn export() -> Export {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cases.json");
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/better_tls");
    let arguments = ["tool", "bettertls", "export-tests", "-out", file.to_str().unwrap()];
    let status = Command::new("go").args(arguments).env("GOFLAGS", "-mod=readonly").current_dir(module).status();
    assert!(status.expect("this test needs Go").success());
    serde_json::from_reader(BufReader::new(File::open(file).unwrap())).unwrap()
}

/// Whether the case is about the path alone: the name that a client asks for is among those of the
/// leaf, so that only the path can be refused.
fn is_about_the_path(case: &Case) -> bool {
    !case.required_features.iter().any(|feature| feature.starts_with("VALIDATE_"))
}

#[test]
fn paths_are_found_and_refused_as_better_tls_expects() {
    let Export { trust_root, suites } = export();
    let anchor = format!("-----BEGIN CERTIFICATE-----\n{trust_root}\n-----END CERTIFICATE-----\n");
    let anchors = TrustAnchors::parse(anchor.as_bytes()).unwrap();
    let algorithms = ring::default_provider().signature_verification_algorithms;
    let (mut counts, mut wrong) = (BTreeMap::new(), Vec::new());
    for (suite, Suite { test_cases }) in &suites {
        for case in test_cases.iter().filter(|case| is_about_the_path(case)) {
            let decode = |text: &String| base64_simd::STANDARD.decode_to_vec(text).unwrap();
            let chain: Vec<CertificateDer<'_>> = case.certificates.iter().map(|text| decode(text).into()).collect();
            let (leaf, rest) = chain.split_first().unwrap();
            let ours = verify(leaf, rest, &anchors, "cluster.local", Purpose::Server, UnixTime::now(), &algorithms);
            let is_path_accepted = ours == Err(Refusal::NoUri);
            let expected = case.expected == Expected::Accept && chain.len() <= CHAIN_CERTIFICATES_MAX;
            if is_path_accepted != expected {
                wrong.push(format!(
                    "{suite} {}: expected {expected}, ours {ours:?}, {:?}",
                    case.id, case.required_features
                ));
            }
            *counts.entry((suite.as_str(), expected)).or_insert(0) += 1;
        }
    }
    assert!(wrong.is_empty(), "{} cases: {wrong:#?}", wrong.len());
    // The paths in half of the graphs are broken; a third of the names has no violated constraint.
    for (kind, minimum) in [
        (("pathbuilding", true), 20),
        (("pathbuilding", false), 30),
        (("nameconstraints", true), 500),
        (("nameconstraints", false), 1_000),
    ] {
        assert!(counts.get(&kind).is_some_and(|count| *count >= minimum), "{counts:?}");
    }
}
