//! Tests of the conditions of gate, pin, promotion and serving pods.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use recommender_crds::{Reason, Recommender, RecommenderStatus};
use serde_json::{Value, json};
use sidecar_contract::{Digest, ModelReport, RunResult, ServingConfig};

use crate::{
    applied::{Applied, AppliedRollout},
    decide::{Backoff, Decision, Serving, TrainingTiming, decide},
    observed::{DeploymentFacts, Observed},
    status::{StatusInput, compute, has_rolled_out, stalled},
    validate::{self, Plan},
};

fn plan(spec: &Value, annotations: &Value) -> Plan {
    let mut object = json!({
        "apiVersion": "recmesh.dev/v1alpha1", "kind": "Recommender",
        "metadata": {"name": "movies", "namespace": "shop", "uid": "u-1", "generation": 3, "annotations": annotations},
        "spec": {"data": {"source": {"configMap": {"name": "ratings", "key": "ratings.csv"}}}},
    });
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    validate::plan(&serde_json::from_value::<Recommender>(object).unwrap(), &BTreeMap::new()).unwrap()
}

fn digest(content: &str) -> Digest {
    Digest::of(content.as_bytes())
}

fn run(plan: &Plan, number: u32, content: &str, low: f64) -> RunResult {
    serde_json::from_value(json!({
        "version": 1, "run": {"number": number, "attempt": plan.hashes.attempt}, "configHash": plan.hashes.config,
        "dataVersion": "v1", "startedAt": 1, "finishedAt": 2,
        "outcome": {
            "kind": "trained", "digest": digest(content), "snapshotBytes": 9, "algorithm": "als", "users": 3, "items": 4,
            "interactions": 5,
            "metrics": {
                "metric": "ndcg", "k": 10, "testUsers": 100, "model": {"ndcg": 0.3}, "baseline": {"ndcg": 0.2},
                "lift": {"estimate": 0.5, "low": low, "high": 0.9},
            },
        },
    }))
    .unwrap()
}

fn report(content: &str, failure: Option<&str>) -> ModelReport {
    let failure =
        failure.map(|content| json!({"digest": digest(content), "reason": "Corrupt", "message": "truncated file"}));
    serde_json::from_value(json!({
        "loaded": {"digest": digest(content), "algorithm": "als", "users": 1, "items": 1, "factors": 1, "loadedAt": 1},
        "failure": failure,
    }))
    .unwrap()
}

/// Input of a status: plan, runs, serving config, pod reports, and number of ready pods.
struct Scenario {
    plan: Plan,
    runs: Vec<RunResult>,
    before: Option<ServingConfig>,
    reports: Vec<(String, ModelReport)>,
    ready: i32,
    rollout_queued: bool,
    status_before: RecommenderStatus,
}

impl Scenario {
    fn new(plan: Plan, runs: Vec<RunResult>, reports: &[ModelReport]) -> Self {
        let reports: Vec<_> = (1..).zip(reports).map(|(n, report)| (format!("p-{n}"), report.clone())).collect();
        let ready = i32::try_from(reports.len()).unwrap();
        let status_before = RecommenderStatus::default();
        Self { plan, runs, before: None, reports, ready, rollout_queued: false, status_before }
    }

    fn status(&self) -> (RecommenderStatus, bool) {
        let observed = Observed {
            config: self.before.clone(),
            runs: Ok(self.runs.clone()),
            reports: self.reports.clone(),
            ..Observed::nothing()
        };
        let decision = decision(&self.plan, &observed);
        let serving = if self.rollout_queued { &decision.serving_while_queued } else { &decision.serving };
        let (ready, desired) = (self.ready, self.plan.spec.serving.replicas);
        let deployment = DeploymentFacts {
            desired,
            replicas: desired,
            ready,
            updated: desired,
            current: true,
            ..DeploymentFacts::default()
        };
        let rollout = AppliedRollout {
            config: Some(config_of(serving)),
            deployment: Some(deployment),
            queued: self.rollout_queued,
        };
        let input = StatusInput {
            plan: &self.plan,
            observed: &observed,
            decision: &decision,
            applied: &Applied { rollout, ..Applied::default() },
            trainings_max: 20,
            signs: false,
            before: &self.status_before,
        };
        (compute(input, Timestamp::from_second(1000).unwrap()), has_rolled_out(input))
    }

    /// Conditions as `Type=Status/Reason`, except those of training.
    fn conditions(&self) -> Vec<String> {
        let (status, _) = self.status();
        let is_serving = |kind: &str| !["DataReady", "Trained"].contains(&kind);
        let conditions = status.conditions.iter().filter(|c| is_serving(&c.type_));
        conditions.map(|c| format!("{}={}/{}", c.type_, c.status, c.reason)).collect()
    }

    fn message(&self, kind: &str) -> String {
        let (status, _) = self.status();
        status.conditions.iter().find(|c| c.type_ == kind).map(|c| c.message.clone()).unwrap_or_default()
    }
}

fn decision(plan: &Plan, observed: &Observed) -> Decision {
    let timing = TrainingTiming { backoff: Backoff { min: 10, max: 60 }, data_check_seconds: 0 };
    decide(plan, observed, &RecommenderStatus::default(), timing, 1000)
}

/// The serving config after these runs.
fn config(plan: &Plan, runs: &[RunResult]) -> ServingConfig {
    config_of(&decision(plan, &Observed { runs: Ok(runs.to_vec()), ..Observed::nothing() }).serving)
}

fn config_of(serving: &Serving) -> ServingConfig {
    serde_json::from_value(json!({
        "namespace": "shop", "name": "movies",
        "revisions": serving.desired.iter().chain(&serving.last_good).collect::<Vec<_>>(),
        "store": {"url": "s3://recmesh", "region": "us-east-1", "prefix": "x/"},
    }))
    .unwrap()
}

fn plain() -> Plan {
    plan(&json!({}), &json!({}))
}

#[test]
fn a_model_that_all_pods_serve_is_ready() {
    let scenario = Scenario::new(plain(), vec![run(&plain(), 1, "a", 0.1)], &[report("a", None)]);
    let expected = [
        "Ready=True/Serving",
        "QualityGatePassed=True/GatePassed",
        "ModelLoaded=True/Loaded",
        "ServingAvailable=True/ReplicasAvailable",
    ];
    assert_eq!(scenario.conditions(), expected);
    let (status, rolled_out) = scenario.status();
    assert!(rolled_out);
    // The Deployment is known only as it was applied.
    assert_eq!((status.replicas, status.ready_replicas, status.loaded_replicas), (1, 1, 1));
    assert_eq!(status.model.unwrap().revision, digest("a").revision());
    assert_eq!(status.metric, "ndcg@10 0.300 (+50 %)");
}

#[test]
fn a_failing_first_model_is_stalled_and_only_popularity_serves() {
    let scenario = Scenario::new(plain(), vec![run(&plain(), 1, "a", -0.1)], &[]);
    let conditions = scenario.conditions();
    assert!(conditions.contains(&"Ready=False/GateFailed".to_owned()), "{conditions:?}");
    assert!(conditions.contains(&"Stalled=True/GateFailed".to_owned()), "{conditions:?}");
    assert!(scenario.message("Ready").contains("popular"), "{}", scenario.message("Ready"));
}

#[test]
fn a_failed_load_falls_back_to_the_last_good_revision() {
    let runs = vec![run(&plain(), 1, "a", 0.1), run(&plain(), 2, "b", 0.1)];
    let mut scenario = Scenario::new(plain(), runs, &[report("a", Some("b"))]);
    scenario.before = Some(config(&plain(), &scenario.runs[..1]));
    let expected = [
        "Ready=True/Serving",
        "QualityGatePassed=True/GatePassed",
        "ModelLoaded=False/LoadFailed",
        "ServingAvailable=True/ReplicasAvailable",
    ];
    let conditions = scenario.conditions();
    assert_eq!(conditions[..4], expected);
    assert!(conditions.contains(&"RolledBack=True/FellBackToLastGood".to_owned()), "{conditions:?}");
    assert!(scenario.message("RolledBack").contains("truncated file"));
    assert!(!scenario.status().1, "it has not rolled out");
}

#[test]
fn a_pin_reports_the_revision_that_would_serve_without_it() {
    let runs = vec![run(&plain(), 1, "a", 0.1), run(&plain(), 2, "b", 0.1)];
    let pinned = plan(&json!({"model": {"revision": digest("a").revision()}}), &json!({}));
    let scenario = Scenario::new(pinned, runs.clone(), &[report("a", None)]);
    let conditions = scenario.conditions();
    assert!(conditions.contains(&"RolledBack=True/PinnedByUser".to_owned()), "{conditions:?}");
    assert!(conditions.contains(&"QualityGatePassed=True/PinnedByUser".to_owned()), "{conditions:?}");
    assert!(scenario.message("RolledBack").contains(digest("b").revision()));

    let missing = plan(&json!({"model": {"revision": "0123456789"}}), &json!({}));
    let mut scenario = Scenario::new(missing, runs, &[report("b", None)]);
    scenario.before = Some(config(&plain(), &scenario.runs));
    let conditions = scenario.conditions();
    assert!(conditions.contains(&"Stalled=True/RevisionNotFound".to_owned()), "{conditions:?}");
    assert!(conditions.contains(&"Ready=True/Serving".to_owned()), "{conditions:?}");
    let message = scenario.message("Stalled");
    assert!(message.contains(digest("a").revision()) && message.contains(digest("b").revision()), "{message}");
}

#[test]
fn manual_promotion_reports_the_command() {
    let manual = plan(&json!({"promotion": "Manual"}), &json!({}));
    let runs = vec![run(&manual, 1, "a", 0.1), run(&manual, 2, "b", 0.1)];
    let mut scenario = Scenario::new(manual.clone(), runs, &[report("a", None)]);
    scenario.before = Some(config(&plain(), &scenario.runs[..1]));
    let command = format!(
        "kubectl -n shop annotate --overwrite recommender movies recmesh.dev/promote={}",
        digest("b").revision()
    );
    assert!(scenario.message("Ready").ends_with(&command), "{}", scenario.message("Ready"));
    scenario.plan = plan(&json!({"promotion": "Manual"}), &json!({"recmesh.dev/promote": digest("b").revision()}));
    assert!(!scenario.message("Ready").contains("kubectl"), "{}", scenario.message("Ready"));
}

#[test]
fn a_queued_rollout_is_reconciling() {
    let runs = vec![run(&plain(), 1, "a", 0.1), run(&plain(), 2, "b", 0.1)];
    let mut scenario = Scenario::new(plain(), runs, &[report("a", None)]);
    scenario.before = Some(config(&plain(), &scenario.runs[..1]));
    scenario.rollout_queued = true;
    let conditions = scenario.conditions();
    assert!(conditions.contains(&"Reconciling=True/RolloutQueued".to_owned()), "{conditions:?}");
    assert!(conditions.contains(&"Ready=True/Serving".to_owned()), "{conditions:?}");
    let (status, rolled_out) = scenario.status();
    assert!(!rolled_out);
    assert_eq!(status.model.unwrap().revision, digest("a").revision(), "the current revision is reported");
}

#[test]
fn a_generation_that_was_stalled_is_reconciling_while_it_rolls_out() {
    let two = plan(&json!({"serving": {"replicas": 2}}), &json!({}));
    let mut scenario = Scenario::new(two.clone(), vec![run(&two, 1, "a", 0.1)], &[report("a", None)]);
    scenario.status_before = RecommenderStatus { observed_generation: 3, ..RecommenderStatus::default() };
    let conditions = scenario.conditions();
    assert!(!conditions.iter().any(|condition| condition.starts_with("Reconciling")), "{conditions:?}");
    let now = Timestamp::from_second(1000).unwrap();
    scenario.status_before = stalled(&scenario.status_before, 3, Reason::NameConflict, "Service movies exists", now);
    let conditions = scenario.conditions();
    assert!(conditions.contains(&"Reconciling=True/RollingOut".to_owned()), "{conditions:?}");
}

#[test]
fn zero_replicas_are_ready_and_too_few_pods_are_not() {
    let zero = plan(&json!({"serving": {"replicas": 0}}), &json!({}));
    let scenario = Scenario::new(zero.clone(), vec![run(&zero, 1, "a", 0.1)], &[]);
    assert!(scenario.conditions().contains(&"Ready=True/ScaledToZero".to_owned()), "{:?}", scenario.conditions());
    let two = plan(&json!({"serving": {"replicas": 2}}), &json!({}));
    let scenario = Scenario::new(two.clone(), vec![run(&two, 1, "a", 0.1)], &[report("a", None)]);
    let conditions = scenario.conditions();
    assert!(conditions.contains(&"Ready=False/ReplicasUnavailable".to_owned()), "{conditions:?}");
    assert!(conditions.contains(&"Reconciling=True/RollingOut".to_owned()), "{conditions:?}");
}

#[test]
fn a_suspended_recommender_serves() {
    let suspended = [json!({"suspend": true}), json!({"training": {"suspend": true}})];
    for spec in suspended {
        let scenario = Scenario::new(plan(&spec, &json!({})), vec![run(&plain(), 1, "a", 0.1)], &[report("a", None)]);
        let conditions = scenario.conditions();
        assert!(conditions.contains(&"Suspended=True/SuspendedByUser".to_owned()), "{conditions:?}");
        assert!(conditions.contains(&"Ready=True/Serving".to_owned()), "{conditions:?}");
    }
}
