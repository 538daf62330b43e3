//! Tests of retention: which results and snapshots are garbage.

use recommender_crds::ModelSpec;
use serde_json::json;
use sidecar_contract::{Digest, ModelReport, RunResult, ServingConfig};

use super::{
    failed, plan_of, result,
    revisions::{BAD, GOOD, config, digest, runs},
    serving_of,
};
use crate::{
    decide::{
        Garbage, Serving,
        retention::{RevisionReferences, garbage, orphans, retention},
    },
    names::Component,
    observed::{Observed, PodFacts},
    validate::Plan,
};

fn with_history_limit(limit: u32) -> Plan {
    plan_of(|r| r.spec.revision_history_limit = limit)
}

/// Numbers of the runs and names of the snapshots that are garbage.
fn garbage_of(plan: &Plan, results: &[RunResult], reports: &[(String, ModelReport)]) -> (Vec<u32>, Vec<String>) {
    let serving = serving_of(plan, results, None);
    let Garbage { runs, snapshots, .. } = garbage(plan, results, references(&serving, None, reports));
    (runs.iter().map(|run| run.number).collect(), names(snapshots))
}

/// References of pods that all report.
fn references<'a>(
    serving: &'a Serving,
    before: Option<&'a ServingConfig>,
    reports: &'a [(String, ModelReport)],
) -> RevisionReferences<'a> {
    RevisionReferences { serving, before, reports, all_pods_report: true }
}

fn names(digests: impl IntoIterator<Item = Digest>) -> Vec<String> {
    let mut names: Vec<String> = digests
        .into_iter()
        .map(|found| ["a", "b", "c", "d", "e"].into_iter().find(|name| digest(name) == found).unwrap_or("?").to_owned())
        .collect();
    names.sort();
    names
}

const FIVE: [(&str, Option<f64>); 5] = [("a", GOOD), ("b", GOOD), ("c", GOOD), ("d", GOOD), ("e", GOOD)];

#[test]
fn the_newest_revisions_within_the_limit_are_retained() {
    let plan = with_history_limit(3);
    assert_eq!(garbage_of(&plan, &runs(&plan, &FIVE), &[]), (vec![1, 2], vec!["a".into(), "b".into()]));
    assert_eq!(garbage_of(&with_history_limit(5), &runs(&plan, &FIVE), &[]), (vec![], vec![]));
}

#[test]
fn referenced_revisions_are_retained() {
    let nothing = (vec![], vec![]);
    let two = with_history_limit(2);
    let results = runs(&two, &FIVE[..3]);
    assert_eq!(garbage_of(&two, &results, &[]).1, ["a"]);
    let loaded: ModelReport = serde_json::from_value(json!({"loaded": {
        "digest": digest("a"), "algorithm": "als", "users": 1, "items": 1, "factors": 1, "loadedAt": 1,
    }}))
    .unwrap();
    assert_eq!(garbage_of(&two, &results, &[("p-1".into(), loaded)]), nothing, "a pod has loaded it");
    let pinned = plan_of(|r| {
        r.spec.revision_history_limit = 2;
        r.spec.model = Some(ModelSpec { revision: Some(digest("a").revision().to_owned()) });
    });
    assert_eq!(garbage_of(&pinned, &results, &[]), nothing, "it is pinned");
    // The last good revision of the config in force.
    let before = config(&serving_of(&two, &results[..1], None));
    let serving = serving_of(&two, &results, Some(&before));
    assert_eq!(garbage(&two, &results, references(&serving, None, &[])), Garbage::default());
    assert_eq!(garbage(&two, &results, references(&serving, Some(&before), &[])), Garbage::default());
}

#[test]
fn the_serving_model_is_retained_after_any_number_of_failing_ones() {
    let plan = with_history_limit(1);
    let results = runs(&plan, &[("a", GOOD), ("b", BAD), ("c", BAD)]);
    assert_eq!(garbage_of(&plan, &results, &[]), (vec![2], vec!["b".into()]), "a serves, c is the newest");
}

#[test]
fn a_snapshot_is_retained_while_a_result_references_it() {
    let plan = with_history_limit(1);
    let results = runs(&plan, &[("a", GOOD), ("b", GOOD), ("a", GOOD)]);
    let (runs, snapshots) = garbage_of(&plan, &results, &[]);
    assert!(!snapshots.contains(&"a".to_owned()), "{runs:?} {snapshots:?}");
}

#[test]
fn results_of_failed_runs_are_limited() {
    let plan = with_history_limit(1);
    let mut results = runs(&plan, &FIVE[..1]);
    results.extend((2..=40).map(|number| failed(&plan, number)));
    let (deleted, snapshots) = garbage_of(&plan, &results, &[]);
    assert_eq!(deleted, (2..=20).collect::<Vec<u32>>());
    assert_eq!(snapshots, [""; 0]);
}

#[test]
fn an_orphan_is_deleted_once_no_run_can_commit_it() {
    let plan = plan_of(|r| r.spec.training.deadline = "2h".to_owned());
    let results = runs(&plan, &FIVE[..1]);
    let serving = serving_of(&plan, &results, None);
    let references = references(&serving, None, &[]);
    let now = 1_000_000;
    let stored = [(digest("a"), 0), (digest("b"), now - 4 * 3600), (digest("c"), now - 4 * 3600 - 1)];
    assert_eq!(names(orphans(&plan, &results, references, &stored, now)), ["c"]);
}

#[test]
fn no_orphan_is_deleted_while_an_outcome_is_unknown() {
    let plan = plan_of(|_| {});
    let mut observed = Observed {
        runs: Ok(runs(&plan, &FIVE[..1])),
        snapshots: Some(vec![(digest("a"), 0), (digest("b"), 0)]),
        ..Observed::nothing()
    };
    let serving = serving_of(&plan, observed.results(), None);
    let orphans = |observed: &Observed| retention(&plan, observed, &serving, 1_000_000).orphans.map(names);
    assert_eq!(orphans(&observed), Some(vec!["b".to_owned()]));
    let mut results = observed.results().to_vec();
    results.push(result(&plan, 2, json!({"kind": "merged"})));
    observed.runs = Ok(results);
    assert_eq!(orphans(&observed), None, "the outcome of a newer trainer may reference b");
}

#[test]
fn a_pod_that_does_not_report_delays_only_a_part_of_the_retention() {
    let plan = with_history_limit(2);
    let mut results = runs(&plan, &FIVE);
    results.extend((6..=40).map(|number| failed(&plan, number)));
    let running = || PodFacts { component: Some(Component::Serving), running: true, ..PodFacts::default() };
    let observed = |reports: Vec<(String, ModelReport)>| Observed {
        runs: Ok(results.clone()),
        snapshots: Some(vec![(digest("f"), 0)]),
        pods: vec![running()],
        reports,
        ..Observed::nothing()
    };
    let serving = serving_of(&plan, &results, None);
    let deleted = |observed: &Observed| {
        let garbage = retention(&plan, observed, &serving, 1_000_000);
        let runs: Vec<u32> = garbage.runs.iter().map(|run| run.number).collect();
        (runs, names(garbage.snapshots), garbage.orphans.map(|orphans| orphans.len()))
    };
    // The newest 20 results are those of 21 to 40; e serves, and d is the second newest.
    let reported = deleted(&observed(vec![("p-1".to_owned(), ModelReport::default())]));
    assert_eq!(
        reported,
        ([1, 2, 3].into_iter().chain(6..=20).collect(), vec!["a".into(), "b".into(), "c".into()], Some(1))
    );
    let silent = deleted(&observed(Vec::new()));
    assert_eq!(silent, ([1].into_iter().chain(6..=20).collect(), vec!["a".into()], None));
}
