//! Tests of the desired revision: gate, last good revision, pin, promotion, suspend, and the pod
//! that loads first.

use recommender_crds::{ModelSpec, Promotion};
use serde_json::json;
use sidecar_contract::{
    Digest, GateVerdict, IncumbentSnapshot, ModelReport, RevisionRole, RunResult, ServingConfig, ServingMode,
};

use super::{gate, incumbent_of, plan_of, serving_of, trained};
use crate::{
    decide::{Choice, RefusedPromotion, Serving, serving::loads_first},
    names::PROMOTE_ANNOTATION,
    validate::Plan,
};

pub(super) const GOOD: Option<f64> = Some(0.1);
pub(super) const BAD: Option<f64> = Some(-0.1);
const UNMEASURED: Option<f64> = None;

pub(super) fn digest(content: &str) -> Digest {
    Digest::of(content.as_bytes())
}

/// Runs 1, 2, … with these contents and lower bounds of the lift.
pub(super) fn runs(plan: &Plan, of: &[(&str, Option<f64>)]) -> Vec<RunResult> {
    (1..).zip(of).map(|(number, (content, low))| trained(plan, number, content, *low)).collect()
}

/// The serving config for a decision.
pub(super) fn config(serving: &Serving) -> ServingConfig {
    serde_json::from_value(json!({
        "namespace": "shop", "name": "movies",
        "revisions": serving.desired.iter().chain(&serving.last_good).collect::<Vec<_>>(),
        "store": {"url": "s3://recmesh", "region": "us-east-1", "prefix": "1b2c/shop/movies/"},
    }))
    .unwrap()
}

fn pinned(name: &str) -> Plan {
    let revision = Some(digest(name).revision().to_owned());
    plan_of(|r| r.spec.model = Some(ModelSpec { revision }))
}

fn manual(promoted: Option<&str>) -> Plan {
    plan_of(|r| {
        r.spec.promotion = Promotion::Manual;
        r.metadata.annotations =
            promoted.map(|name| [(PROMOTE_ANNOTATION.to_owned(), digest(name).revision().to_owned())].into());
    })
}

/// Names of the desired, last good and candidate revision, and the choice.
fn summary(decided: &Serving) -> (String, String, String, Choice) {
    let name = |sought: Option<&Digest>| {
        let known = ["a", "b", "c", "d"].into_iter().find(|name| Some(&digest(name)) == sought);
        known.unwrap_or("-").to_owned()
    };
    let desired = decided.desired.as_ref();
    let popular = desired.is_some_and(|revision| revision.serving_mode == ServingMode::PopularityOnly);
    assert_eq!(popular, decided.choice == Choice::PopularityOnly, "{decided:?}");
    assert!(desired.is_none_or(|revision| revision.role == RevisionRole::Desired));
    assert!(decided.last_good.as_ref().is_none_or(|revision| revision.role == RevisionRole::LastGood));
    (
        name(desired.map(|r| &r.digest)),
        name(decided.last_good.as_ref().map(|r| &r.digest)),
        name(decided.candidate.as_ref()),
        decided.choice,
    )
}

#[expect(clippy::needless_pass_by_value, reason = "reads better in the tables")]
fn check(
    case: &str,
    plan: Plan,
    results: &[(&str, Option<f64>)],
    before: Option<&ServingConfig>,
    expected: (&str, &str, &str, Choice),
) {
    let results = runs(&plan, results);
    let (desired, last_good, candidate, choice) = summary(&serving_of(&plan, &results, before));
    assert_eq!((desired.as_str(), last_good.as_str(), candidate.as_str(), choice), expected, "{case}");
}

/// The serving config after these runs.
fn config_after(results: &[(&str, Option<f64>)]) -> ServingConfig {
    let plan = plan_of(|_| {});
    config(&serving_of(&plan, &runs(&plan, results), None))
}

#[test]
fn automatic_promotion_serves_the_newest_passing_model() {
    type Row =
        (&'static str, &'static [(&'static str, Option<f64>)], (&'static str, &'static str, &'static str, Choice));
    let table: &[Row] = &[
        ("no model trained", &[], ("-", "-", "-", Choice::Nothing)),
        ("newest first", &[("a", GOOD), ("b", GOOD), ("c", GOOD)], ("c", "b", "-", Choice::Passed)),
        ("a failing model does not serve", &[("a", GOOD), ("b", BAD)], ("a", "-", "-", Choice::Passed)),
        ("equal snapshots are one revision", &[("a", GOOD), ("b", GOOD), ("b", GOOD)], ("b", "a", "-", Choice::Passed)),
        (
            "a passing model has priority over an unmeasured one",
            &[("a", GOOD), ("b", UNMEASURED)],
            ("a", "b", "-", Choice::Passed),
        ),
        (
            "an unmeasured model serves if none passes",
            &[("a", BAD), ("b", UNMEASURED)],
            ("b", "-", "-", Choice::Unmeasured),
        ),
        ("popularity only if no model may serve", &[("a", BAD), ("b", BAD)], ("b", "-", "-", Choice::PopularityOnly)),
    ];
    for (case, results, expected) in table {
        check(case, plan_of(|_| {}), results, None, *expected);
    }
}

#[test]
fn the_current_revision_is_kept_if_no_other_may_replace_it() {
    let auto = || plan_of(|_| {});
    let of_a = config_after(&[("a", GOOD)]);
    check("a worse model is trained", auto(), &[("a", GOOD), ("b", BAD)], Some(&of_a), ("a", "-", "-", Choice::Passed));
    check("the store was lost", auto(), &[], Some(&of_a), ("a", "-", "-", Choice::Kept));
    check(
        "the store was lost, and the next model fails",
        auto(),
        &[("b", BAD)],
        Some(&of_a),
        ("a", "-", "-", Choice::Kept),
    );
    check(
        "the store was lost, and the next model passes",
        auto(),
        &[("b", GOOD)],
        Some(&of_a),
        ("b", "a", "-", Choice::Passed),
    );
    let strict = plan_of(|r| r.spec.evaluation.gate.min_lift_over_baseline = 0.5);
    check("the gate was raised", strict, &[("a", GOOD)], Some(&of_a), ("a", "-", "-", Choice::Kept));
    let of_unmeasured = config_after(&[("a", UNMEASURED)]);
    let both = &[("a", UNMEASURED), ("b", UNMEASURED)];
    check(
        "a newer unmeasured model replaces an unmeasured one",
        auto(),
        both,
        Some(&of_unmeasured),
        ("b", "a", "-", Choice::Unmeasured),
    );
    let of_popular = config_after(&[("a", BAD)]);
    check(
        "popularity of a newer model",
        auto(),
        &[("a", BAD), ("b", BAD)],
        Some(&of_popular),
        ("b", "a", "-", Choice::PopularityOnly),
    );
    check(
        "the first passing model",
        auto(),
        &[("a", BAD), ("b", GOOD)],
        Some(&of_popular),
        ("b", "a", "-", Choice::Passed),
    );
}

#[test]
fn returning_to_an_earlier_spec_serves_its_own_model() {
    let (first, second) = (plan_of(|_| {}), plan_of(|r| r.spec.training.seed = 7));
    let results = [trained(&first, 1, "a", GOOD), trained(&second, 2, "b", GOOD)];
    let of_b = config(&serving_of(&second, &results, None));
    let decision = |plan: &Plan, before| {
        let (desired, _, candidate, choice) = summary(&serving_of(plan, &results, before));
        (desired, candidate, choice)
    };
    assert_eq!(decision(&first, Some(&of_b)), ("a".into(), "-".into(), Choice::Passed));
    assert_eq!(decision(&first, None), ("a".into(), "-".into(), Choice::Passed));
    let third = plan_of(|r| r.spec.training.seed = 8);
    assert_eq!(
        decision(&third, Some(&of_b)),
        ("b".into(), "-".into(), Choice::Kept),
        "until the third spec has a model"
    );
}

#[test]
fn the_last_good_revision_is_the_previous_one() {
    let auto = || plan_of(|_| {});
    let results = &[("a", GOOD), ("b", GOOD), ("c", GOOD)];
    let of_a = config_after(&[("a", GOOD)]);
    check("not the next lower number", auto(), results, Some(&of_a), ("c", "a", "-", Choice::Passed));
    let plan = auto();
    let after = config(&serving_of(&plan, &runs(&plan, results), Some(&of_a)));
    check("unchanged by the next decision", auto(), results, Some(&after), ("c", "a", "-", Choice::Passed));
}

#[test]
fn a_pinned_revision_serves_regardless_of_the_gate() {
    let of_b = config_after(&[("a", GOOD), ("b", GOOD)]);
    let results = &[("a", GOOD), ("b", GOOD), ("c", BAD)];
    check("an older revision", pinned("a"), results, Some(&of_b), ("a", "b", "b", Choice::Pinned));
    check("a failing revision", pinned("c"), results, Some(&of_b), ("c", "b", "b", Choice::Pinned));
    check("a missing revision", pinned("d"), results, Some(&of_b), ("b", "a", "-", Choice::PinNotFound));
    check("the store was lost", pinned("b"), &[], Some(&of_b), ("b", "a", "-", Choice::Pinned));
    check("unpinned", plan_of(|_| {}), results, Some(&of_b), ("b", "a", "-", Choice::Passed));
}

#[test]
fn manual_promotion_waits_for_the_user() {
    let of_a = config_after(&[("a", GOOD)]);
    let results = &[("a", GOOD), ("b", GOOD), ("c", BAD)];
    check("the current revision is kept", manual(None), results, Some(&of_a), ("a", "b", "b", Choice::Kept));
    check("promoted", manual(Some("b")), results, Some(&of_a), ("b", "a", "-", Choice::Promoted));
    check("the gate applies", manual(Some("c")), results, Some(&of_a), ("a", "b", "b", Choice::Kept));
    check(
        "the first model is not promoted either",
        manual(None),
        &[("a", GOOD)],
        None,
        ("a", "-", "-", Choice::PopularityOnly),
    );
}

#[test]
fn suspend_keeps_the_current_revision() {
    let suspended = || plan_of(|r| r.spec.suspend = true);
    let of_a = config_after(&[("a", GOOD)]);
    check("no promotion", suspended(), &[("a", GOOD), ("b", GOOD)], Some(&of_a), ("a", "b", "b", Choice::Kept));
    check("without a serving config", suspended(), &[("a", GOOD)], None, ("a", "-", "-", Choice::Passed));
}

#[test]
fn a_regression_fails_the_gate() {
    let plan = plan_of(|r| r.spec.evaluation.gate.max_regression = Some(0.02));
    let compared = |low: f64| {
        let mut value = serde_json::to_value(trained(&plan, 2, "b", GOOD)).unwrap();
        value["outcome"]["metrics"]["incumbent"] =
            json!({"digest": digest("a"), "lift": {"estimate": 0.0, "low": low, "high": 0.1}});
        serde_json::from_value::<RunResult>(value).unwrap()
    };
    assert_eq!(gate(&plan, &compared(-0.02)), GateVerdict::Passed { low: 0.1 });
    assert_eq!(gate(&plan, &compared(-0.03)), GateVerdict::Regressed { low: -0.03, allowed: 0.02 });
    assert_eq!(gate(&plan, &trained(&plan, 1, "a", GOOD)), GateVerdict::Passed { low: 0.1 }, "no model served before");
    let free = plan_of(|_| {});
    assert_eq!(gate(&free, &compared(-0.9)), GateVerdict::Passed { low: 0.1 }, "maxRegression is not set");
}

#[test]
fn a_run_is_given_the_snapshot_of_the_model_that_serves() {
    let plan = plan_of(|r| r.spec.evaluation.gate.max_regression = Some(0.02));
    let mut value = serde_json::to_value(trained(&plan, 1, "a", GOOD)).unwrap();
    value["outcome"]["parameters"] = json!({"als": {}});
    let incumbent = |value: &serde_json::Value| {
        let results = [serde_json::from_value::<RunResult>(value.clone()).unwrap()];
        incumbent_of(&plan, &results, &config_after(&[("a", GOOD)])).unwrap()
    };
    // A result of an older version.
    assert_eq!(incumbent(&value).snapshot, None);
    value["outcome"]["newestRowMicros"] = json!(7_000_000);
    let expected = IncumbentSnapshot { bytes: 9, newest_row_micros: 7_000_000 };
    assert_eq!((incumbent(&value).digest, incumbent(&value).snapshot), (digest("a"), Some(expected)));
}

#[test]
fn one_pod_loads_first_while_the_others_serve_the_last_good_revision() {
    let plan = plan_of(|_| {});
    let results = runs(&plan, &[("a", GOOD), ("b", GOOD)]);
    let decided = serving_of(&plan, &results, None);
    let report = |content: &str| -> ModelReport {
        serde_json::from_value(json!({"loaded": {
            "digest": digest(content), "algorithm": "als", "users": 1, "items": 1, "factors": 1, "loadedAt": 1,
        }}))
        .unwrap()
    };
    let on = |pod: &str, content: &str| (pod.to_owned(), report(content));
    let pods = ["p-2", "p-1"];
    let old = [on("p-1", "a"), on("p-2", "a")];
    let first = |before: Option<&ServingConfig>, pods: &[&str], reports: &[(String, ModelReport)], now| {
        loads_first(&decided, before, pods, reports, now).map(|first| (first.pod, first.since))
    };
    let pod = |name: &str, since| Some((name.to_owned(), since));
    assert_eq!(first(None, &pods, &old, 50), pod("p-1", 50));
    assert_eq!(first(Some(&config_after(&[("a", GOOD)])), &pods, &old, 50), pod("p-1", 50), "a new revision");
    let mut before = config(&decided);
    (before.loads_first, before.loads_first_since) = (Some("p-2".to_owned()), Some(50));
    assert_eq!(first(Some(&before), &pods, &old, 60), pod("p-2", 50), "the choice does not change");
    assert_eq!(first(Some(&before), &["p-1", "p-3"], &old, 60), pod("p-1", 50), "unless that pod is gone");
    let loaded = [on("p-1", "b"), on("p-2", "a")];
    assert_eq!(first(Some(&before), &pods, &loaded, 60), None, "after one pod has loaded it, all others follow");
    before.loads_first = None;
    assert_eq!(first(Some(&before), &pods, &old, 70), None, "and are not held back again");
    assert_eq!(first(None, &["p-1"], &old, 50), None, "a single pod");
    let only = serving_of(&plan, &results[..1], None);
    assert_eq!(loads_first(&only, None, &pods, &[], 50), None, "no last good revision");
}

#[test]
fn a_pod_that_cannot_be_asked_does_not_hold_the_others_back_forever() {
    let plan = plan_of(|_| {});
    let decided = serving_of(&plan, &runs(&plan, &[("a", GOOD), ("b", GOOD)]), None);
    let mut before = config(&decided);
    (before.loads_first, before.loads_first_since) = (Some("p-1".to_owned()), Some(1000));
    let pods = ["p-1", "p-2"];
    let is_waiting =
        |reports: &[(String, ModelReport)], now| loads_first(&decided, Some(&before), &pods, reports, now).is_some();
    assert!(is_waiting(&[], 1299) && !is_waiting(&[], 1300));
    // A pod that answers may take as long as it needs.
    let loading = [("p-1".to_owned(), ModelReport::default())];
    assert!(is_waiting(&loading, 9999));
    let other = [("p-2".to_owned(), ModelReport::default())];
    assert!(!is_waiting(&other, 1300), "the report of another pod says nothing about it");
}

#[test]
fn a_queued_rollout_keeps_the_current_config() {
    let plan = plan_of(|_| {});
    let of_a = config_after(&[("a", GOOD)]);
    let decided = serving_of(&plan, &runs(&plan, &[("a", GOOD), ("b", GOOD)]), Some(&of_a));
    assert!(decided.differs(Some(&of_a)));
    let kept = decided.keep_current(Some(&of_a));
    assert!(!kept.differs(Some(&of_a)));
    assert_eq!(config(&kept), of_a);
}

#[test]
fn suspending_keeps_that_only_popularity_serves() {
    let suspended = plan_of(|r| r.spec.suspend = true);
    let popular = config_after(&[("a", BAD)]);
    check("the gate failed", suspended, &[("a", BAD)], Some(&popular), ("a", "-", "-", Choice::PopularityOnly));
}

#[test]
fn the_config_names_no_metrics_of_a_model_that_may_not_serve() {
    let metrics = |low| config_after(&[("a", low)]).revisions[0].metrics.is_some();
    assert_eq!((metrics(GOOD), metrics(BAD)), (true, false));
}

#[test]
fn a_promotion_in_vain_states_why() {
    let refused = |promoted: &str, results: &[(&str, Option<f64>)]| {
        let plan = manual(Some(promoted));
        serving_of(&plan, &runs(&plan, results), None).refused_promotion
    };
    assert_eq!(refused("a", &[("a", GOOD), ("b", GOOD)]), None);
    assert_eq!(refused("c", &[("a", GOOD)]), Some(RefusedPromotion::NotFound));
    assert!(matches!(refused("a", &[("a", BAD)]), Some(RefusedPromotion::MayNotServe(judged)) if judged.run == 1));
    let automatic =
        plan_of(|r| r.metadata.annotations = Some([(PROMOTE_ANNOTATION.to_owned(), "x".to_owned())].into()));
    assert_eq!(serving_of(&automatic, &[], None).refused_promotion, None);
}
