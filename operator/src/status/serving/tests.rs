//! What a user reads of gate, pin, promotion and pods, for worlds given as JSON.

use k8s_openapi::jiff::Timestamp;
use recommender_crds::{Recommender, RecommenderStatus};
use serde_json::{Value, json};
use sidecar_contract::{Digest, ModelReport, RunResult, ServingConfig};

use crate::{
    decide::{self, Training},
    observe::{DeploymentFacts, Observed},
    status::{Facts, compute, has_rolled_out},
    validate::{Plan, validate},
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
    validate(&serde_json::from_value::<Recommender>(object).unwrap()).unwrap()
}

fn digest(content: &str) -> Digest {
    Digest::of(content.as_bytes())
}

fn run(plan: &Plan, number: u32, content: &str, low: f64) -> RunResult {
    serde_json::from_value(json!({
        "version": 1, "run": {"number": number, "attempt": decide::attempt(plan)}, "configHash": decide::config_hash(plan),
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
    let failure = failure.map(|of| json!({"digest": digest(of), "reason": "Corrupt", "message": "half a file"}));
    serde_json::from_value(json!({
        "loaded": {"digest": digest(content), "algorithm": "als", "users": 1, "items": 1, "factors": 1, "loadedAt": 1},
        "failure": failure,
    }))
    .unwrap()
}

/// A world: what served before, what the pods say, how many are ready.
struct World {
    plan: Plan,
    runs: Vec<RunResult>,
    before: Option<ServingConfig>,
    reports: Vec<(String, ModelReport)>,
    ready: i32,
    queued: bool,
}

impl World {
    fn new(plan: Plan, runs: Vec<RunResult>, reports: &[ModelReport]) -> Self {
        let reports: Vec<_> = (1..).zip(reports).map(|(n, report)| (format!("p-{n}"), report.clone())).collect();
        let ready = i32::try_from(reports.len()).unwrap();
        Self { plan, runs, before: None, reports, ready, queued: false }
    }

    fn status(&self) -> (RecommenderStatus, bool) {
        let serving = decide::serving(&self.plan, &self.runs, self.before.as_ref());
        let (ready, wanted) = (self.ready, self.plan.spec.serving.replicas);
        let observed = Observed {
            jobs: Vec::new(),
            pods: Vec::new(),
            deployment: Some(DeploymentFacts {
                wanted,
                replicas: wanted,
                ready,
                updated: wanted,
                current: true,
                ..DeploymentFacts::default()
            }),
            config: self.before.clone(),
            taken: Vec::new(),
            runs: Ok(self.runs.clone()),
            reports: self.reports.clone(),
        };
        let before = RecommenderStatus::default();
        let facts = Facts {
            plan: &self.plan,
            observed: &observed,
            training: &Training::Idle { next: None },
            serving: &serving,
            queued: self.queued,
            trainings_max: 20,
            before: &before,
        };
        (compute(facts, Timestamp::from_second(1000).unwrap()), has_rolled_out(facts))
    }

    /// Conditions as `Type=Status/Reason`, without those that training alone decides.
    fn says(&self) -> Vec<String> {
        let (status, _) = self.status();
        let of_serving = |kind: &str| !["DataReady", "Trained"].contains(&kind);
        let conditions = status.conditions.iter().filter(|c| of_serving(&c.type_));
        conditions.map(|c| format!("{}={}/{}", c.type_, c.status, c.reason)).collect()
    }

    fn message(&self, kind: &str) -> String {
        let (status, _) = self.status();
        status.conditions.iter().find(|c| c.type_ == kind).map(|c| c.message.clone()).unwrap_or_default()
    }
}

fn config(plan: &Plan, runs: &[RunResult]) -> ServingConfig {
    let serving = decide::serving(plan, runs, None);
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
fn a_model_that_serves_everywhere() {
    let world = World::new(plain(), vec![run(&plain(), 1, "a", 0.1)], &[report("a", None)]);
    let expected = [
        "Ready=True/Serving",
        "QualityGatePassed=True/GatePassed",
        "ModelLoaded=True/Loaded",
        "ServingAvailable=True/ReplicasAvailable",
    ];
    assert_eq!(world.says(), expected);
    let (status, rolled_out) = world.status();
    assert!(rolled_out);
    assert_eq!((status.model.unwrap().revision, status.loaded_replicas), (digest("a").revision().to_owned(), 1));
    assert_eq!(status.metric, "ndcg@10 0.300 (+50 %)");
}

#[test]
fn a_first_model_that_fails_is_stalled_and_popularity_answers() {
    let world = World::new(plain(), vec![run(&plain(), 1, "a", -0.1)], &[]);
    let said = world.says();
    assert!(said.contains(&"Ready=False/AwaitingFirstModel".to_owned()), "{said:?}");
    assert!(said.contains(&"Stalled=True/GateFailed".to_owned()), "{said:?}");
    assert!(world.message("Ready").contains("popular"), "{}", world.message("Ready"));
    assert_eq!(world.status().0.model, None, "a model that only lends its popularity does not serve");
}

#[test]
fn a_pod_that_cannot_load_leaves_the_last_good_one_and_says_so() {
    let runs = vec![run(&plain(), 1, "a", 0.1), run(&plain(), 2, "b", 0.1)];
    let mut world = World::new(plain(), runs, &[report("a", Some("b"))]);
    world.before = Some(config(&plain(), &world.runs[..1]));
    let expected = [
        "Ready=True/Serving",
        "QualityGatePassed=True/GatePassed",
        "ModelLoaded=False/LoadFailed",
        "ServingAvailable=True/ReplicasAvailable",
    ];
    let said = world.says();
    assert_eq!(said[..4], expected);
    assert!(said.contains(&"RolledBack=True/LastGoodServes".to_owned()), "{said:?}");
    assert!(world.message("RolledBack").contains("half a file"));
    assert!(!world.status().1, "it has not rolled out");
}

#[test]
fn a_pin_says_what_would_serve_without_it() {
    let runs = vec![run(&plain(), 1, "a", 0.1), run(&plain(), 2, "b", 0.1)];
    let pinned = plan(&json!({"model": {"revision": digest("a").revision()}}), &json!({}));
    let world = World::new(pinned, runs.clone(), &[report("a", None)]);
    let said = world.says();
    assert!(said.contains(&"RolledBack=True/PinnedByUser".to_owned()), "{said:?}");
    assert!(said.contains(&"QualityGatePassed=True/PinnedByUser".to_owned()), "{said:?}");
    assert!(world.message("RolledBack").contains(digest("b").revision()));

    let missing = plan(&json!({"model": {"revision": "0123456789"}}), &json!({}));
    let mut world = World::new(missing, runs, &[report("b", None)]);
    world.before = Some(config(&plain(), &world.runs));
    let said = world.says();
    assert!(said.contains(&"Stalled=True/RevisionNotFound".to_owned()), "{said:?}");
    assert!(said.contains(&"Ready=True/Serving".to_owned()), "{said:?}");
    let message = world.message("Stalled");
    assert!(message.contains(digest("a").revision()) && message.contains(digest("b").revision()), "{message}");
}

#[test]
fn manual_promotion_holds_the_exact_command() {
    let manual = plan(&json!({"promotion": "Manual"}), &json!({}));
    let runs = vec![run(&manual, 1, "a", 0.1), run(&manual, 2, "b", 0.1)];
    let mut world = World::new(manual.clone(), runs, &[report("a", None)]);
    world.before = Some(config(&plain(), &world.runs[..1]));
    let command = format!(
        "kubectl -n shop annotate --overwrite recommender movies recmesh.dev/promote={}",
        digest("b").revision()
    );
    assert!(world.message("Ready").ends_with(&command), "{}", world.message("Ready"));
    world.plan = plan(&json!({"promotion": "Manual"}), &json!({"recmesh.dev/promote": digest("b").revision()}));
    assert!(!world.message("Ready").contains("kubectl"), "{}", world.message("Ready"));
}

#[test]
fn a_rollout_that_waits_its_turn_is_reconciling() {
    let mut world = World::new(plain(), vec![run(&plain(), 1, "a", 0.1)], &[report("a", None)]);
    world.queued = true;
    let said = world.says();
    assert!(said.contains(&"Reconciling=True/RolloutQueued".to_owned()), "{said:?}");
    assert!(said.contains(&"Ready=True/Serving".to_owned()), "{said:?}");
    assert!(!world.status().1);
}

#[test]
fn replicas_zero_is_ready_and_too_few_pods_are_not() {
    let zero = plan(&json!({"serving": {"replicas": 0}}), &json!({}));
    let world = World::new(zero.clone(), vec![run(&zero, 1, "a", 0.1)], &[]);
    assert!(world.says().contains(&"Ready=True/ScaledToZero".to_owned()), "{:?}", world.says());
    let two = plan(&json!({"serving": {"replicas": 2}}), &json!({}));
    let world = World::new(two.clone(), vec![run(&two, 1, "a", 0.1)], &[report("a", None)]);
    let said = world.says();
    assert!(said.contains(&"Ready=False/ReplicasUnavailable".to_owned()), "{said:?}");
    assert!(said.contains(&"Reconciling=True/RollingOut".to_owned()), "{said:?}");
}

#[test]
fn who_is_suspended_says_so_and_serves() {
    let suspended = [json!({"suspend": true}), json!({"training": {"suspend": true}})];
    for spec in suspended {
        let world = World::new(plan(&spec, &json!({})), vec![run(&plain(), 1, "a", 0.1)], &[report("a", None)]);
        let said = world.says();
        assert!(said.contains(&"Suspended=True/SuspendedByUser".to_owned()), "{said:?}");
        assert!(said.contains(&"Ready=True/Serving".to_owned()), "{said:?}");
    }
}
