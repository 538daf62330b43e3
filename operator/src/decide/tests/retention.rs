//! What the store may forget, and what it never may.

use recommender_crds::ModelSpec;
use serde_json::json;
use sidecar_contract::{Digest, ModelReport, RunResult};

use super::{
    failed, plan_of,
    serving::{BAD, GOOD, config, digest, runs},
};
use crate::{
    decide::{Garbage, Named, garbage, orphans, serving},
    validate::Plan,
};

fn limited(limit: u32) -> Plan {
    plan_of(|r| r.spec.revision_history_limit = limit)
}

/// Numbers of the runs and names of the snapshots that go.
fn goes(plan: &Plan, results: &[RunResult], reports: &[(String, ModelReport)]) -> (Vec<u32>, Vec<String>) {
    let serving = serving(plan, results, None);
    let Garbage { runs, snapshots } = garbage(plan, results, Named { serving: &serving, before: None, reports });
    (runs.iter().map(|run| run.number).collect(), names(snapshots))
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
fn the_newest_of_the_limit_stay() {
    let plan = limited(3);
    assert_eq!(goes(&plan, &runs(&plan, &FIVE), &[]), (vec![1, 2], vec!["a".into(), "b".into()]));
    assert_eq!(goes(&limited(5), &runs(&plan, &FIVE), &[]), (vec![], vec![]));
}

#[test]
fn what_something_names_stays() {
    let nothing = (vec![], vec![]);
    let two = limited(2);
    let results = runs(&two, &FIVE[..3]);
    assert_eq!(goes(&two, &results, &[]).1, ["a"]);
    let loaded: ModelReport = serde_json::from_value(json!({"loaded": {
        "digest": digest("a"), "algorithm": "als", "users": 1, "items": 1, "factors": 1, "loadedAt": 1,
    }}))
    .unwrap();
    assert_eq!(goes(&two, &results, &[("p-1".into(), loaded)]), nothing, "a pod has it");
    let pinned = plan_of(|r| {
        r.spec.revision_history_limit = 2;
        r.spec.model = Some(ModelSpec { revision: Some(digest("a").revision().to_owned()) });
    });
    assert_eq!(goes(&pinned, &results, &[]), nothing, "it is pinned");
    // The last good one of the config in force.
    let before = config(&serving(&two, &results[..1], None));
    let serving = serving(&two, &results, Some(&before));
    assert_eq!(garbage(&two, &results, Named { serving: &serving, before: None, reports: &[] }), Garbage::default());
    assert_eq!(
        garbage(&two, &results, Named { serving: &serving, before: Some(&before), reports: &[] }),
        Garbage::default()
    );
}

#[test]
fn a_passing_model_outlives_any_number_of_failing_ones() {
    let plan = limited(1);
    let results = runs(&plan, &[("a", GOOD), ("b", BAD), ("c", BAD)]);
    assert_eq!(goes(&plan, &results, &[]), (vec![2], vec!["b".into()]), "a serves, c is the newest");
}

#[test]
fn equal_contents_stay_as_long_as_one_result_names_them() {
    let plan = limited(1);
    let results = runs(&plan, &[("a", GOOD), ("b", GOOD), ("a", GOOD)]);
    let (runs, snapshots) = goes(&plan, &results, &[]);
    assert!(!snapshots.contains(&"a".to_owned()), "{runs:?} {snapshots:?}");
}

#[test]
fn results_of_failed_runs_are_bounded_and_the_newest_numbers_the_next() {
    let plan = limited(1);
    let mut results = runs(&plan, &FIVE[..1]);
    results.extend((2..=40).map(|number| failed(&plan, number)));
    let (gone, snapshots) = goes(&plan, &results, &[]);
    assert_eq!(gone, (2..=20).collect::<Vec<u32>>());
    assert_eq!(snapshots, [""; 0]);
}

#[test]
fn an_orphan_goes_when_no_run_can_be_about_to_name_it() {
    let plan = plan_of(|r| r.spec.training.deadline = "2h".to_owned());
    let results = runs(&plan, &FIVE[..1]);
    let serving = serving(&plan, &results, None);
    let named = Named { serving: &serving, before: None, reports: &[] };
    let now = 1_000_000;
    let stored = [(digest("a"), 0), (digest("b"), now - 4 * 3600), (digest("c"), now - 4 * 3600 - 1)];
    assert_eq!(names(orphans(&plan, &results, named, &stored, now)), ["c"]);
}
