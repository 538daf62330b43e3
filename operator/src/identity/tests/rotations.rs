//! A rotation with a clock of its own: no certificate is ever without its anchor.

use std::collections::BTreeSet;

use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use webpki::KeyUsage;

use super::{
    NOW,
    issuer::{CA_LIFE_SECONDS, Ca, read, secret},
    openssl_accepts, p256_request, sidecar_accepts, verify,
};
use crate::identity::{
    TrustDomain,
    authority::{Authority, AuthorityError, SecretData, Target},
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

/// A root of our own, which an annotation asks to rotate.
const REQUESTED: Target<'_> = Target::Own { requested: Some("1") };

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
    (leaf + &authority.intermediates(), validity.begin_refresh_at)
}

/// Lets a rotation run with replicas that read the Secret late and sidecars that get anchors late,
/// and checks that each sidecar accepts each other at each tick. `issued` is the Secret of an issuer
/// at a time; without one, an annotation requests a new root. Returns the transitions, with the step
/// after each.
fn simulate(
    first: &Authority,
    hours: i64,
    is_published: impl Fn(i64) -> bool,
    issued: impl Fn(i64) -> Option<SecretData>,
) -> (Authority, Vec<(Transition, Step)>) {
    let key = proven(&p256_request()).unwrap();
    let mut secret = first.secret_data();
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
    let mut steps = Vec::new();
    let mut accepted = BTreeSet::new();
    let mut now = NOW;
    while now < NOW + hours * HOUR {
        now += TICK_SECONDS;
        // The leader.
        let authority = authority_of(&secret);
        if is_published(now) {
            bundle = authority.anchors();
        }
        let ca = issued(now).map(|data| read(&data, now).ok());
        let target = ca.as_ref().map_or(REQUESTED, |ca| Target::Issued(ca.as_ref()));
        if let Some(transition) = authority.due(target, bundle == authority.anchors(), true, now) {
            let next = authority.after(transition, target, now).unwrap();
            steps.push((transition, next.step));
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
    let (after, steps) = simulate(&before, 60, |_| true, |_| None);
    let begin = NOW + TICK_SECONDS;
    let published = begin + TICK_SECONDS;
    // Confirmed after 600 s, dropped a day and 120 s after the new root signs.
    let switched = published + 600;
    let expected = [
        (Transition::Prepare, Step::Prepared),
        (Transition::Confirm, Step::Published { since: published }),
        (Transition::Switch, Step::Switched { drop_after: switched + 86_400 + 120 }),
        (Transition::Drop, Step::Stable),
    ];
    assert_eq!(steps, expected);
    assert_ne!(after.root.certificate(), before.root.certificate());
    assert_eq!(after.anchors(), after.root.certificate(), "the old anchor is gone");
    assert_eq!(after.due(REQUESTED, true, true, NOW + 100 * HOUR), None, "a request is handled once");
}

#[test]
fn nothing_is_signed_with_a_root_that_is_not_published() {
    // The API server refuses the bundle for ten hours.
    let (_, steps) = simulate(&authority(), 12, |now| now > NOW + 10 * HOUR, |_| None);
    let (_, Step::Published { since }) = steps[1] else { panic!("{steps:?}") };
    assert!(since > NOW + 10 * HOUR);
    assert!(matches!(steps[2], (Transition::Switch, Step::Switched { .. })));
}

#[test]
fn the_new_root_signs_only_when_the_anchors_are_confirmed() {
    let (now, mut authority) = (NOW, authority());
    assert_eq!(authority.pass_over(), None);
    for _ in 0..2 {
        let transition = authority.due(REQUESTED, true, false, now).unwrap();
        authority = authority.after(transition, REQUESTED, now).unwrap();
    }
    assert_eq!(authority.pass_over().as_deref(), Some("published/1"));
    assert_eq!(authority.due(REQUESTED, true, false, now + 1000 * HOUR), None);
    assert_eq!(authority.due(REQUESTED, true, true, now + 599), None);
    assert_eq!(authority.due(REQUESTED, true, true, now + 600), Some(Transition::Switch));
}

#[test]
fn both_anchors_are_published_during_a_rotation_and_survive_the_secret() {
    let mut authority = authority();
    let count = |authority: &Authority| CertificateDer::pem_slice_iter(authority.anchors().as_bytes()).count();
    let mut now = NOW;
    let mut counts = vec![count(&authority)];
    for _ in 0..4 {
        now += 30 * HOUR;
        let transition = authority.due(REQUESTED, true, true, now).unwrap();
        authority = authority.after(transition, REQUESTED, now).unwrap();
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
        let transition = authority.due(REQUESTED, true, true, now).unwrap();
        authority = authority_of(&authority.after(transition, REQUESTED, now).unwrap().secret_data());
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

/// An authority with the CA of a Secret.
fn authority_with(data: &SecretData) -> Authority {
    Authority::with_root(TrustDomain::parse("films.example").unwrap(), read(data, NOW).unwrap())
}

/// Applies the transitions that are due, with confirmed anchors, each 30 hours after the one before.
fn rotate(mut authority: Authority, target: Target<'_>, mut now: i64) -> (Authority, Vec<Transition>) {
    let mut transitions = Vec::new();
    while let Some(transition) = authority.due(target, true, true, now) {
        authority = authority_of(&authority.after(transition, target, now).unwrap().secret_data());
        transitions.push(transition);
        now += 30 * HOUR;
    }
    (authority, transitions)
}

const ROTATION: [Transition; 4] = [Transition::Prepare, Transition::Confirm, Transition::Switch, Transition::Drop];

#[test]
fn a_ca_that_is_renewed_below_the_same_root_signs_without_a_rotation() {
    let root = Ca::root("root", |_| ());
    let [old, new] = [NOW, NOW + CA_LIFE_SECONDS * 2 / 3].map(|begin| root.issue("ca", begin, |_| ()));
    let now = NOW + CA_LIFE_SECONDS * 2 / 3;
    let authority = authority_with(&secret(&[&old], &root));
    let renewed = read(&secret(&[&new], &root), now).unwrap();
    let (after, transitions) = rotate(authority, Target::Issued(Some(&renewed)), now);
    assert_eq!(transitions, [Transition::Renew]);
    assert_eq!((after.step, after.anchors(), after.intermediates()), (Step::Stable, root.pem.clone(), new.pem));
    let (chain, _) = certificate(&after, &proven(&p256_request()).unwrap(), now);
    assert_eq!(sidecar_accepts(&chain, &root.pem, mesh::identity::Purpose::Server, now).map(drop), Ok(()));
}

#[test]
fn a_changed_root_of_the_issuer_rotates_and_the_old_ca_signs_until_all_have_the_new_root() {
    let [a, b] = ["a", "b"].map(|name| Ca::root(name, |_| ()));
    let first = secret(&[&a.issue("ca", NOW, |_| ())], &a);
    // cert-manager replaces the Secret at once, and renews the CA during and after the rotation.
    let [second, third, fourth] = [3 * HOUR, 10 * HOUR, 40 * HOUR].map(|begin| b.issue("ca", NOW + begin, |_| ()));
    let renewed = [(40, &fourth), (10, &third), (3, &second)];
    let issued = |now: i64| {
        let ca = renewed.iter().find(|(hours, _)| now >= NOW + hours * HOUR);
        Some(ca.map_or_else(|| first.clone(), |(_, ca)| secret(&[*ca], &b)))
    };
    let (after, steps) = simulate(&authority_with(&first), 60, |_| true, issued);
    let prepared = NOW + 3 * HOUR;
    let (since, drop_after) = (prepared + TICK_SECONDS, prepared + TICK_SECONDS + 600 + 86_400 + 120);
    let expected = [
        (Transition::Prepare, Step::Prepared),
        (Transition::Confirm, Step::Published { since }),
        (Transition::Switch, Step::Switched { drop_after }),
        (Transition::Renew, Step::Switched { drop_after }),
        (Transition::Drop, Step::Stable),
        (Transition::Renew, Step::Stable),
    ];
    assert_eq!(steps, expected);
    assert_eq!((after.anchors(), after.intermediates()), (b.pem.clone(), fourth.pem.clone()));
}

#[test]
fn a_secret_that_cannot_be_used_changes_nothing_and_stops_no_rotation() {
    let [a, b] = ["a", "b"].map(|name| Ca::root(name, |_| ()));
    let authority = authority_with(&secret(&[&a.issue("ca", NOW, |_| ())], &a));
    assert_eq!(authority.due(Target::Issued(None), true, true, NOW), None);
    let ca = read(&secret(&[&b.issue("ca", NOW, |_| ())], &b), NOW).unwrap();
    let prepared = authority.after(Transition::Prepare, Target::Issued(Some(&ca)), NOW).unwrap();
    let (after, transitions) = rotate(prepared, Target::Issued(None), NOW);
    assert_eq!((transitions.as_slice(), after.anchors()), (&ROTATION[1..], b.pem));
}

#[test]
fn a_root_that_is_not_wanted_any_more_is_withdrawn_before_it_signs() {
    let [a, b, c] = ["a", "b", "c"].map(|name| Ca::root(name, |_| ()));
    let [of_a, of_b, of_c] = [&a, &b, &c].map(|root| secret(&[&root.issue("ca", NOW, |_| ())], root));
    let [ca, cb, cc] = [&of_a, &of_b, &of_c].map(|data| read(data, NOW).unwrap());
    let published = || {
        let mut authority = authority_with(&of_a);
        for _ in 0..2 {
            let target = Target::Issued(Some(&cb));
            let transition = authority.due(target, true, false, NOW).unwrap();
            authority = authority.after(transition, target, NOW).unwrap();
        }
        assert_eq!((authority.step, authority.anchors()), (Step::Published { since: NOW }, a.pem.clone() + &b.pem));
        authority
    };
    let (back, transitions) = rotate(published(), Target::Issued(Some(&ca)), NOW);
    assert_eq!((transitions.as_slice(), back.anchors()), ([Transition::Withdraw].as_slice(), a.pem.clone()));
    let (third, transitions) = rotate(published(), Target::Issued(Some(&cc)), NOW);
    assert_eq!((transitions[0], &transitions[1..]), (Transition::Withdraw, &ROTATION[..]));
    assert_eq!(third.anchors(), c.pem);
    // The issuer is not named any more: without it nobody renews its CA.
    let (own, transitions) = rotate(published(), Target::Own { requested: None }, NOW);
    assert_eq!((transitions[0], &transitions[1..]), (Transition::Withdraw, &ROTATION[..]));
    assert!(!own.root.is_issued() && own.intermediates().is_empty());
}

#[test]
fn an_issuer_takes_over_from_a_root_of_our_own_and_the_reverse() {
    let root = Ca::root("root", |_| ());
    let data = secret(&[&root.issue("ca", NOW, |_| ())], &root);
    let first = authority();
    let own = Target::Own { requested: None };
    let (issued, steps) = simulate(&first, 30, |_| true, |_| Some(data.clone()));
    assert_eq!(steps.iter().map(|(transition, _)| *transition).collect::<Vec<_>>(), ROTATION);
    assert_eq!((issued.anchors(), &issued.trust_domain), (root.pem, &first.trust_domain));
    let (back, transitions) = rotate(issued, own, NOW + 30 * HOUR);
    assert_eq!((transitions.as_slice(), back.root.is_issued()), (ROTATION.as_slice(), false));
    assert_eq!(back.due(own, true, true, NOW + 1000 * HOUR), None);
}

#[test]
fn each_rotation_to_a_root_of_an_issuer_is_passed_over_by_another_annotation() {
    let root = Ca::root("a", |_| ());
    let values = ["b", "c"].map(|name| {
        let next = Ca::root(name, |_| ());
        let ca = read(&secret(&[&next.issue("ca", NOW, |_| ())], &next), NOW).unwrap();
        let target = Target::Issued(Some(&ca));
        let authority = authority_with(&secret(&[&root.issue("ca", NOW, |_| ())], &root));
        let authority = authority.after(Transition::Prepare, target, NOW).unwrap();
        authority.after(Transition::Confirm, target, NOW).unwrap().pass_over().unwrap()
    });
    assert!(values.iter().all(|value| value.starts_with("published/root-") && value.len() == 23), "{values:?}");
    assert_ne!(values[0], values[1]);
}
