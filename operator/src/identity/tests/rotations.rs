//! A rotation with a clock of its own: no certificate is ever without its anchor.

use std::{collections::BTreeSet, process::Command};

use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use webpki::KeyUsage;

use super::{NOW, p256_request, verify};
use crate::identity::{
    TrustDomain,
    authority::{Authority, AuthorityError, SecretData},
    leaf::{Validity, sign},
    public_key::{ProvenKey, proven},
    rotation::{READ_AGE_SECONDS_MAX, Step, Transition},
};

const HOUR: i64 = 3600;
/// Longest delay until the anchors of the bundle are in a sidecar: two refreshes of the kubelet,
/// and one of the sidecar.
const DELIVERY_SECONDS: i64 = 190;
/// Steps of the clock.
const TICK_SECONDS: i64 = 60;

fn authority() -> Authority {
    Authority::generate(TrustDomain::parse("films.example").unwrap(), NOW).unwrap()
}

/// Sidecar with its certificate and the anchors that the kubelet delivered last.
struct Sidecar {
    certificate: String,
    renew_at: i64,
    anchors: String,
    delivered_at: i64,
}

fn certificate(authority: &Authority, key: &ProvenKey, now: i64) -> (String, i64) {
    let validity = Validity::new(now, None, &authority.root).unwrap();
    let id = authority.trust_domain.account_id("shop", "web");
    let leaf = sign(&authority.root, &id, key, validity).unwrap();
    (leaf + authority.intermediates(), validity.begin_refresh_at)
}

/// Lets a rotation run with replicas that read the Secret late and sidecars that get anchors late,
/// and checks that each sidecar accepts each other at each tick. Returns the steps that it took.
fn simulate(hours: i64, is_published: impl Fn(i64) -> bool) -> (Authority, Vec<Step>) {
    let key = proven(&p256_request()).unwrap();
    let mut secret = authority().secret_data();
    let mut stale: Vec<(i64, SecretData)> = vec![(NOW, secret.clone())];
    let mut bundle = authority_of(&secret).anchors();
    let (first, renew_at) = certificate(&authority_of(&secret), &key, NOW);
    let sidecar = |offset: i64| Sidecar {
        certificate: first.clone(),
        renew_at: renew_at + offset,
        anchors: bundle.clone(),
        delivered_at: NOW + offset,
    };
    let mut sidecars: Vec<Sidecar> = [0, 61, 127, 250].map(sidecar).into();
    let mut steps = vec![Step::Stable];
    let mut accepted = BTreeSet::new();
    let mut now = NOW;
    while now < NOW + hours * HOUR {
        now += TICK_SECONDS;
        // The leader.
        let authority = authority_of(&secret);
        if is_published(now) {
            bundle = authority.anchors();
        }
        if let Some(transition) = authority.due(Some("1"), bundle == authority.anchors(), true, now) {
            let next = authority.after(transition, Some("1"), now).unwrap();
            steps.push(next.step);
            secret = next.secret_data();
            stale.push((now, secret.clone()));
        }
        // The oldest Secret that a replica may still use: it was replaced a short time ago.
        let is_usable = |index: &usize| stale.get(index + 1).is_none_or(|(at, _)| at + READ_AGE_SECONDS_MAX >= now);
        let late = &stale[(0..stale.len()).find(is_usable).unwrap()].1;
        for (index, sidecar) in sidecars.iter_mut().enumerate() {
            if now >= sidecar.renew_at {
                let signer = authority_of(if index % 2 == 0 { late } else { &secret });
                let renewed = certificate(&signer, &key, now);
                (sidecar.certificate, sidecar.renew_at) = renewed;
            }
            if now >= sidecar.delivered_at + DELIVERY_SECONDS {
                (sidecar.anchors, sidecar.delivered_at) = (bundle.clone(), now);
            }
        }
        for peer in &sidecars {
            for sidecar in &sidecars {
                let pair = (peer.certificate.clone(), sidecar.anchors.clone());
                // Each pair is verified once an hour, and when it is new.
                if accepted.insert(pair) || now % HOUR < TICK_SECONDS {
                    let verified = verify(&peer.certificate, &sidecar.anchors, KeyUsage::client_auth(), now);
                    assert_eq!(verified, Ok(()), "{} s after the begin, {:?}", now - NOW, authority_of(&secret).step);
                }
            }
        }
    }
    (authority_of(&secret), steps)
}

fn authority_of(secret: &SecretData) -> Authority {
    Authority::read(secret).unwrap()
}

#[test]
fn each_certificate_has_its_anchor_at_each_step_of_a_rotation() {
    let before = authority();
    let (after, steps) = simulate(60, |_| true);
    let begin = NOW + TICK_SECONDS;
    let published = begin + TICK_SECONDS;
    // Confirmed after 600 s, dropped a day and 120 s after the new root signs.
    let switched = published + 600;
    let expected = [
        Step::Stable,
        Step::Prepared,
        Step::Published { since: published },
        Step::Switched { drop_after: switched + 86_400 + 120 },
        Step::Stable,
    ];
    assert_eq!(steps, expected);
    assert_ne!(after.root.certificate(), before.root.certificate());
    assert_eq!(after.anchors(), after.root.certificate(), "the old anchor is gone");
    assert_eq!(after.due(Some("1"), true, true, NOW + 100 * HOUR), None, "a request is handled once");
}

#[test]
fn nothing_is_signed_with_a_root_that_is_not_published() {
    // The API server refuses the bundle for ten hours.
    let (_, steps) = simulate(12, |now| now > NOW + 10 * HOUR);
    let Step::Published { since } = steps[2] else { panic!("{steps:?}") };
    assert!(since > NOW + 10 * HOUR);
    assert!(matches!(steps[3], Step::Switched { .. }));
}

#[test]
fn the_new_root_signs_only_when_the_anchors_are_confirmed() {
    let (now, mut authority) = (NOW, authority());
    assert_eq!(authority.pass_over(), None);
    for _ in 0..2 {
        let transition = authority.due(Some("a"), true, false, now).unwrap();
        authority = authority.after(transition, Some("a"), now).unwrap();
    }
    assert_eq!(authority.pass_over().as_deref(), Some("published/a"));
    assert_eq!(authority.due(Some("a"), true, false, now + 1000 * HOUR), None);
    assert_eq!(authority.due(Some("a"), true, true, now + 599), None);
    assert_eq!(authority.due(Some("a"), true, true, now + 600), Some(Transition::Switch));
}

#[test]
fn both_anchors_are_published_during_a_rotation_and_survive_the_secret() {
    let mut authority = authority();
    let count = |authority: &Authority| CertificateDer::pem_slice_iter(authority.anchors().as_bytes()).count();
    let mut now = NOW;
    let mut counts = vec![count(&authority)];
    for _ in 0..4 {
        now += 30 * HOUR;
        let transition = authority.due(Some("a"), true, true, now).unwrap();
        authority = authority.after(transition, Some("a"), now).unwrap();
        let read = authority_of(&authority.secret_data());
        assert_eq!((read.anchors(), read.step), (authority.anchors(), authority.step));
        assert_eq!(read.secret_data(), authority.secret_data());
        counts.push(count(&authority));
    }
    assert_eq!(counts, [1, 2, 2, 2, 1]);
}

#[test]
fn a_sidecar_with_the_old_anchor_alone_accepts_new_certificates_until_the_old_root_is_dropped() {
    let key = proven(&p256_request()).unwrap();
    let mut authority = authority();
    let old = authority.anchors();
    let (mut now, mut accepted) = (NOW, Vec::new());
    for _ in 0..4 {
        now += 30 * HOUR;
        let transition = authority.due(Some("a"), true, true, now).unwrap();
        authority = authority_of(&authority.after(transition, Some("a"), now).unwrap().secret_data());
        let (chain, _) = certificate(&authority, &key, now);
        let count = CertificateDer::pem_slice_iter(chain.as_bytes()).count();
        accepted.push((
            count,
            verify(&chain, &old, KeyUsage::client_auth(), now).is_ok(),
            openssl_accepts(&chain, &old),
        ));
        verify(&chain, &authority.anchors(), KeyUsage::server_auth(), now).unwrap();
    }
    // Prepared, published, switched, stable.
    assert_eq!(accepted, [(1, true, true), (1, true, true), (2, true, true), (1, false, false)]);
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

#[test]
fn a_secret_that_is_not_complete_is_named() {
    let complete = authority().secret_data();
    for key in ["trust-domain", "root.crt", "root.key"] {
        let mut data = complete.clone();
        data.remove(key);
        assert!(matches!(Authority::read(&data), Err(AuthorityError::Missing(missing)) if missing == key));
    }
    let with_step = |step: &str| {
        let mut data = complete.clone();
        data.insert("rotation.json".to_owned(), k8s_openapi::ByteString(step.as_bytes().to_vec()));
        Authority::read(&data).unwrap_err().to_string()
    };
    assert!(with_step(r#"{"step":"prepared"}"#).contains("next.crt"));
    assert!(with_step(r#"{"step":"switched","dropAfter":1}"#).contains("previous.crt"));
    assert!(with_step(r#"{"step":"backwards"}"#).contains("rotation.json"));
}
