//! Tests of when catalogues are made, with the time as an argument.

use recommender_crds::{CatalogueStatus, ItemFilter, ItemsSpec, SourceSpec};
use sidecar_contract::{CatalogueRef, CatalogueResult, ItemCounts, RevisionRef, RevisionRole, TimedId};

use super::*;
use crate::{
    decide::{Catalogue, TaskDecision, catalogue},
    names::Component,
    observed::{EndedCatalogues, Observed, TaskFacts},
};

const MINUTE: i64 = 60;

/// A spec with a filter that refreshes its catalogues every five minutes.
fn refreshed() -> Plan {
    refreshed_at(Some("5m"))
}

fn refreshed_at(refresh: Option<&str>) -> Plan {
    plan_of(|r| {
        r.spec.data.as_mut().unwrap().items = Some(ItemsSpec {
            source: SourceSpec { url: Some("s3://shop/items.csv".to_owned()), ..SourceSpec::default() },
            format: None,
            csv: recommender_crds::Csv::default(),
            columns: recommender_crds::ItemColumns::default(),
            attributes: Vec::new(),
            filters: vec![ItemFilter {
                column: recommender_crds::Column::Name("genre".to_owned()),
                name: None,
                kind: recommender_crds::FilterType::Category,
            }],
            refresh: refresh.map(str::to_owned),
        });
    })
}

/// A catalogue of a revision that was decided at this second.
fn made(plan: &Plan, revision: &str, at: i64) -> CatalogueResult {
    let (id, digest) = (TimedId::new(at, &Digest::of(b"table")), Digest::of(b"file"));
    CatalogueResult {
        version: 1,
        id: id.clone(),
        spec_hash: plan.catalogue.as_ref().unwrap().spec_hash.clone(),
        revision: Digest::of(revision.as_bytes()),
        catalogue: Some(CatalogueRef { version: id.to_string(), digest, bytes: 9, key: "catalogue/x/y".to_owned() }),
        items: Some(ItemCounts { items: 60, available: 60, missing: 0, unknown: 0 }),
        held: false,
        failure: String::new(),
        finished_at: at + 1,
    }
}

fn task_of(plan: &Plan, at: i64, state: JobState) -> TaskFacts {
    TaskFacts {
        component: Component::Catalogue,
        name: format!("movies-catalogue-{at}"),
        id: TimedId::new(at, &Digest::of(b"a")),
        spec_hash: plan.catalogue.as_ref().unwrap().spec_hash.revision().to_owned(),
        request: None,
        deleted: false,
        state,
        finished_at: at + 1,
        message: "the pod was deleted".to_owned(),
    }
}

fn decided(plan: &Plan, results: &[CatalogueResult], tasks: &[TaskFacts], now: i64) -> Catalogue {
    let status = RecommenderStatus::default();
    decided_after(plan, results, tasks, &status, now)
}

fn decided_after(
    plan: &Plan,
    results: &[CatalogueResult],
    tasks: &[TaskFacts],
    before: &RecommenderStatus,
    now: i64,
) -> Catalogue {
    let serving = serving_of(plan, &[trained(plan, 1, "a", None)], None);
    let catalogues = Ok(EndedCatalogues { newest: results.to_vec(), older: Vec::new() });
    let observed = Observed { catalogues, tasks: tasks.to_vec(), ..Observed::nothing() };
    catalogue::catalogue(plan, &observed, &serving, before, TIMING.backoff, now)
}

fn starts(catalogue: &Catalogue) -> bool {
    matches!(catalogue.decision, TaskDecision::Start(_))
}

fn idle_until(catalogue: &Catalogue) -> Option<i64> {
    match catalogue.decision {
        TaskDecision::Idle { next } => next,
        _ => None,
    }
}

#[test]
fn refreshes_repeat_after_the_last_check() {
    let plan = refreshed();
    assert!(starts(&decided(&plan, &[], &[], NOW)), "a revision without a catalogue");
    let first = [made(&plan, "a", NOW)];
    assert_eq!(idle_until(&decided(&plan, &first, &[], NOW + 1)), Some(NOW + 5 * MINUTE));
    assert!(starts(&decided(&plan, &first, &[], NOW + 5 * MINUTE)));
    // A check that found the table unchanged has no result: its Job counts, and then the status.
    let check = NOW + 5 * MINUTE;
    let unchanged = [task_of(&plan, check, JobState::Succeeded)];
    let decided_then = decided(&plan, &first, &unchanged, check + 1);
    assert_eq!((idle_until(&decided_then), decided_then.checked_at), (Some(check + 5 * MINUTE), Some(check)));
    let checked_at = jiff::Timestamp::from_second(check).ok();
    let status = CatalogueStatus {
        checked_at: checked_at.map(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time),
        ..CatalogueStatus::default()
    };
    let before = RecommenderStatus { catalogue: Some(status), ..RecommenderStatus::default() };
    assert_eq!(idle_until(&decided_after(&plan, &first, &[], &before, check + 1)), Some(check + 5 * MINUTE));
}

#[test]
fn a_revision_gets_a_catalogue_as_new_as_that_of_any_other() {
    let plan = refreshed();
    let of_table = |result: CatalogueResult, table: &[u8]| CatalogueResult {
        id: TimedId::new(result.id.decided_at, &Digest::of(table)),
        ..result
    };
    let other = of_table(made(&plan, "b", NOW + MINUTE), b"another table");
    assert!(starts(&decided(&plan, std::slice::from_ref(&other), &[], NOW + MINUTE)));
    assert!(starts(&decided(&plan, &[other.clone(), made(&plan, "a", NOW)], &[], NOW + MINUTE)));
    let equal = made(&plan, "b", NOW + MINUTE);
    assert!(!starts(&decided(&plan, &[equal, made(&plan, "a", NOW)], &[], NOW + MINUTE)), "an equal table");
    let newer = made(&plan, "a", NOW + 2 * MINUTE);
    assert!(!starts(&decided(&plan, &[newer, other], &[], NOW + 2 * MINUTE)));
}

#[test]
fn a_revision_that_pods_still_serve_follows_the_desired_one() {
    let plan = refreshed();
    let serving = serving_of(&plan, &[trained(&plan, 2, "b", None), trained(&plan, 1, "a", None)], None);
    let last_good = RevisionRef {
        digest: Digest::of(b"a"),
        role: RevisionRole::LastGood.into(),
        ..serving.desired.clone().unwrap()
    };
    let serving = Serving { last_good: Some(last_good), ..serving };
    let report = |content: &[u8]| {
        let loaded = serde_json::json!({
            "digest": Digest::of(content), "revision": "r", "servingMode": "personalized", "loadedAt": 1, "algorithm": "als",
            "signal": "implicit", "factors": 1, "users": 1, "items": 1, "coldItems": 0, "snapshotBytes": 1,
        });
        ("movies-1".to_owned(), serde_json::from_value(serde_json::json!({ "loaded": loaded })).unwrap())
    };
    let decide = |results: &[CatalogueResult], served: &[u8]| {
        let catalogues = Ok(EndedCatalogues { newest: results.to_vec(), older: Vec::new() });
        let observed = Observed { catalogues, reports: vec![report(served)], ..Observed::nothing() };
        let status = RecommenderStatus::default();
        let now = NOW + 2 * MINUTE;
        match catalogue::catalogue(&plan, &observed, &serving, &status, TIMING.backoff, now).decision {
            TaskDecision::Start(new) => Some((new.revision.digest, new.accepted)),
            _ => None,
        }
    };
    let mut newer = made(&plan, "b", NOW + MINUTE);
    newer.id = TimedId::new(NOW + MINUTE, &Digest::of(b"another table"));
    let results = [newer.clone(), made(&plan, "a", NOW)];
    let accepted = Some(newer.id.hash.clone());
    assert_eq!(decide(&results, b"a"), Some((Digest::of(b"a"), accepted)), "a table that already serves is not held");
    assert_eq!(decide(&results, b"b"), None, "no pod serves the last good revision");
    let mut followed = made(&plan, "a", NOW + MINUTE + 1);
    followed.id = TimedId::new(NOW + MINUTE + 1, &Digest::of(b"another table"));
    assert_eq!(decide(&[followed, newer], b"a"), None, "neither is behind the other");
}

#[test]
fn failures_pause_and_a_held_table_is_checked_at_the_interval() {
    let plan = refreshed();
    let first = made(&plan, "a", NOW);
    let due = NOW + 5 * MINUTE;
    let broken =
        CatalogueResult { catalogue: None, items: None, failure: "no column".to_owned(), ..made(&plan, "a", due) };
    let failed = decided(&plan, &[broken, first.clone()], &[task_of(&plan, due + 5, JobState::Failed)], due + 7);
    assert_eq!((failed.failures.count, failed.failure.as_str()), (2, "the pod was deleted"));
    assert_eq!(failed.decision, TaskDecision::Wait { until: due + 6 + 20 });
    let held = CatalogueResult { catalogue: None, held: true, ..made(&plan, "a", due) };
    let found = decided(&plan, &[held.clone(), first.clone()], &[], due + 1);
    assert_eq!((found.held.as_ref(), idle_until(&found)), (Some(&held), Some(due + 5 * MINUTE)));
    let fixed = decided(&plan, &[made(&plan, "a", due + MINUTE), held, first], &[], due + MINUTE);
    assert_eq!(fixed.held, None);
}

#[test]
fn a_revision_that_waits_for_a_held_table_checks_it_without_an_interval() {
    let plan = refreshed_at(None);
    let held = CatalogueResult { catalogue: None, held: true, ..made(&plan, "a", NOW) };
    let results = std::slice::from_ref(&held);
    assert_eq!(idle_until(&decided(&plan, results, &[], NOW + 1)), Some(NOW + 60));
    assert!(starts(&decided(&plan, results, &[], NOW + 60)));
    let checks = [task_of(&plan, NOW + 60, JobState::Succeeded)];
    assert_eq!(idle_until(&decided(&plan, results, &checks, NOW + 61)), Some(NOW + 120));
    let serves = [held, made(&plan, "a", NOW - MINUTE)];
    assert_eq!(idle_until(&decided(&plan, &serves, &[], NOW + 60)), None, "a revision that serves needs no check");
}

#[test]
fn finished_jobs_are_deleted_but_the_newest() {
    let plan = refreshed();
    let tasks: Vec<TaskFacts> = (0..6).map(|n| task_of(&plan, NOW + n, JobState::Succeeded)).collect();
    let stale = decided(&plan, &[made(&plan, "a", NOW)], &tasks, NOW + 9).stale_jobs;
    assert_eq!(stale, [2, 1, 0].map(|n| format!("movies-catalogue-{}", NOW + n)));
}
