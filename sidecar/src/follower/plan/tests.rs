//! The decision for every combination that matters, with revisions named by a letter.

use sidecar_contract::{Access, ServingLimits, ServingMode, StoreConfig};

use super::*;

fn digest(letter: char) -> Digest {
    Digest::of(letter.to_string().as_bytes())
}

fn digests(letters: &str) -> BTreeSet<Digest> {
    letters.chars().map(digest).collect()
}

fn config(desired: Option<char>, last_good: Option<char>, loads_first: Option<&str>) -> ServingConfig {
    let revision = |letter: char, role: RevisionRole| RevisionRef {
        digest: digest(letter),
        snapshot_bytes: 1,
        role: role.into(),
        weight: 100,
        trained_at: 0,
        serving_mode: ServingMode::Personalized.into(),
        metrics: None,
        catalogue: None,
    };
    let desired = desired.map(|letter| revision(letter, RevisionRole::Desired));
    let last_good = last_good.map(|letter| revision(letter, RevisionRole::LastGood));
    ServingConfig {
        namespace: "shop".into(),
        name: "movies".into(),
        revisions: desired.into_iter().chain(last_good).collect(),
        loads_first: loads_first.map(str::to_owned),
        loads_first_since: None,
        fallback: Vec::new(),
        store: StoreConfig {
            url: "s3://bucket".into(),
            endpoint: None,
            region: "us-east-1".into(),
            prefix: "1b2c/shop/movies/".into(),
        },
        limits: ServingLimits::default(),
        gate: None,
        access: Access::default(),
    }
}

struct Case<'a> {
    config: &'a ServingConfig,
    serving: Option<char>,
    loading: &'a str,
    failed: &'a str,
    cached: &'a str,
}

/// The letters of what is started and aborted.
fn plan(case: &Case<'_>) -> (Option<char>, String) {
    let serving = case.serving.map(digest);
    let situation = Situation {
        config: case.config,
        pod_name: Some("pod-a"),
        serving: serving.as_ref(),
        loading: digests(case.loading),
        failed: digests(case.failed),
        cached: digests(case.cached),
    };
    let Plan { start, abort } = situation.plan();
    let letter = |found: &Digest| ('a'..='z').find(|letter| digest(*letter) == *found).unwrap();
    let mut aborted: Vec<char> = abort.iter().map(letter).collect();
    aborted.sort_unstable();
    (start.map(|revision| letter(&revision.digest)), aborted.into_iter().collect())
}

#[test]
fn the_desired_revision_is_loaded_unless_it_serves() {
    let config = config(Some('d'), Some('g'), None);
    let case = Case { config: &config, serving: None, loading: "", failed: "", cached: "" };
    assert_eq!(plan(&case), (Some('d'), String::new()));
    assert_eq!(plan(&Case { serving: Some('g'), ..case }), (Some('d'), String::new()));
    assert_eq!(plan(&Case { serving: Some('d'), ..case }), (None, String::new()));
    assert_eq!(plan(&Case { serving: Some('g'), failed: "d", ..case }), (None, String::new()));
}

#[test]
fn the_last_good_revision_is_loaded_when_nothing_serves_and_the_desired_one_cannot_serve_sooner() {
    let config = config(Some('d'), Some('g'), None);
    let case = Case { config: &config, serving: None, loading: "", failed: "", cached: "" };
    assert_eq!(plan(&Case { cached: "g", ..case }), (Some('g'), String::new()));
    assert_eq!(plan(&Case { cached: "dg", ..case }), (Some('d'), String::new()));
    assert_eq!(plan(&Case { failed: "d", ..case }), (Some('g'), String::new()));
    assert_eq!(plan(&Case { failed: "dg", ..case }), (None, String::new()));
    assert_eq!(plan(&Case { failed: "g", cached: "g", ..case }), (Some('d'), String::new()));
}

#[test]
fn a_pod_that_may_not_load_first_keeps_what_serves_or_loads_the_last_good_revision() {
    let other_first = config(Some('d'), Some('g'), Some("pod-b"));
    let case = Case { config: &other_first, serving: Some('g'), loading: "", failed: "", cached: "" };
    assert_eq!(plan(&case), (None, String::new()));
    assert_eq!(plan(&Case { serving: None, ..case }), (Some('g'), String::new()));
    let this_first = config(Some('d'), Some('g'), Some("pod-a"));
    assert_eq!(plan(&Case { config: &this_first, ..case }), (Some('d'), String::new()));
}

#[test]
fn one_load_runs_at_a_time_and_a_withdrawn_one_is_aborted() {
    let config = config(Some('d'), None, None);
    let case = Case { config: &config, serving: Some('s'), loading: "d", failed: "", cached: "" };
    assert_eq!(plan(&case), (None, String::new()));
    assert_eq!(plan(&Case { loading: "w", ..case }), (Some('d'), "w".to_owned()));
    assert_eq!(plan(&Case { loading: "wd", ..case }), (None, "w".to_owned()));
    assert_eq!(plan(&Case { serving: Some('d'), loading: "w", ..case }), (None, "w".to_owned()));
}

#[test]
fn only_what_the_config_names_and_the_pod_lacks_is_swapped_in() {
    let config = config(Some('d'), Some('g'), None);
    let wanted = |serving: Option<char>, letter| {
        let serving = serving.map(digest);
        let none = BTreeSet::new;
        let situation = Situation {
            config: &config,
            pod_name: None,
            serving: serving.as_ref(),
            loading: none(),
            failed: none(),
            cached: none(),
        };
        situation.is_wanted(&digest(letter))
    };
    assert!(wanted(None, 'd') && wanted(None, 'g') && wanted(Some('g'), 'd') && wanted(Some('w'), 'd'));
    assert!(!wanted(None, 'w') && !wanted(Some('d'), 'd') && !wanted(Some('d'), 'g') && !wanted(Some('w'), 'g'));
}
