//! An API server alone, and who stands in for the rest of a cluster: a trainer that ends at once, the garbage collector,
//! and the user who promotes what waits for it.

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

/// Pause between two rounds of those who stand in.
const PAUSE: Duration = Duration::from_millis(100);
/// The garbage is looked for once in so many rounds.
const GARBAGE_EVERY: u32 = 10;
/// Label of every child.
const CHILD: &str = "recmesh.dev/recommender";
/// Group, version, kind and plural of all that the operator makes.
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

/// The API server, the store's directory, and what the Recommenders are.
pub struct World {
    pub client: Client,
    pub kubeconfig: PathBuf,
    /// The directory that is the store.
    pub store: PathBuf,
    directory: PathBuf,
    server: Child,
    others: JoinHandle<()>,
}

impl World {
    /// Starts the server, with the definition of `crds/` in it.
    pub async fn start(name: &str) -> Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let cluster = root.join("tests/cluster");
        let directory = std::env::temp_dir().join(format!("recmesh-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let kubeconfig = directory.join("kubeconfig");
        // The death signal ends the script when this test ends in a way that drops nothing.
        let server = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(cluster.join("apiserver"))
            .arg(&directory)
            .stdout(Stdio::null())
            .spawn()
            .context("setpriv")?;
        wait::until("the API server is ready", || {
            ensure!(kubeconfig.exists(), "not yet");
            Ok(())
        })
        .await?;
        let tools = Command::new(cluster.join("cluster")).arg("path").output()?;
        let commands = Commands::new(String::from_utf8(tools.stdout)?.trim(), &kubeconfig);
        let definition = root.join("crds/recommenders.yaml");
        commands.kubectl(&["create", "-f", &definition.to_string_lossy()])?;
        commands.kubectl(&["wait", "--for=condition=Established", "crd/recommenders.recmesh.dev", "--timeout=60s"])?;
        commands.kubectl(&["create", "namespace", SYSTEM_NAMESPACE])?;
        let client = client(&kubeconfig).await?;
        // Served a moment after Established.
        wait::until_async("recommenders are served", async || {
            recommenders(&client, None).list(&ListParams::default()).await?;
            Ok(())
        })
        .await?;
        let store = directory.join("store");
        std::fs::create_dir_all(&store)?;
        let others = tokio::spawn(stand_in(client.clone(), store.clone()));
        Ok(Self { client, kubeconfig, store, directory, server, others })
    }

    /// Arguments by which an operator works on this store, and waits for no other.
    pub fn operator_arguments(&self) -> Vec<String> {
        let settings = ["--store-endpoint=http://127.0.0.1:9", "--rollouts-max=1000", "--trainings-max=1000"];
        let store = format!("--store-url=file://{}", self.store.display());
        settings.iter().map(|setting| (*setting).to_owned()).chain([store]).collect()
    }

    pub async fn make_namespace(&self, name: &str) -> Result<()> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let api = Api::<DynamicObject>::all_with(self.client.clone(), &resource("", "v1", "Namespace", "namespaces"));
        api.patch(name, &PatchParams::apply("test"), &Patch::Apply(&namespace)).await.map(drop).map_err(Into::into)
    }

    /// The schema of `spec`, as the server has it.
    pub async fn schema(&self) -> Result<Value> {
        let kind = resource("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions");
        let definitions = Api::<DynamicObject>::all_with(self.client.clone(), &kind);
        let definition = definitions.get("recommenders.recmesh.dev").await?;
        Ok(definition.data["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone())
    }

    /// As `kubectl apply --server-side` does; `Ok(Err(…))` is what the server says when it refuses.
    pub async fn apply(
        &self,
        (namespace, name): (&str, &str),
        spec: &Value,
        annotations: &Value,
        only_try: bool,
    ) -> Result<Result<(), String>> {
        let object = json!({
            "apiVersion": "recmesh.dev/v1alpha1", "kind": "Recommender",
            "metadata": {"name": name, "namespace": namespace, "annotations": annotations}, "spec": spec,
        });
        let params = PatchParams { dry_run: only_try, ..PatchParams::apply("user").force() };
        match recommenders(&self.client, Some(namespace)).patch(name, &params, &Patch::Apply(&object)).await {
            Ok(_) => Ok(Ok(())),
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 422 | 500) => Ok(Err(status.message.clone())),
            Err(error) => Err(error.into()),
        }
    }

    /// The whole object; null when there is none.
    pub async fn get(&self, (namespace, name): (&str, &str)) -> Result<Value> {
        let found = recommenders(&self.client, Some(namespace)).get_opt(name).await?;
        Ok(found.map(serde_json::to_value).transpose()?.unwrap_or_default())
    }

    pub async fn delete(&self, (namespace, name): (&str, &str)) -> Result<()> {
        match recommenders(&self.client, Some(namespace)).delete(name, &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.others.abort();
        // The script's children are tied to it, so they go too.
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
    Client::try_from(config).context("cannot make a client")
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// Objects of a kind of [`KINDS`], in one namespace or in all.
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

/// Which children are a Recommender's.
pub fn of(name: &str) -> ListParams {
    ListParams::default().labels(&format!("{CHILD}={name}"))
}

async fn stand_in(client: Client, store: PathBuf) {
    for round in 0_u32.. {
        let mut outcome = promote(&client).await;
        outcome = outcome.and(train(&client, &store).await);
        if round % GARBAGE_EVERY == 0 {
            outcome = outcome.and(collect_garbage(&client).await);
        }
        if let Err(error) = outcome {
            eprintln!("standing in: {error:#}"); // The next round tries again.
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Promotes what waits for it, as the message says.
async fn promote(client: &Client) -> Result<()> {
    for object in recommenders(client, None).list(&ListParams::default()).await?.items {
        let conditions = object.data["status"]["conditions"].as_array().into_iter().flatten();
        let mut messages = conditions.filter_map(|condition| condition["message"].as_str());
        let Some(command) = messages.find(|message| message.contains("waits for you")) else { continue };
        let revision = command.rsplit('=').next().unwrap_or_default();
        let patch = json!({"metadata": {"annotations": {"recmesh.dev/promote": revision}}});
        let (namespace, name) = (object.metadata.namespace.as_deref(), object.metadata.name.as_deref());
        let api = recommenders(client, namespace);
        forgive_the_gone(api.patch(name.unwrap_or_default(), &PatchParams::default(), &Patch::Merge(&patch)).await)?;
    }
    Ok(())
}

/// Ends every Job that runs: with a result in the store, and with the word of Kubernetes that it is complete.
async fn train(client: &Client, store: &Path) -> Result<()> {
    let jobs = KINDS[7];
    for job in children(client, jobs, None).list(&ListParams::default().labels(CHILD)).await?.items {
        let namespace = job.metadata.namespace.as_deref().context("a Job has a namespace")?;
        let name = job.metadata.name.as_deref().context("a Job has a name")?;
        let api = children(client, jobs, Some(namespace));
        if job.metadata.deletion_timestamp.is_some() {
            // Its pods are gone, which the garbage collector would wait for.
            let patch = json!({"metadata": {"finalizers": null}});
            forgive_the_gone(api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await)?;
            continue;
        }
        if job.data["status"]["conditions"].as_array().is_some_and(|conditions| !conditions.is_empty()) {
            continue;
        }
        let env = job.data["spec"]["template"]["spec"]["containers"][0]["env"].as_array().cloned().unwrap_or_default();
        let config = env.iter().find(|variable| variable["name"] == paths::TRAINING_CONFIG_ENV);
        let config = config.and_then(|variable| variable["value"].as_str()).context("a Job has its instructions")?;
        commit(store, &serde_json::from_str(config)?)?;
        let now = job.metadata.creation_timestamp.clone();
        let condition =
            |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now, "lastProbeTime": now});
        let status = json!({"status": {
            "startTime": now, "completionTime": now, "succeeded": 1,
            "conditions": [condition("SuccessCriteriaMet"), condition("Complete")],
        }});
        forgive_the_gone(api.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await)?;
    }
    Ok(())
}

/// A model of these instructions: far better than the baseline, the same for the same instructions.
fn commit(store: &Path, config: &TrainingConfig) -> Result<()> {
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
        // Whole or not at all, as the store makes it.
        let fresh = directory.join(format!("{}.new", config.run));
        std::fs::write(&fresh, result.to_string())?;
        std::fs::rename(fresh, path)?;
    }
    Ok(())
}

/// Deletes children whose owner is gone. The owners are listed last: who is not there then never comes back. What the operator
/// watches goes first, so that nothing wakes it up when the rest is gone.
async fn collect_garbage(client: &Client) -> Result<()> {
    let mut owned = Vec::new();
    for kind in KINDS {
        let list = children(client, kind, None).list_metadata(&ListParams::default().labels(CHILD)).await?;
        owned.extend(list.items.into_iter().map(|item| (kind, item.metadata)));
    }
    let owners = recommenders(client, None).list_metadata(&ListParams::default()).await?;
    let there: BTreeSet<String> = owners.items.into_iter().filter_map(|owner| owner.metadata.uid).collect();
    for (kind, meta) in owned.into_iter().rev() {
        let first = meta.owner_references.iter().flatten().next();
        if first.is_some_and(|owner| !there.contains(&owner.uid)) {
            let api = children(client, kind, meta.namespace.as_deref());
            let gone = api.delete(meta.name.as_deref().unwrap_or_default(), &DeleteParams::background()).await;
            forgive_the_gone(gone.map(drop))?;
        }
    }
    Ok(())
}

fn forgive_the_gone<T>(outcome: Result<T, kube::Error>) -> Result<()> {
    match outcome {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
