//! Derives each row of the table in `docs/conditions.md` from a state of the cluster.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use recommender_crds::{ConditionType, Reason, Recommender, RecommenderStatus, condition::find};
use serde_json::{Value, json};
use sidecar_contract::{
    BatchConfig, BatchResult, CatalogueResult, Digest, ItemCounts, RunResult, ServingConfig, TimedId,
};

use super::{StatusInput, compute, stalled};
use crate::{
    applied::{Applied, AppliedRollout, JobOutcome},
    decide::{Backoff, Serving, TrainingDecision, TrainingTiming, decide},
    error::Error,
    names::{Component, PROMOTE_ANNOTATION},
    observed::{
        DeploymentFacts, EndedBatches, EndedCatalogues, JobFacts, JobState, Observed, PodFacts, PodProblem, TaskFacts,
    },
    validate::{self, Plan},
};

const NOW: i64 = 1000;

/// A state of the cluster. By default there is a Recommender with one replica, and nothing else.
struct Scene {
    recommender: Value,
    /// Results of runs, of which attempt and hash are those of the spec unless given.
    runs: Vec<Value>,
    is_store_down: bool,
    jobs: Vec<JobFacts>,
    /// Results of batches of lists, newest first.
    batches: Vec<BatchResult>,
    is_batch_running: bool,
    /// Results of catalogues, newest first.
    catalogues: Vec<CatalogueResult>,
    pods: Vec<PodFacts>,
    /// Reports of pods.
    reports: Vec<Value>,
    /// Runs after which the serving config in force was written.
    served: Vec<Value>,
    ready: i32,
    /// Message of the condition ReplicaFailure.
    rejected: Option<&'static str>,
    queued: bool,
    job: Option<JobOutcome>,
    refused: Vec<Error>,
    before: RecommenderStatus,
    /// Reason and message with which the pass stopped before it applied anything.
    stopped: Option<(Reason, &'static str)>,
}

fn scene() -> Scene {
    Scene {
        recommender: json!({
            "apiVersion": "recmesh.dev/v1alpha1", "kind": "Recommender",
            "metadata": {"name": "movies", "namespace": "shop", "uid": "u-1", "generation": 2},
            "spec": {"data": {"source": {"configMap": {"name": "ratings", "key": "ratings.csv"}}}},
        }),
        runs: Vec::new(),
        is_store_down: false,
        jobs: Vec::new(),
        batches: Vec::new(),
        is_batch_running: false,
        catalogues: Vec::new(),
        pods: Vec::new(),
        reports: Vec::new(),
        served: Vec::new(),
        ready: 0,
        rejected: None,
        queued: false,
        job: None,
        refused: Vec::new(),
        before: RecommenderStatus { observed_generation: 2, ..RecommenderStatus::default() },
        stopped: None,
    }
}

/// A run that trained a model with this lower bound of the lift.
fn trained(number: u32, content: &str, low: f64) -> Value {
    json!({
        "run": {"number": number}, "rows": {"read": 100, "kept": 100},
        "outcome": {
            "kind": "trained", "digest": Digest::of(content.as_bytes()), "snapshotBytes": 9, "algorithm": "als", "users": 3,
            "items": 4, "interactions": 5,
            "metrics": {
                "metric": "ndcg", "k": 10, "testUsers": 100, "model": {"ndcg": 0.3}, "baseline": {"ndcg": 0.2},
                "lift": {"estimate": low + 0.1, "low": low, "high": low + 0.2},
            },
        },
    })
}

fn failed(number: u32, reason: &str) -> Value {
    json!({"run": {"number": number}, "outcome": {"kind": "failed", "reason": reason, "message": "m"}})
}

fn items_spec() -> Value {
    json!({"data": {"items": {"source": {"url": "s3://shop/items.csv"}, "filters": [{"column": "genre"}]}}})
}

/// A result without a catalogue.
fn catalogue_result(held: bool, failure: &str) -> CatalogueResult {
    CatalogueResult {
        version: 1,
        id: TimedId::new(1, &Digest::of(b"table")),
        spec_hash: Digest::of(b""),
        revision: Digest::of(b"a"),
        catalogue: None,
        items: held.then_some(ItemCounts { items: 60, available: 20, missing: 0, unknown: 0 }),
        held,
        failure: failure.to_owned(),
        finished_at: 1,
    }
}

fn batch_spec() -> Value {
    json!({"batch": {"destination": {"url": "s3://shop/lists"}}})
}

/// A batch of [`batch_spec`] that was decided at this second and failed.
fn batch_failed(decided_at: i64) -> BatchResult {
    let revision = Digest::of(b"a");
    BatchResult {
        version: 1,
        id: TimedId::new(decided_at, &revision),
        spec_hash: BatchConfig::spec_hash_of(20, "s3://shop/lists"),
        revision,
        lists: None,
        failure: "access denied".to_owned(),
        started_at: decided_at,
        finished_at: decided_at + 1,
    }
}

/// The running Job of a batch.
fn batch_job(plan: &Plan) -> TaskFacts {
    TaskFacts {
        component: Component::Batch,
        name: "movies-batch-1".to_owned(),
        id: TimedId::new(1, &Digest::of(b"a")),
        spec_hash: plan.batch.as_ref().unwrap().spec_hash.revision().to_owned(),
        request: None,
        deleted: false,
        state: JobState::Running,
        finished_at: 0,
        message: String::new(),
    }
}

fn report(content: &str, mode: &str) -> Value {
    json!({"loaded": {
        "digest": Digest::of(content.as_bytes()), "servingMode": mode, "algorithm": "als", "users": 1, "items": 1,
        "factors": 1, "loadedAt": 1,
    }})
}

fn report_of_failure(content: &str, failed: &str, reason: &str) -> Value {
    let mut report = report(content, "personalized");
    report["failure"] = json!({"digest": Digest::of(failed.as_bytes()), "reason": reason, "message": "m"});
    report
}

fn pod(component: Component, problem: Option<Reason>) -> PodFacts {
    PodFacts {
        component: Some(component),
        run: (component == Component::Trainer).then_some(1),
        problem: problem.map(|reason| PodProblem { reason, message: "m".to_owned() }),
        ..PodFacts::default()
    }
}

impl Scene {
    fn spec(mut self, spec: &Value) -> Self {
        for (field, value) in spec.as_object().unwrap() {
            match value {
                Value::Object(fields) if self.recommender["spec"][field].is_object() => {
                    self.recommender["spec"][field].as_object_mut().unwrap().extend(fields.clone());
                }
                other => self.recommender["spec"][field] = other.clone(),
            }
        }
        self
    }

    fn annotated(mut self, name: &str, value: &str) -> Self {
        self.recommender["metadata"]["annotations"] = json!({name: value});
        self
    }

    fn run(mut self, run: Value) -> Self {
        self.runs.push(run);
        self
    }

    /// A run that is in the store, and after which the config in force was written.
    fn served(mut self, run: Value) -> Self {
        self.served.push(run.clone());
        self.run(run)
    }

    /// Ready pods that report this.
    fn pods(mut self, reports: &[Value]) -> Self {
        self.reports.extend_from_slice(reports);
        self.ready = i32::try_from(self.reports.len()).unwrap();
        self
    }

    /// A Job of the first run, and what prevents its pod from running.
    fn job(mut self, state: JobState, problem: Option<Reason>) -> Self {
        self.jobs.push(JobFacts { state, run: 1, ..JobFacts::default() });
        self.pods.push(pod(Component::Trainer, problem));
        self
    }

    /// The status before: Ready with this many pods.
    fn was_ready(mut self, pods: i32) -> Self {
        let ready = recommender_crds::condition::ConditionUpdate::is(ConditionType::Ready, Reason::Serving, "");
        let now = Timestamp::from_second(NOW).unwrap();
        self.before.conditions = recommender_crds::condition::merge(&[], &[ready], 2, now);
        self.before.ready_replicas = pods;
        self
    }

    fn of_new_generation(mut self) -> Self {
        self.before.observed_generation = 1;
        self
    }

    fn plan(&self) -> Plan {
        let recommender: Recommender = serde_json::from_value(self.recommender.clone()).unwrap();
        validate::plan(&recommender, &BTreeMap::new()).unwrap()
    }

    /// The results, of the spec of this scene.
    fn ended_catalogues(&self, plan: &Plan) -> Vec<CatalogueResult> {
        let spec_hash = plan.catalogue.as_ref().map(|catalogue| catalogue.spec_hash.clone());
        let of_spec = |result: &CatalogueResult| CatalogueResult {
            spec_hash: spec_hash.clone().unwrap_or_else(|| result.spec_hash.clone()),
            ..result.clone()
        };
        self.catalogues.iter().map(of_spec).collect()
    }

    fn status(&self) -> RecommenderStatus {
        let now = Timestamp::from_second(NOW).unwrap();
        if let Some((reason, message)) = self.stopped {
            return stalled(&self.before, 2, reason, message, now);
        }
        let plan = self.plan();
        let jobs = self.jobs.iter().cloned().map(|job| JobFacts {
            attempt: plan.hashes.attempt.clone(),
            spec_hash: plan.hashes.spec.clone(),
            ..job
        });
        let observed = Observed {
            config: (!self.served.is_empty()).then(|| config(&served_before(&self.served))),
            runs: if self.is_store_down { Err("no route".into()) } else { Ok(results(&plan, &self.runs)) },
            jobs: jobs.collect(),
            tasks: self.is_batch_running.then(|| batch_job(&plan)).into_iter().collect(),
            batches: Ok(EndedBatches { newest: self.batches.clone(), older: Vec::new() }),
            catalogues: Ok(EndedCatalogues { newest: self.ended_catalogues(&plan), older: Vec::new() }),
            pods: self.pods.clone(),
            reports: (1..)
                .zip(&self.reports)
                .map(|(n, report)| (format!("p-{n}"), serde_json::from_value(report.clone()).unwrap()))
                .collect(),
            ..Observed::nothing()
        };
        let decision = decide(&plan, &observed, &self.before, timing(), NOW);
        let serving = if self.queued { &decision.serving_while_queued } else { &decision.serving };
        let replicas = plan.spec.serving.replicas;
        let deployment = DeploymentFacts {
            ready: self.ready,
            replicas,
            desired: replicas,
            problem: self.rejected.map(str::to_owned),
            ..DeploymentFacts::default()
        };
        let job = match decision.training {
            TrainingDecision::Idle { .. } | TrainingDecision::Wait { .. } => JobOutcome::None,
            _ => JobOutcome::InProgress,
        };
        let applied = Applied {
            job: self.job.unwrap_or(job),
            rollout: AppliedRollout {
                config: serving.desired.is_some().then(|| config(serving)),
                deployment: serving.desired.is_some().then_some(deployment),
                queued: self.queued,
            },
            refused: self.refused.iter().map(copy).collect(),
            ..Applied::default()
        };
        let input = StatusInput {
            plan: &plan,
            observed: &observed,
            decision: &decision,
            applied: &applied,
            trainings_max: 20,
            signs: false,
            before: &self.before,
        };
        compute(input, now)
    }
}

/// What served after these runs, before the spec was changed.
fn served_before(runs: &[Value]) -> Serving {
    let (plan, before) = (scene().plan(), RecommenderStatus::default());
    let observed = Observed { runs: Ok(results(&plan, runs)), ..Observed::nothing() };
    decide(&plan, &observed, &before, timing(), NOW).serving
}

fn timing() -> TrainingTiming {
    TrainingTiming { backoff: Backoff { min: 10, max: 60 }, data_check_seconds: 0 }
}

fn copy(error: &Error) -> Error {
    forbidden(&error.rejection().unwrap_or_default())
}

fn forbidden(message: &str) -> Error {
    let status = kube::core::Status::failure(message, "").with_code(403);
    Error::api("cannot create Job shop/movies-train-1")(kube::Error::Api(Box::new(status)))
}

fn results(plan: &Plan, runs: &[Value]) -> Vec<RunResult> {
    let complete = |run: &Value| {
        let mut result = json!({
            "version": 1, "configHash": plan.hashes.config, "dataVersion": "v1", "startedAt": NOW, "finishedAt": NOW,
        });
        result.as_object_mut().unwrap().extend(run.as_object().unwrap().clone());
        if result["run"]["attempt"].is_null() {
            result["run"]["attempt"] = json!(plan.hashes.attempt);
        }
        serde_json::from_value(result).unwrap()
    };
    runs.iter().map(complete).collect()
}

fn config(serving: &Serving) -> ServingConfig {
    serde_json::from_value(json!({
        "namespace": "shop", "name": "movies",
        "revisions": serving.desired.iter().chain(&serving.last_good).collect::<Vec<_>>(),
        "store": {"url": "s3://recmesh", "region": "us-east-1", "prefix": "x/"},
    }))
    .unwrap()
}

const PERSONALIZED: &str = "personalized";
const POPULARITY: &str = "popularityOnly";

/// Ready and serving run 1.
fn serving() -> Scene {
    scene().served(trained(1, "a", 0.1)).pods(&[report("a", PERSONALIZED)])
}

/// The only model did not pass the gate.
fn gate_failed() -> Scene {
    scene().served(trained(1, "a", -0.1)).pods(&[report("a", POPULARITY)])
}

/// The only run of the spec failed.
fn run_failed(reason: &str) -> Scene {
    scene().run(failed(1, reason))
}

/// The only Job failed without a result, and its pod has this reason in its termination message.
fn job_failed(reason: &str) -> Scene {
    let mut scene = scene().job(JobState::Failed, None);
    scene.pods[0].termination_message =
        Some(serde_json::from_value(json!({"reason": reason, "message": "m"})).unwrap());
    scene
}

/// A run with these rows.
fn rows(number: u32, content: &str, rows: &Value) -> Value {
    let mut run = trained(number, content, 0.1);
    run["rows"] = rows.clone();
    run
}

fn many_dropped() -> Scene {
    scene().served(rows(1, "a", &json!({"read": 100, "kept": 80, "dropped": {"notANumber": 20}})))
}

/// The state of the cluster that a sentence of the table describes.
#[expect(clippy::too_many_lines, reason = "one arm for each sentence")]
fn described(condition: &str, when: &str) -> Scene {
    let pinned = |scene: Scene| scene.spec(&json!({"model": {"revision": Digest::of(b"a").revision()}}));
    match when {
        "the required pods are ready, and a pod serves a model"
        | "a run of this spec has read the data"
        | "a model of this spec exists, and the last run did not fail"
        | "the lower bound of the lift reaches `evaluation.gate.minLiftOverBaseline`"
        | "all pods report the revision"
        | "all desired pods are ready" => serving(),
        "more pods are starting, and those that were ready before still are" => {
            serving().spec(&json!({"serving": {"replicas": 6}})).was_ready(1)
        }
        "a pod cannot load the newest model, and the pods serve the last good one"
        | "a pod cannot load the revision"
        | "the last good model serves, because the newest one cannot be loaded" => scene()
            .served(trained(1, "a", 0.1))
            .run(trained(2, "b", 0.1))
            .pods(&[report_of_failure("a", "b", "Corrupt")]),
        "the snapshot does not match its digest" => scene()
            .served(trained(1, "a", 0.1))
            .run(trained(2, "b", 0.1))
            .pods(&[report_of_failure("a", "b", "DigestMismatch")]),
        "pods are ready, and none answers the operator" | "no ready pod answers the operator on port 9090" => {
            Scene { ready: 1, ..scene().served(trained(1, "a", 0.1)) }
        }
        "`serving.replicas` is 0 and a model is trained" | "`serving.replicas` is 0" => {
            scene().spec(&json!({"serving": {"replicas": 0}})).served(trained(1, "a", 0.1))
        }
        "fewer pods are ready than required" | "fewer pods are ready than desired" => {
            serving().spec(&json!({"serving": {"replicas": 2}}))
        }
        "the first model is trained, and its catalogue is not made yet" => {
            scene().spec(&items_spec()).run(trained(1, "a", 0.1))
        }
        "some pods do not report the revision yet" => {
            Scene { ready: 2, ..serving().spec(&json!({"serving": {"replicas": 2}})) }
        }
        "the pods are ready, and none of them serves the model yet" => {
            gate_failed().spec(&json!({"evaluation": {"gate": {"minLiftOverBaseline": -0.2}}}))
        }
        "only popularity serves, because the model did not pass the gate"
        | "the lower bound of the lift is below `evaluation.gate.minLiftOverBaseline`"
        | "no model may serve, and no run is due that may change this" => gate_failed(),
        "the spec is suspended while only popularity serves" => gate_failed().spec(&json!({"suspend": true})),
        "only popularity serves, because the model awaits its promotion" => {
            scene().spec(&json!({"promotion": "Manual"})).run(trained(1, "a", 0.1)).pods(&[report("a", POPULARITY)])
        }
        "only popularity serves, because the run dropped too many rows"
        | "a run dropped more rows than `data.maxDroppedFraction`" => many_dropped(),
        "a run kept fewer rows than `data.minRows`" => serving().spec(&json!({"data": {"minRows": 101}})),
        "a run kept far fewer rows than the serving model has: `data.maxShrinkFraction`" => {
            serving().run(rows(2, "b", &json!({"read": 40, "kept": 40})))
        }
        "the first run is in progress"
        | "a run of a new spec is in progress"
        | "a model of a new spec is being trained" => scene().job(JobState::Running, None),
        "nothing serves, and `model.revision` names a revision that is not in the store" => {
            scene().run(trained(1, "a", 0.1)).spec(&json!({"model": {"revision": "0123456789"}}))
        }
        "the spec was rejected before anything served" | "the operator rejected the spec" => {
            Scene { stopped: Some((Reason::InvalidSpec, "m")), ..scene() }
        }
        "an object of another owner has the name of a child" => {
            Scene { stopped: Some((Reason::NameConflict, "m")), ..scene() }
        }
        "the store of a deleted Recommender cannot be emptied, or its runs have not ended for a minute" => {
            Scene { stopped: Some((Reason::Deleting, "m")), ..scene() }
        }
        "a run read the data of another spec" => {
            let mut other = trained(1, "a", 0.1);
            other["configHash"] = json!(Digest::of(b"another spec"));
            scene().served(other)
        }
        "the store is unreachable, so it is unknown what was read"
        | "the store is unreachable, so the models are unknown" => Scene { is_store_down: true, ..scene() },
        "the source does not exist, or its credentials may not read it" => run_failed("SourceNotFound"),
        "the server of the source does not respond" => job_failed("SourceUnreachable"),
        "the data does not match the spec" | "the first run failed; the reason is that of `Trained`" => {
            run_failed("DataInvalid")
        }
        "a run failed, and a retry with the same inputs would fail again" => run_failed("DataInvalid"),
        "too few interactions remain to train on" => run_failed("TooFewInteractions"),
        "a Secret or volume that the spec names does not exist" | "a referenced object is missing" => {
            scene().job(JobState::Running, Some(Reason::ReferenceNotFound))
        }
        "the API server rejects the trainer pod (quota, LimitRange, PodSecurity)" => {
            let mut scene = scene().job(JobState::Running, None);
            scene.pods.clear();
            scene.jobs[0].problem = Some("pods \"p\" is forbidden: exceeded quota".to_owned());
            scene
        }
        "the trainer pod cannot start (image, volume, crash)" => {
            scene().job(JobState::Running, Some(Reason::TrainingBlocked))
        }
        "the API server rejects serving pods; the message is its sentence" => {
            Scene { rejected: Some("pods \"p\" is forbidden: exceeded quota"), ..scene().served(trained(1, "a", 0.1)) }
        }
        "the trainer pod waits for a node" => scene().job(JobState::Running, Some(Reason::TrainingPending)),
        "the run waits for a training slot" | "the training of a new spec is queued" => {
            Scene { job: Some(JobOutcome::Queued), ..scene() }
        }
        "the spec suspends training before a model of it exists" => {
            scene().spec(&json!({"training": {"suspend": true}}))
        }
        "a run failed and is retried" => job_failed("Retry"),
        "a run exceeded `training.deadline`" => {
            let mut scene = scene().job(JobState::Failed, None);
            "DeadlineExceeded".clone_into(&mut scene.jobs[0].reason);
            scene
        }
        "the trainer was OOMKilled" => scene().job(JobState::Failed, Some(Reason::OOMKilled)),
        "the only run failed before it read the data"
        | "the run needs more memory than its limit"
        | "the trainer needs more memory; the message states the limit to set" => run_failed("CapacityInsufficient"),
        "the training diverged" => run_failed("TrainingDiverged"),
        "the trainer rejected its configuration" => run_failed("ConfigInvalid"),
        "this version does not support what the spec requests" => run_failed("NotSupported"),
        "the model may be worse than the serving one by more than `evaluation.gate.maxRegression`" => {
            let mut worse = trained(2, "b", 0.1);
            let lift = json!({"estimate": -0.1, "low": -0.2, "high": 0.0});
            worse["outcome"]["metrics"]["incumbent"] = json!({"digest": Digest::of(b"a"), "lift": lift});
            serving().spec(&json!({"evaluation": {"gate": {"maxRegression": 0.02}}})).run(worse)
        }
        "there are too few test users for a comparison" => {
            let mut unmeasured = trained(1, "a", 0.1);
            unmeasured["outcome"]["metrics"] = Value::Null;
            scene().run(unmeasured)
        }
        "no run of this spec has read the data yet" | "no model has been trained" | "there is no model to load" => {
            scene()
        }
        "`model.revision` pins a revision; the status is the verdict on it"
        | "a pin keeps a newer model from serving" => pinned(serving().run(trained(2, "b", 0.1))),
        "pods of a new generation are starting" => {
            serving().spec(&json!({"serving": {"replicas": 2}})).of_new_generation()
        }
        "the rollout of a new generation waits for other Recommenders" => {
            Scene { queued: true, ..serving().run(trained(2, "b", 0.1)).of_new_generation() }
        }
        "the API server rejected an object" => {
            Scene { refused: vec![forbidden("exceeded quota")], job: Some(JobOutcome::Refused), ..scene() }
        }
        "`model.revision` names a revision that is not in the store" => {
            serving().spec(&json!({"model": {"revision": "0123456789"}}))
        }
        "the annotation `recmesh.dev/promote` names a revision that is not in the store" => {
            serving().spec(&json!({"promotion": "Manual"})).annotated(PROMOTE_ANNOTATION, "nonsense")
        }
        "the annotation `recmesh.dev/promote` names a model that did not pass the gate" => serving()
            .run(trained(2, "b", -0.1))
            .spec(&json!({"promotion": "Manual"}))
            .annotated(PROMOTE_ANNOTATION, Digest::of(b"b").revision()),
        "`suspend` or `training.suspend` is true" => serving().spec(&json!({"suspend": true})),
        "a serving pod needs more memory; the message states the limit to set" => scene()
            .served(trained(1, "a", 0.1))
            .run(trained(2, "b", 0.1))
            .pods(&[report_of_failure("a", "b", "CapacityInsufficient")]),
        "the item table lacks more than half of the items, or takes them out of stock" => {
            Scene { catalogues: vec![catalogue_result(true, "")], ..serving().spec(&items_spec()) }
        }
        "a refresh of the catalogue failed and is retried" => {
            Scene { catalogues: vec![catalogue_result(false, "no column")], ..serving().spec(&items_spec()) }
        }
        "a batch of lists for all users failed and is retried" => {
            Scene { batches: vec![batch_failed(1)], ..serving().spec(&batch_spec()) }
        }
        "the pod of a batch cannot start (image, Secret, volume, crash, memory)" => {
            let mut scene = serving().spec(&batch_spec());
            scene.pods.push(pod(Component::Batch, Some(Reason::BatchBlocked)));
            Scene { is_batch_running: true, ..scene }
        }
        other => panic!("no state of the cluster for {condition}: {other}"),
    }
}

/// Condition, status, reason, and when it holds.
fn documented() -> Vec<[&'static str; 4]> {
    let document = include_str!("../../../docs/conditions.md");
    let cells = |line: &'static str| -> Option<[&'static str; 4]> {
        let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
        cells.try_into().ok()
    };
    document.lines().filter_map(cells).filter(|[condition, ..]| ConditionType::parse(condition).is_some()).collect()
}

#[test]
fn each_row_of_the_table_holds() {
    let rows = documented();
    assert!(rows.len() > 70, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for [kind, status, reason, when] in rows {
        let of_composition = super::composition::tests::described(when);
        let conditions = of_composition.unwrap_or_else(|| described(kind, when).status().conditions);
        let found = find(&conditions, ConditionType::parse(kind).unwrap());
        let found = found.map(|c| (c.status.as_str(), c.reason.as_str(), c.message.as_str()));
        if found.map(|(status, reason, _)| (status, reason)) != Some((status, reason)) {
            wrong.push(format!("{kind}: {when}: {found:?} instead of {status}/{reason}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_has_all_conditions_and_reasons() {
    let rows = documented();
    for kind in ConditionType::ALL {
        assert!(rows.iter().any(|[condition, ..]| *condition == kind.as_str()), "{kind}");
    }
    for reason in Reason::ALL {
        assert!(rows.iter().any(|[_, _, documented, _]| *documented == reason.as_str()), "{reason}");
    }
}

#[test]
fn the_reason_of_the_table_is_what_needs_attention_first() {
    let scenes = vec![
        (serving(), "Serving"),
        (scene().job(JobState::Running, None), "TrainingRunning"),
        (gate_failed(), "GateFailed"),
        (run_failed("DataInvalid"), "DataInvalid"),
        (serving().run(failed(2, "DataInvalid")), "DataInvalid"),
        (serving().run(trained(2, "b", -0.1)), "GateFailed"),
        (serving().run(trained(2, "b", 0.1)), "Loading"),
        (serving().spec(&json!({"model": {"revision": "0123456789"}})), "RevisionNotFound"),
        (serving().spec(&json!({"suspend": true})), "SuspendedByUser"),
        (Scene { batches: vec![batch_failed(1)], ..serving().spec(&batch_spec()) }, "BatchNotWritten"),
        (serving().spec(&json!({"serving": {"replicas": 6}})).was_ready(1), "ReplicasUnavailable"),
        (Scene { ready: 1, ..scene().served(trained(1, "a", 0.1)) }, "PodsUnreachable"),
    ];
    for (scene, expected) in scenes {
        let status = scene.status();
        assert_eq!(status.reason, expected, "{:?}", status.conditions);
    }
}

#[test]
fn a_model_that_misses_the_gate_shows_its_metric_and_revision() {
    let status = gate_failed().status();
    let model = status.model.unwrap();
    assert_eq!(model.revision, Digest::of(b"a").revision());
    assert_eq!(model.serving_mode, recommender_crds::ServingMode::PopularityOnly);
    assert_eq!((status.metric.as_str(), status.algorithm.as_str()), ("ndcg@10 0.300 (+0 %)", "als"));
}

#[test]
fn a_failed_gate_states_what_was_measured_what_helps_and_the_command() {
    let message = |scene: Scene| {
        let conditions = scene.status().conditions;
        find(&conditions, ConditionType::QualityGatePassed).unwrap().message.clone()
    };
    let first = message(gate_failed());
    let measured = format!(
        "revision {} (run 1): ndcg@10 0.300, +0.0 % compared with the popularity baseline",
        Digest::of(b"a").revision()
    );
    assert!(first.starts_with(&measured), "{first}");
    assert!(first.contains("95 % interval -10.0 % to +10.0 % (100 test users)"), "{first}");
    assert!(first.contains("training.tuning: {} searches for better parameters"), "{first}");
    let command = r#"kubectl -n shop patch recommender movies --type merge -p '{"spec":{"evaluation":{"gate":{"minLiftOverBaseline":-0.1}}}}'"#;
    assert!(first.ends_with(command), "{first}");
    let tuned = message(gate_failed().spec(&json!({"training": {"tuning": {}}})));
    assert!(!tuned.contains("training.tuning") && tuned.contains("more data narrows the interval"), "{tuned}");
    let ratings = json!({"data": {"signal": "explicit"}, "training": {"tuning": {}}});
    let ratings = message(gate_failed().spec(&ratings));
    assert!(ratings.contains("algorithm.als.sampling: {}"), "{ratings}");
}

#[test]
fn the_history_lists_a_revision_once() {
    let status = scene().run(trained(1, "a", 0.1)).run(trained(2, "b", 0.1)).run(trained(3, "a", 0.1)).status();
    let listed: Vec<u32> = status.history.iter().map(|entry| entry.run).collect();
    assert_eq!(listed, [3, 2]);
}

#[test]
fn the_last_run_is_one_of_the_spec() {
    let mut other = failed(2, "DataInvalid");
    other["configHash"] = json!(Digest::of(b"another spec"));
    other["run"]["attempt"] = json!("0123456789");
    let status = scene().run(trained(1, "a", 0.1)).run(other.clone()).status();
    assert_eq!(status.last_run.map(|run| run.number), Some(1));
    assert_eq!(scene().run(other).status().last_run, None);
}

#[test]
fn rows_that_are_read_in_another_form_are_in_the_status() {
    let forms = json!({"paddedId": 12, "floatId": 3, "nullWord": 9, "dateNumber": 80});
    let status = scene().served(rows(1, "a", &json!({"read": 100, "kept": 100, "reinterpreted": forms}))).status();
    let counts = status.last_run.unwrap().rows.unwrap().reinterpreted;
    assert_eq!(serde_json::to_value(counts).unwrap(), forms);
    let message = status.conditions.iter().find(|condition| condition.type_ == "DataReady").map(|c| c.message.as_str());
    assert_eq!(
        message,
        Some(
            "100 of 100 rows kept, 0 dropped, 0 merged, values read in another form than written: dateNumber 80, paddedId 12, \
             nullWord 9"
        )
    );
}
