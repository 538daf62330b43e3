//! A mocked cluster: the API server, the operator's context, a store in a directory, serving pods,
//! and what other programs do: users, the trainer, the Deployment controller.

use std::{future::pending, path::Path, sync::Arc};

use clap::Parser as _;
use kube::runtime::controller::Action;
use recommender_crds::Recommender;
use recommender_operator::{
    args::{Cli, Command},
    context::Context,
    controller,
    error::Error,
    events::Recorder,
    installation::StoreRoot,
    metrics::Metrics,
    reconcile::reconcile,
};
use serde_json::{Value, json};
use sidecar_contract::{Digest, KeyLayout, ServingConfig, StoreConfig, TrainingConfig, paths};
use store_client::Store;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::{fake_api::FakeApi, serving_pods::ServingPods};

const INSTALLATION_ID: &str = "1b2c";

/// A mocked cluster.
pub struct Cluster {
    pub api: FakeApi,
    pub context: Arc<Context>,
    directory: TempDir,
}

impl Cluster {
    /// An empty cluster.
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// An empty cluster whose operator has additional settings.
    pub fn with(settings: &[&str]) -> Self {
        Self::with_http(settings, reqwest::Client::builder().no_proxy())
    }

    /// An empty cluster with serving pods that report.
    pub async fn with_pods(settings: &[&str], pods: &ServingPods) -> Self {
        let proxy = reqwest::Proxy::http(format!("http://{}", pods.listen().await)).unwrap();
        Self::with_http(settings, reqwest::Client::builder().proxy(proxy))
    }

    fn with_http(settings: &[&str], http: reqwest::ClientBuilder) -> Self {
        store_client::install_tls_provider();
        let (api, directory) = (FakeApi::default(), tempfile::tempdir().unwrap());
        let url = format!("--store-url=file://{}", directory.path().display());
        let fixed = [
            "recmesh-operator",
            "run",
            "--namespace=recmesh-system",
            "--sidecar-image=sidecar:1",
            "--store-endpoint=http://store:9000",
            "--data-check-seconds=0",
            &url,
        ];
        let cli = Cli::try_parse_from(fixed.iter().chain(settings)).unwrap();
        let Command::Run(settings) = cli.command else { panic!("the subcommand is not run") };
        let root = StoreRoot { key: vec![7; 32], installation_id: INSTALLATION_ID.to_owned() };
        let recorder = Recorder::new(api.client(), "recmesh-operator-0");
        let metrics = Arc::new(Metrics::new().unwrap());
        let context = Arc::new(Context::new(api.client(), settings, root, metrics, recorder, http.build().unwrap()));
        Self { api, context, directory }
    }

    /// A cluster with the Recommender shop/movies, which has this spec in addition to a source.
    pub fn with_movies(spec: &Value) -> Self {
        let cluster = Self::new();
        cluster.create("movies", spec);
        cluster
    }

    /// Creates a Recommender in the namespace shop.
    pub fn create(&self, name: &str, spec: &Value) {
        self.create_in("shop", name, spec);
    }

    /// Creates a Recommender.
    pub fn create_in(&self, namespace: &str, name: &str, spec: &Value) {
        let mut object = json!({
            "apiVersion": "recmesh.dev/v1alpha1", "kind": "Recommender",
            "metadata": {"name": name, "namespace": namespace, "uid": format!("u-{name}")},
            "spec": {"data": {"source": {"configMap": {"name": "ratings", "key": "ratings.csv"}}}},
        });
        for (field, value) in spec.as_object().unwrap() {
            object["spec"][field] = value.clone();
        }
        self.api.put(&recommender(name).replace("/shop/", &format!("/{namespace}/")), object);
    }

    /// Starts the controller, which watches all namespaces. It runs until the result is dropped.
    pub fn start_controller(&self) -> RunningController {
        RunningController(tokio::spawn(controller::run(Arc::clone(&self.context), pending())))
    }

    /// Changes a Recommender, as a user does.
    pub fn edit(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut object = self.api.get(&recommender(name));
        change(&mut object);
        self.api.put(&recommender(name), object);
    }

    /// Runs one pass. The cached object is the current one, or one that was deleted.
    pub async fn reconcile(&self, name: &str) -> Result<Action, Error> {
        let mut cached = self.api.get(&recommender(name));
        if cached.is_null() {
            cached = json!({
                "apiVersion": "recmesh.dev/v1alpha1", "kind": "Recommender",
                "metadata": {"name": name, "namespace": "shop", "uid": format!("u-{name}")},
                "spec": {"data": {"source": {"url": "s3://shop/ratings.csv"}}},
            });
        }
        let cached: Recommender = serde_json::from_value(cached).unwrap();
        // Boxed because the future is large.
        Box::pin(reconcile(&cached, &self.context)).await
    }

    /// Runs a pass that succeeds, and returns its writes.
    pub async fn pass(&self, name: &str) -> Vec<String> {
        self.api.take_writes();
        self.reconcile(name).await.unwrap();
        self.api.take_writes()
    }

    /// Status, reason and message of a condition; empty if it is absent.
    pub fn condition(&self, name: &str, kind: &str) -> (String, String, String) {
        let conditions = self.api.get(&recommender(name))["status"]["conditions"].clone();
        let found = conditions.as_array().into_iter().flatten().find(|c| c["type"] == kind).cloned();
        let found = found.unwrap_or_default();
        let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
        (text("status"), text("reason"), text("message"))
    }

    /// Reason of a condition; empty if it is absent.
    pub fn reason(&self, name: &str, kind: &str) -> String {
        self.condition(name, kind).1
    }

    /// Commits the result of a Job as the trainer does, and completes the Job.
    pub async fn finish_run(&self, name: &str, number: u32, content: &str) {
        self.commit_run(name, number, content, 2).await;
        let path = job(name, number);
        let mut object = self.api.get(&path);
        object["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}]});
        self.api.put(&path, object);
    }

    /// Commits the result of a Job as the trainer does at this second since 1970.
    pub async fn commit_run(&self, name: &str, number: u32, content: &str, finished_at: i64) {
        let object = self.api.get(&job(name, number));
        let env = object["spec"]["template"]["spec"]["containers"][0]["env"].clone();
        let variable = env.as_array().unwrap().iter().find(|v| v["name"] == paths::TRAINING_CONFIG_ENV).unwrap();
        let config: TrainingConfig = serde_json::from_str(variable["value"].as_str().unwrap()).unwrap();
        let result = json!({
            "version": 1, "run": config.run, "configHash": config.config_hash(), "dataVersion": "v1",
            "retrainAt": config.retrain_at, "decidedAt": config.decided_at,
            "startedAt": 1, "finishedAt": finished_at,
            "outcome": {
                "kind": "trained", "digest": Digest::of(content.as_bytes()), "snapshotBytes": 9, "algorithm": "als",
                "users": 3, "items": 4, "interactions": 5,
            },
        });
        self.store(name).create_run(&serde_json::from_value(result).unwrap()).await.unwrap();
    }

    /// Creates a running serving pod with this address, and the ReplicaSet that owns it.
    pub fn create_pod(&self, name: &str, pod: &str, ip: &str) {
        let set = format!("/apis/apps/v1/namespaces/shop/replicasets/{name}-5d8f");
        let labels = json!({
            "recmesh.dev/recommender": name, "app.kubernetes.io/component": "serving", "pod-template-hash": "5d8f",
        });
        let uid = self.api.get(&deployment(name))["metadata"]["uid"].clone();
        let owners =
            json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": uid, "controller": true}]);
        let meta =
            json!({"name": format!("{name}-5d8f"), "namespace": "shop", "labels": labels, "ownerReferences": owners});
        self.api.put(&set, json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta}));
        let uid = self.api.get(&set)["metadata"]["uid"].clone();
        let owners = json!([{
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{name}-5d8f"), "uid": uid, "controller": true,
        }]);
        let containers = json!([{
            "name": "sidecar", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}},
        }]);
        self.api.put(
            &core("pods", pod),
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": pod, "namespace": "shop", "labels": labels, "ownerReferences": owners},
                "status": {"podIP": ip, "containerStatuses": containers},
            }),
        );
    }

    /// Creates the trainer pod of a Job, with these container statuses.
    pub fn create_trainer(&self, name: &str, number: u32, containers: &Value) {
        let job_name = format!("{name}-train-{number}");
        let labels = json!({
            "recmesh.dev/recommender": name, "app.kubernetes.io/component": "trainer", "recmesh.dev/run": number.to_string(),
        });
        let uid = self.api.get(&job(name, number))["metadata"]["uid"].clone();
        let owners =
            json!([{"apiVersion": "batch/v1", "kind": "Job", "name": job_name, "uid": uid, "controller": true}]);
        let pod = format!("{job_name}-x");
        self.api.put(
            &core("pods", &pod),
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": pod, "namespace": "shop", "labels": labels, "ownerReferences": owners},
                "status": {"containerStatuses": containers},
            }),
        );
    }

    /// Reports that all pods of a Deployment have its template and are ready.
    pub fn complete_rollout(&self, name: &str) {
        let mut object = self.api.get(&deployment(name));
        let replicas = object["spec"]["replicas"].clone();
        object["status"] = json!({
            "observedGeneration": object["metadata"]["generation"],
            "replicas": replicas, "readyReplicas": replicas, "updatedReplicas": replicas,
        });
        self.api.put(&deployment(name), object);
    }

    /// The serving config in force.
    pub fn serving_config(&self, name: &str) -> ServingConfig {
        let map = self.api.get(&core("configmaps", &format!("{name}-serving")));
        serde_json::from_str(map["data"][paths::SERVING_CONFIG_FILE].as_str().unwrap()).unwrap()
    }

    /// The part of the store that belongs to a Recommender.
    pub fn store(&self, name: &str) -> Store {
        let config = StoreConfig {
            url: format!("file://{}", self.directory.path().display()),
            endpoint: None,
            region: String::new(),
            prefix: KeyLayout::recommender_prefix(INSTALLATION_ID, "shop", name),
        };
        Store::open(&config, None).unwrap()
    }

    /// Directory of the store.
    pub fn store_directory(&self) -> &Path {
        self.directory.path()
    }
}

/// A controller that runs.
pub struct RunningController(JoinHandle<()>);

impl Drop for RunningController {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Path of a Recommender.
pub fn recommender(name: &str) -> String {
    format!("/apis/recmesh.dev/v1alpha1/namespaces/shop/recommenders/{name}")
}

/// Path of the Job of a run.
pub fn job(name: &str, number: u32) -> String {
    format!("/apis/batch/v1/namespaces/shop/jobs/{name}-train-{number}")
}

/// Path of an object of the core group.
pub fn core(plural: &str, name: &str) -> String {
    format!("/api/v1/namespaces/shop/{plural}/{name}")
}

/// Path of a Deployment.
pub fn deployment(name: &str) -> String {
    format!("/apis/apps/v1/namespaces/shop/deployments/{name}")
}
