//! Tables of what serves: the gate, the last good one, pin, promotion, suspend, and who loads first.

use recommender_crds::{ModelSpec, Promotion};
use serde_json::json;
use sidecar_contract::{Answers, Digest, ModelReport, RevisionRole, RunResult, ServingConfig};

use super::{plan_of, trained};
use crate::{
    decide::{Choice, Serving, Verdict, gate, loads_first, serving},
    names::PROMOTE_ANNOTATION,
    validate::Plan,
};

pub(super) const GOOD: Option<f64> = Some(0.1);
pub(super) const BAD: Option<f64> = Some(-0.1);
const UNMEASURED: Option<f64> = None;

pub(super) fn digest(content: &str) -> Digest {
    Digest::of(content.as_bytes())
}

/// Runs 1, 2, … of these contents and lifts.
pub(super) fn runs(plan: &Plan, of: &[(&str, Option<f64>)]) -> Vec<RunResult> {
    (1..).zip(of).map(|(number, (content, low))| trained(plan, number, content, *low)).collect()
}

/// The config that a decision leads to.
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

/// Contents by name: desired, last good, candidate, and how it was chosen.
fn said(decided: &Serving) -> (String, String, String, Choice) {
    let name = |wanted: Option<&Digest>| {
        let known = ["a", "b", "c", "d"].into_iter().find(|name| Some(&digest(name)) == wanted);
        known.unwrap_or("-").to_owned()
    };
    let desired = decided.desired.as_ref();
    let popular = desired.is_some_and(|revision| revision.answers == Answers::Popular);
    assert_eq!(popular, decided.choice == Choice::PopularOnly, "{decided:?}");
    assert!(desired.is_none_or(|revision| revision.role == RevisionRole::Desired));
    assert!(decided.last_good.as_ref().is_none_or(|revision| revision.role == RevisionRole::LastGood));
    (
        name(desired.map(|r| &r.digest)),
        name(decided.last_good.as_ref().map(|r| &r.digest)),
        name(decided.candidate.as_ref()),
        decided.choice.clone(),
    )
}

#[expect(clippy::needless_pass_by_value, reason = "reads better in the tables")]
fn check(
    what: &str,
    plan: Plan,
    results: &[(&str, Option<f64>)],
    before: Option<&ServingConfig>,
    expected: (&str, &str, &str, Choice),
) {
    let results = runs(&plan, results);
    let (desired, last_good, candidate, choice) = said(&serving(&plan, &results, before));
    assert_eq!((desired.as_str(), last_good.as_str(), candidate.as_str(), choice), expected, "{what}");
}

/// The config under which these runs serve by themselves.
fn serving_of(results: &[(&str, Option<f64>)]) -> ServingConfig {
    let plan = plan_of(|_| {});
    config(&serving(&plan, &runs(&plan, results), None))
}

#[test]
fn automatic_serves_the_newest_that_passes() {
    type Row =
        (&'static str, &'static [(&'static str, Option<f64>)], (&'static str, &'static str, &'static str, Choice));
    let table: &[Row] = &[
        ("nothing trained", &[], ("-", "-", "-", Choice::Nothing)),
        ("newest first", &[("a", GOOD), ("b", GOOD), ("c", GOOD)], ("c", "b", "-", Choice::Passed)),
        ("one that fails does not serve", &[("a", GOOD), ("b", BAD)], ("a", "-", "-", Choice::Passed)),
        ("equal bytes are one", &[("a", GOOD), ("b", GOOD), ("b", GOOD)], ("b", "a", "-", Choice::Passed)),
        ("unmeasured yields to a passing one", &[("a", GOOD), ("b", UNMEASURED)], ("a", "b", "-", Choice::Passed)),
        ("unmeasured serves if nothing passes", &[("a", BAD), ("b", UNMEASURED)], ("b", "-", "-", Choice::Unmeasured)),
        ("popularity when nothing may serve", &[("a", BAD), ("b", BAD)], ("b", "-", "-", Choice::PopularOnly)),
    ];
    for (what, results, expected) in table {
        check(what, plan_of(|_| {}), results, None, expected.clone());
    }
}

#[test]
fn what_serves_goes_on_when_nothing_may_take_its_place() {
    let auto = || plan_of(|_| {});
    let of_a = serving_of(&[("a", GOOD)]);
    check("a worse one comes", auto(), &[("a", GOOD), ("b", BAD)], Some(&of_a), ("a", "-", "-", Choice::Passed));
    check("the store was lost", auto(), &[], Some(&of_a), ("a", "-", "-", Choice::Kept));
    check("and a bad run came after", auto(), &[("b", BAD)], Some(&of_a), ("a", "-", "-", Choice::Kept));
    check("and a good one", auto(), &[("b", GOOD)], Some(&of_a), ("b", "a", "-", Choice::Passed));
    let strict = plan_of(|r| r.spec.evaluation.gate.min_lift_over_baseline = 0.5);
    check("the gate was raised", strict, &[("a", GOOD)], Some(&of_a), ("a", "-", "-", Choice::Kept));
    let of_unmeasured = serving_of(&[("a", UNMEASURED)]);
    let both = &[("a", UNMEASURED), ("b", UNMEASURED)];
    check("small data moves on", auto(), both, Some(&of_unmeasured), ("b", "a", "-", Choice::Unmeasured));
    let of_popular = serving_of(&[("a", BAD)]);
    check(
        "popularity of newer data",
        auto(),
        &[("a", BAD), ("b", BAD)],
        Some(&of_popular),
        ("b", "a", "-", Choice::PopularOnly),
    );
    check(
        "a first model passes",
        auto(),
        &[("a", BAD), ("b", GOOD)],
        Some(&of_popular),
        ("b", "a", "-", Choice::Passed),
    );
}

#[test]
fn a_spec_that_was_trained_before_serves_its_own_model_again() {
    let (first, second) = (plan_of(|_| {}), plan_of(|r| r.spec.training.seed = 7));
    let results = [trained(&first, 1, "a", GOOD), trained(&second, 2, "b", GOOD)];
    let of_b = config(&serving(&second, &results, None));
    let names = |plan: &Plan, before| {
        let (desired, _, candidate, choice) = said(&serving(plan, &results, before));
        (desired, candidate, choice)
    };
    assert_eq!(names(&first, Some(&of_b)), ("a".into(), "-".into(), Choice::Passed));
    assert_eq!(names(&first, None), ("a".into(), "-".into(), Choice::Passed));
    let third = plan_of(|r| r.spec.training.seed = 8);
    assert_eq!(names(&third, Some(&of_b)), ("b".into(), "-".into(), Choice::Kept), "until there is one");
}

#[test]
fn the_last_good_one_is_what_served_before() {
    let auto = || plan_of(|_| {});
    let results = &[("a", GOOD), ("b", GOOD), ("c", GOOD)];
    let of_a = serving_of(&[("a", GOOD)]);
    check("not the next in number", auto(), results, Some(&of_a), ("c", "a", "-", Choice::Passed));
    let plan = auto();
    let after = config(&serving(&plan, &runs(&plan, results), Some(&of_a)));
    check("and stays so", auto(), results, Some(&after), ("c", "a", "-", Choice::Passed));
}

#[test]
fn a_pin_serves_whatever_the_gate_says() {
    let of_b = serving_of(&[("a", GOOD), ("b", GOOD)]);
    let results = &[("a", GOOD), ("b", GOOD), ("c", BAD)];
    check("an older one", pinned("a"), results, Some(&of_b), ("a", "b", "b", Choice::Pinned));
    check("one that failed", pinned("c"), results, Some(&of_b), ("c", "b", "b", Choice::Pinned));
    check("one that is not there", pinned("d"), results, Some(&of_b), ("b", "a", "-", Choice::PinNotFound));
    check("the store was lost", pinned("b"), &[], Some(&of_b), ("b", "a", "-", Choice::Pinned));
    check("unpinned", plan_of(|_| {}), results, Some(&of_b), ("b", "a", "-", Choice::Passed));
}

#[test]
fn manual_promotion_waits_for_the_user() {
    let of_a = serving_of(&[("a", GOOD)]);
    let results = &[("a", GOOD), ("b", GOOD), ("c", BAD)];
    check("what serves stays", manual(None), results, Some(&of_a), ("a", "b", "b", Choice::Kept));
    check("promoted", manual(Some("b")), results, Some(&of_a), ("b", "a", "-", Choice::Promoted));
    check("the gate holds", manual(Some("c")), results, Some(&of_a), ("a", "b", "b", Choice::Kept));
    check("a first model waits, too", manual(None), &[("a", GOOD)], None, ("a", "-", "-", Choice::PopularOnly));
}

#[test]
fn suspend_keeps_what_serves() {
    let suspended = || plan_of(|r| r.spec.suspend = true);
    let of_a = serving_of(&[("a", GOOD)]);
    check("no promotion", suspended(), &[("a", GOOD), ("b", GOOD)], Some(&of_a), ("a", "b", "b", Choice::Kept));
    check("repair", suspended(), &[("a", GOOD)], None, ("a", "-", "-", Choice::Passed));
}

#[test]
fn a_loss_against_the_model_that_served_fails_the_gate() {
    let plan = plan_of(|r| r.spec.evaluation.gate.max_regression = Some(0.02));
    let against = |low: f64| {
        let mut value = serde_json::to_value(trained(&plan, 2, "b", GOOD)).unwrap();
        value["outcome"]["metrics"]["incumbent"] =
            json!({"digest": digest("a"), "lift": {"estimate": 0.0, "low": low, "high": 0.1}});
        serde_json::from_value::<RunResult>(value).unwrap()
    };
    assert_eq!(gate(&plan, &against(-0.02)), Verdict::Passed { low: 0.1 });
    assert_eq!(gate(&plan, &against(-0.03)), Verdict::Regressed { low: -0.03, allowed: 0.02 });
    assert_eq!(gate(&plan, &trained(&plan, 1, "a", GOOD)), Verdict::Passed { low: 0.1 }, "nothing served before");
    let free = plan_of(|_| {});
    assert_eq!(gate(&free, &against(-0.9)), Verdict::Passed { low: 0.1 }, "not asked for");
}

#[test]
fn one_pod_loads_first_while_the_others_answer_with_the_last_good_one() {
    let plan = plan_of(|_| {});
    let results = runs(&plan, &[("a", GOOD), ("b", GOOD)]);
    let decided = serving(&plan, &results, None);
    let report = |content: &str| -> ModelReport {
        serde_json::from_value(json!({"loaded": {
            "digest": digest(content), "algorithm": "als", "users": 1, "items": 1, "factors": 1, "loadedAt": 1,
        }}))
        .unwrap()
    };
    let on = |pod: &str, content: &str| (pod.to_owned(), report(content));
    let pods = ["p-2", "p-1"];
    let old = [on("p-1", "a"), on("p-2", "a")];
    let first = loads_first(&decided, None, &pods, &old);
    assert_eq!(first.as_deref(), Some("p-1"));
    let mut before = config(&decided);
    before.loads_first = Some("p-2".to_owned());
    assert_eq!(loads_first(&decided, Some(&before), &pods, &old).as_deref(), Some("p-2"), "it keeps its part");
    assert_eq!(
        loads_first(&decided, Some(&before), &["p-1", "p-3"], &old).as_deref(),
        Some("p-1"),
        "unless it is gone"
    );
    assert_eq!(loads_first(&decided, None, &pods, &[on("p-1", "b"), on("p-2", "a")]), None, "then all follow");
    assert_eq!(loads_first(&decided, None, &["p-1"], &old), None, "alone anyway");
    let only = serving(&plan, &results[..1], None);
    assert_eq!(loads_first(&only, None, &pods, &[]), None, "nothing else answers");
}

#[test]
fn a_held_rollout_is_the_config_before() {
    let plan = plan_of(|_| {});
    let of_a = serving_of(&[("a", GOOD)]);
    let decided = serving(&plan, &runs(&plan, &[("a", GOOD), ("b", GOOD)]), Some(&of_a));
    assert!(decided.differs(Some(&of_a)));
    let held = decided.held(Some(&of_a));
    assert!(!held.differs(Some(&of_a)));
    assert_eq!(config(&held), of_a);
}
