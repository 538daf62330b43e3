//! API server without the rest of a cluster, and simulations of what the tests need: a trainer that
//! finishes immediately, the garbage collector, and a user who promotes waiting revisions.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use e2e::{commands::Commands, install::SYSTEM_NAMESPACE, wait};
use kube::{
    Api, Client, Config,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::GroupVersionKind,
};
use serde_json::{Value, json};
use sidecar_contract::{Digest, TrainingConfig, paths};
use tokio::task::JoinHandle;

/// Interval between two rounds of the simulation.
const INTERVAL: Duration = Duration::from_millis(100);
/// The garbage collector runs once in this many rounds.
const GC_ROUNDS: u32 = 10;
/// Label of all children of Recommenders.
const CHILD_LABEL: &str = "recmesh.dev/recommender";
/// Group, version, kind and plural of all kinds that the operator creates.
pub const KINDS: [(&str, &str, &str, &str); 8] = [
    ("", "v1", "ServiceAccount", "serviceaccounts"),
    ("", "v1", "Secret", "secrets"),
    ("", "v1", "ConfigMap", "configmaps"),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
    ("", "v1", "Service", "services"),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    ("apps", "v1", "Deployment", "deployments"),
    ("batch", "v1", "Job", "jobs"),
];

/// API server, directory of the store, and simulated controllers.
pub struct FakeCluster {
    pub client: Client,
    /// Directory of the file-backed store.
    pub store: PathBuf,
    directory: PathBuf,
    server: Child,
    simulation: JoinHandle<()>,
}

impl FakeCluster {
    /// Starts the API server and creates the CRD of `crds/`.
    pub async fn start(name: &str) -> Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let cluster = root.join("tests/cluster");
        let directory = std::env::temp_dir().join(format!("recmesh-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let kubeconfig = directory.join("kubeconfig");
        // The parent-death signal stops the script when the test process ends without running
        // destructors.
        let mut server = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(cluster.join("apiserver"))
            .arg(&directory)
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start setpriv")?;
        let ended = wait::until("the API server is ready", || {
            let ended = server.try_wait()?;
            ensure!(kubeconfig.exists() || ended.is_some(), "no kubeconfig");
            Ok(ended)
        })
        .await?;
        ensure!(ended.is_none(), "the API server did not start: see the logs in {}", directory.display());
        let tools = Command::new(cluster.join("cluster")).arg("path").output()?;
        let commands = Commands::new(String::from_utf8(tools.stdout)?.trim(), &kubeconfig);
        let definition = root.join("crds/recommenders.yaml");
        commands.kubectl(&["create", "-f", &definition.to_string_lossy()])?;
        commands.kubectl(&["create", "namespace", SYSTEM_NAMESPACE])?;
        let client = client(&kubeconfig).await?;
        // The API is served only a moment after its definition is created.
        wait::until_async("recommenders are served", async || {
            recommenders(&client, None).list(&ListParams::default()).await?;
            Ok(())
        })
        .await?;
        let store = directory.join("store");
        std::fs::create_dir_all(&store)?;
        let simulation = tokio::spawn(simulate(client.clone(), store.clone()));
        Ok(Self { client, store, directory, server, simulation })
    }

    /// Returns operator arguments that select this store and lift the limits on concurrent runs and
    /// rollouts.
    pub fn operator_arguments(&self) -> Vec<String> {
        let settings = ["--store-endpoint=http://127.0.0.1:9", "--rollouts-max=1000", "--trainings-max=1000"];
        let store = format!("--store-url=file://{}", self.store.display());
        settings.iter().map(|setting| (*setting).to_owned()).chain([store]).collect()
    }

    pub async fn create_namespace(&self, name: &str) -> Result<()> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let api = Api::<DynamicObject>::all_with(self.client.clone(), &resource("", "v1", "Namespace", "namespaces"));
        api.patch(name, &PatchParams::apply("test"), &Patch::Apply(&namespace)).await.map(drop).map_err(Into::into)
    }

    /// Returns the schema of `spec` from the API server.
    pub async fn schema(&self) -> Result<Value> {
        let kind = resource("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions");
        let definitions = Api::<DynamicObject>::all_with(self.client.clone(), &kind);
        let definition = definitions.get("recommenders.recmesh.dev").await?;
        Ok(definition.data["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone())
    }

    /// Applies a Recommender as `kubectl apply --server-side` does. `Ok(Err(…))` is the message of
    /// the API server if it rejects the object.
    pub async fn apply(
        &self,
        (namespace, name): (&str, &str),
        spec: &Value,
        annotations: &Value,
        dry_run: bool,
    ) -> Result<Result<(), String>> {
        let object = json!({
            "apiVersion": "recmesh.dev/v1alpha1", "kind": "Recommender",
            "metadata": {"name": name, "namespace": namespace, "annotations": annotations}, "spec": spec,
        });
        let params = PatchParams { dry_run, ..PatchParams::apply("user").force() };
        match recommenders(&self.client, Some(namespace)).patch(name, &params, &Patch::Apply(&object)).await {
            Ok(_) => Ok(Ok(())),
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 422 | 500) => Ok(Err(status.message.clone())),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the whole object; null if it does not exist.
    pub async fn get(&self, (namespace, name): (&str, &str)) -> Result<Value> {
        let found = recommenders(&self.client, Some(namespace)).get_opt(name).await?;
        Ok(found.map(serde_json::to_value).transpose()?.unwrap_or_default())
    }

    /// Returns the names of the Jobs of a Recommender that have not ended or are being deleted.
    pub async fn running_jobs(&self, (namespace, name): (&str, &str)) -> Result<Vec<String>> {
        let jobs = children(&self.client, KINDS[7], Some(namespace)).list(&selector(name)).await?;
        let is_running = |job: &DynamicObject| job.metadata.deletion_timestamp.is_some() || !has_ended(job);
        Ok(jobs.items.into_iter().filter(is_running).filter_map(|job| job.metadata.name).collect())
    }

    pub async fn delete(&self, (namespace, name): (&str, &str)) -> Result<()> {
        match recommenders(&self.client, Some(namespace)).delete(name, &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for FakeCluster {
    fn drop(&mut self) {
        self.simulation.abort();
        // The children of the script are bound to it by a parent-death signal, so they end, too.
        let _ = self.server.kill();
        let _ = self.server.wait();
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}

async fn client(kubeconfig: &Path) -> Result<Client> {
    let config = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    Client::try_from(config).context("cannot build a Kubernetes client")
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// Returns the API of a kind of [`KINDS`], in one namespace or in all.
pub fn children(client: &Client, kind: (&str, &str, &str, &str), namespace: Option<&str>) -> Api<DynamicObject> {
    let resource = resource(kind.0, kind.1, kind.2, kind.3);
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

pub fn recommenders(client: &Client, namespace: Option<&str>) -> Api<DynamicObject> {
    children(client, ("recmesh.dev", "v1alpha1", "Recommender", "recommenders"), namespace)
}

/// Returns list parameters that select the children of a Recommender.
pub fn selector(name: &str) -> ListParams {
    ListParams::default().labels(&format!("{CHILD_LABEL}={name}"))
}

async fn simulate(client: Client, store: PathBuf) {
    for round in 0_u32.. {
        let mut outcome = promote_waiting(&client).await;
        outcome = outcome.and(complete_jobs(&client, &store).await);
        if round % GC_ROUNDS == 0 {
            outcome = outcome.and(collect_garbage(&client).await);
        }
        if let Err(error) = outcome {
            eprintln!("simulated cluster: {error:#}"); // The next round retries.
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Promotes waiting revisions with the annotation that the condition message gives.
async fn promote_waiting(client: &Client) -> Result<()> {
    for object in recommenders(client, None).list(&ListParams::default()).await?.items {
        let conditions = object.data["status"]["conditions"].as_array().into_iter().flatten();
        let mut messages = conditions.filter_map(|condition| condition["message"].as_str());
        let Some(command) = messages.find(|message| message.contains("recmesh.dev/promote=")) else { continue };
        let revision = command.rsplit('=').next().unwrap_or_default();
        let patch = json!({"metadata": {"annotations": {"recmesh.dev/promote": revision}}});
        let (namespace, name) = (object.metadata.namespace.as_deref(), object.metadata.name.as_deref());
        let api = recommenders(client, namespace);
        ignore_missing_or_conflict(
            api.patch(name.unwrap_or_default(), &PatchParams::default(), &Patch::Merge(&patch)).await,
        )?;
    }
    Ok(())
}

fn has_ended(job: &DynamicObject) -> bool {
    job.data["status"]["conditions"].as_array().is_some_and(|conditions| !conditions.is_empty())
}

/// Completes every running Job: writes its result to the store and sets the Complete condition.
async fn complete_jobs(client: &Client, store: &Path) -> Result<()> {
    let jobs = KINDS[7];
    for job in children(client, jobs, None).list(&ListParams::default().labels(CHILD_LABEL)).await?.items {
        let namespace = job.metadata.namespace.as_deref().context("the Job has no namespace")?;
        let name = job.metadata.name.as_deref().context("the Job has no name")?;
        let api = children(client, jobs, Some(namespace));
        if job.metadata.deletion_timestamp.is_some() {
            // There are no pods, for whose deletion the garbage collector would wait.
            let patch = json!({"metadata": {"finalizers": null}});
            ignore_missing_or_conflict(api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await)?;
            continue;
        }
        if has_ended(&job) {
            continue;
        }
        let env = job.data["spec"]["template"]["spec"]["containers"][0]["env"].as_array().cloned().unwrap_or_default();
        let config = env.iter().find(|variable| variable["name"] == paths::TRAINING_CONFIG_ENV);
        let config =
            config.and_then(|variable| variable["value"].as_str()).context("the Job has no training config")?;
        write_result(store, &serde_json::from_str(config)?)?;
        let now = job.metadata.creation_timestamp.clone();
        let condition =
            |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now, "lastProbeTime": now});
        let status = json!({"status": {
            "startTime": now, "completionTime": now, "succeeded": 1,
            "conditions": [condition("SuccessCriteriaMet"), condition("Complete")],
        }});
        ignore_missing_or_conflict(api.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await)?;
    }
    Ok(())
}

/// Writes the run result of a training config: a model far better than the baseline. Equal configs
/// give equal models.
fn write_result(store: &Path, config: &TrainingConfig) -> Result<()> {
    let hash = config.config_hash();
    let digest = Digest::of(format!("the model of {hash}").as_bytes());
    let directory = store.join(&config.store.prefix);
    for part in ["runs", "snapshots"] {
        std::fs::create_dir_all(directory.join(part))?;
    }
    let now = SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
    let lift = json!({"estimate": 12.0, "low": 11.0, "high": 13.0});
    let measured = json!({"recall": 0.5, "ndcg": 0.5, "rmse": null, "mae": null});
    let result = json!({
        "version": 1, "run": config.run, "configHash": hash, "dataVersion": "1",
        "retrainAt": config.retrain_at, "decidedAt": config.decided_at, "startedAt": now, "finishedAt": now,
        "outcome": {
            "kind": "trained", "digest": digest, "snapshotBytes": 5, "algorithm": config.algorithm.name(),
            "parameters": config.algorithm, "users": 60, "items": 20, "interactions": 540,
            "metrics": {
                "metric": "ndcg", "k": config.evaluation.k, "testUsers": 60, "model": measured, "baseline": measured,
                "lift": lift,
            },
        },
    });
    std::fs::write(directory.join(format!("snapshots/{digest}.safetensors")), "model")?;
    let path = directory.join(format!("runs/{}.json", config.run));
    if !path.exists() {
        // Written atomically, as by the store.
        let temporary = directory.join(format!("{}.new", config.run));
        std::fs::write(&temporary, result.to_string())?;
        std::fs::rename(temporary, path)?;
    }
    Ok(())
}

/// Deletes children whose owner no longer exists. Owners are listed after the children: a UID that
/// is missing then cannot reappear. Kinds that the operator watches are deleted first, so that no
/// event triggers a reconcile after the others are deleted.
async fn collect_garbage(client: &Client) -> Result<()> {
    let mut owned = Vec::new();
    for kind in KINDS {
        let list = children(client, kind, None).list_metadata(&ListParams::default().labels(CHILD_LABEL)).await?;
        owned.extend(list.items.into_iter().map(|item| (kind, item.metadata)));
    }
    let owners = recommenders(client, None).list_metadata(&ListParams::default()).await?;
    let existing: BTreeSet<String> = owners.items.into_iter().filter_map(|owner| owner.metadata.uid).collect();
    for (kind, meta) in owned.into_iter().rev() {
        let first = meta.owner_references.iter().flatten().next();
        if first.is_some_and(|owner| !existing.contains(&owner.uid)) {
            let api = children(client, kind, meta.namespace.as_deref());
            let deleted = api.delete(meta.name.as_deref().unwrap_or_default(), &DeleteParams::background()).await;
            ignore_missing_or_conflict(deleted.map(drop))?;
        }
    }
    Ok(())
}

/// Ignores that an object was deleted (404) or changed (409) meanwhile.
fn ignore_missing_or_conflict<T>(outcome: Result<T, kube::Error>) -> Result<()> {
    match outcome {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
