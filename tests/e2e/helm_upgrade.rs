//! Lifecycle of an installation under continuous requests: upgrade from the previous version,
//! rollback, uninstall, install under another release name, move to another namespace, removal. No
//! model is trained again, no pod is replaced, and no request fails.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // Tests may panic.

#[allow(dead_code, reason = "shared with another test target")]
mod data;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use e2e::{Cluster, Namespace, commands::Commands, wait};
use reqwest::StatusCode;
use serde_json::{Value, json};

const SYSTEM_NAMESPACE: &str = "recmesh-system";
const OTHER_NAMESPACE: &str = "recmesh-other";
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Values that every version of the chart supports.
const VALUES: [&str; 2] = ["--set", "image.operator.tag=dev,image.sidecar.tag=dev,store.size=1Gi"];

/// Certificates would restart the pods once.
const NO_IDENTITY: [&str; 2] = ["--set", "mesh.identity.provider=none"];

fn helm(commands: &Commands, arguments: &[&str]) -> Result<String> {
    commands.helm(&[arguments, &["--wait", &wait::timeout_argument()]].concat())
}

fn previous_chart() -> Result<String> {
    let mut found: Vec<String> = std::fs::read_dir(format!("{ROOT}/charts/tests/previous"))?
        .map(|entry| Ok(entry?.path().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    found.sort();
    found.pop().context("charts/tests/previous contains no chart")
}

/// Returns the state that must not change: model, pods with their restart counts, and runs.
fn state(namespace: &Namespace) -> Result<Value> {
    let pods = namespace.list("pods", "app.kubernetes.io/component=serving")?;
    let pods: BTreeSet<String> = pods
        .iter()
        .map(|pod| format!("{} {}", pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"]))
        .collect();
    let jobs = namespace.list("jobs", "recmesh.dev/recommender=movies")?;
    let jobs: BTreeSet<String> = jobs.iter().map(|job| job["metadata"]["uid"].to_string()).collect();
    let status = namespace.get("recommender", "movies")?["status"].clone();
    Ok(json!({"pods": pods, "jobs": jobs, "revision": status["model"]["revision"], "run": status["lastRun"]["number"]}))
}

/// Waits until the current operator has reconciled: it observes a generation that no earlier
/// operator can have observed.
async fn wait_reconciled(namespace: &Namespace, history: u32) -> Result<()> {
    let patch = json!({"spec": {"revisionHistoryLimit": history}}).to_string();
    namespace.kubectl(&["patch", "recommender", "movies", "--type=merge", "-p", &patch])?;
    namespace.wait_ready("movies").await
}

/// Restarts a sidecar container while the store is down. It must load its model from the disk of
/// the pod.
async fn restart_a_container(namespace: &Namespace, counters: &RequestCounters) -> Result<()> {
    counters.restarting.store(true, Ordering::SeqCst);
    let pods = namespace.list("pods", "app.kubernetes.io/component=serving")?;
    let pod = pods[0]["metadata"]["name"].as_str().context("the pod has no name")?;
    // An ephemeral container sends SIGTERM to the sidecar, which is process 1.
    namespace.kubectl(&[
        "debug",
        pod,
        "--profile=restricted",
        "--image=localhost/recmesh/busybox:1",
        "--image-pull-policy=IfNotPresent",
        "--target=sidecar",
        "--",
        "sh",
        "-c",
        "kill 1",
    ])?;
    wait::until("the container has restarted and is ready", || {
        let status = &namespace.get("pod", pod)?["status"]["containerStatuses"][0];
        ensure!(status["restartCount"].as_i64() > Some(0) && status["ready"] == true, "{status}");
        Ok(())
    })
    .await?;
    counters.restarting.store(false, Ordering::SeqCst);
    Ok(())
}

fn copy_root_secret(commands: &Commands) -> Result<()> {
    let text =
        commands.kubectl(&["get", "secret", "recmesh-store-root", "--namespace", SYSTEM_NAMESPACE, "-o", "json"])?;
    let secret: Value = serde_json::from_str(&text)?;
    let copy = json!({
        "apiVersion": "v1", "kind": "Secret", "immutable": true, "data": secret["data"],
        "metadata": {"name": "recmesh-store-root", "namespace": OTHER_NAMESPACE},
    });
    commands.kubectl_with_input(&["create", "-f", "-"], &copy.to_string()).map(drop)
}

/// Moves the volume as charts/recmesh/README.md describes: retain it, release it, and claim it in
/// the other namespace.
fn move_volume(commands: &Commands) -> Result<()> {
    let claim = ["get", "pvc", "data-recmesh-store-0", "--namespace", SYSTEM_NAMESPACE, "-o", "json"];
    let claim: Value = serde_json::from_str(&commands.kubectl(&claim)?)?;
    let volume = claim["spec"]["volumeName"].as_str().context("the claim is not bound")?.to_owned();
    let retain = r#"{"spec": {"persistentVolumeReclaimPolicy": "Retain"}}"#;
    commands.kubectl(&["patch", "pv", &volume, "--type=merge", "-p", retain])?;
    commands.kubectl(&["delete", "pvc", "data-recmesh-store-0", "--namespace", SYSTEM_NAMESPACE])?;
    commands.kubectl(&["patch", "pv", &volume, "--type=merge", "-p", r#"{"spec": {"claimRef": null}}"#])?;
    let moved = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "store", "namespace": OTHER_NAMESPACE},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "volumeName": volume,
            "storageClassName": claim["spec"]["storageClassName"], "resources": claim["spec"]["resources"],
        },
    });
    commands.kubectl_with_input(&["create", "-f", "-"], &moved.to_string()).map(drop)
}

/// Minimum number of successful requests in each step.
const REQUESTS_PER_STEP_MIN: u64 = 50;

/// Counters of a client that sends requests until `stop` is set.
#[derive(Default)]
struct RequestCounters {
    stop: AtomicBool,
    /// A container restarts. Its pod stays, so only its readiness keeps requests from it: kube-proxy
    /// may send some to it after it has closed its port, or before it has loaded its model again.
    /// Such a request does not count. A pod that is deleted loses none, which the soak test checks.
    restarting: AtomicBool,
    successes: AtomicU64,
    failures: AtomicU64,
}

impl RequestCounters {
    /// Waits for more successful requests, and returns an error if one has failed.
    async fn check(&self, when: &str) -> Result<()> {
        let expected = self.successes.load(Ordering::Relaxed) + REQUESTS_PER_STEP_MIN;
        wait::until(&format!("requests succeed after {when}"), || {
            let (successes, failures) = (self.successes.load(Ordering::Relaxed), self.failures.load(Ordering::Relaxed));
            ensure!(successes >= expected || failures > 0, "{successes} of {expected}");
            Ok(())
        })
        .await?;
        let failures = self.failures.load(Ordering::Relaxed);
        ensure!(failures == 0, "{failures} requests failed until {when}");
        Ok(())
    }
}

async fn send_requests(http: reqwest::Client, url: String, counters: Arc<RequestCounters>) {
    while !counters.stop.load(Ordering::Relaxed) {
        let began_in_restart = counters.restarting.load(Ordering::SeqCst);
        let status = http.post(&url).json(&json!({"user": "user6", "n": 3})).send().await.map(|sent| sent.status());
        let is_of_restart = (began_in_restart || counters.restarting.load(Ordering::SeqCst))
            && status.as_ref().map_or(true, |status| *status == StatusCode::SERVICE_UNAVAILABLE);
        if !is_of_restart {
            let succeeded = status.is_ok_and(|status| status.is_success());
            if succeeded { &counters.successes } else { &counters.failures }.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn serving_is_unaffected_by_upgrade_uninstall_and_reinstall() -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let commands = Commands::from_env()?;
    let chart = format!("{ROOT}/charts/recmesh");
    // Removes the installation of the other tests.
    let _ = commands.helm(&["uninstall", "recmesh", "--namespace", SYSTEM_NAMESPACE, "--wait"]);
    commands.kubectl(&["delete", "namespace", SYSTEM_NAMESPACE, OTHER_NAMESPACE, "--ignore-not-found"])?;

    let install = ["install", "recmesh", &previous_chart()?, "--namespace", SYSTEM_NAMESPACE, "--create-namespace"];
    helm(&commands, &[&install[..], &VALUES, &["--take-ownership"]].concat())?;
    let cluster = Cluster { commands: commands.clone(), http: reqwest::Client::new() };
    let namespace = Namespace::new(&cluster, "helm-upgrade")?;
    namespace.config_map("visits", "visits.csv", &data::two_groups())?;
    namespace.apply(&data::recommender("movies", 4, 2))?;
    namespace.wait_ready("movies").await?;
    wait::until("both pods have loaded the model", || {
        let status = &namespace.get("recommender", "movies")?["status"];
        ensure!(status["loadedReplicas"] == 2, "{status}");
        Ok(())
    })
    .await?;
    let before = state(&namespace)?;
    let check_unchanged = |when: &str| -> Result<()> {
        let now = state(&namespace)?;
        ensure!(now == before, "{when}: the state changed from {before} to {now}");
        Ok(())
    };
    let counters = Arc::new(RequestCounters::default());
    let client = tokio::spawn(send_requests(
        cluster.http.clone(),
        format!("{}/recommend", namespace.service_url("movies")?),
        Arc::clone(&counters),
    ));

    let upgrade = ["upgrade", "recmesh", &chart, "--namespace", SYSTEM_NAMESPACE];
    helm(&commands, &[&upgrade[..], &VALUES, &NO_IDENTITY].concat())?;
    wait_reconciled(&namespace, 11).await?;
    counters.check("upgrade from the previous version").await?;
    check_unchanged("upgrade from the previous version")?;
    helm(&commands, &["rollback", "recmesh", "1", "--namespace", SYSTEM_NAMESPACE])?;
    wait_reconciled(&namespace, 12).await?;
    counters.check("rollback").await?;
    check_unchanged("rollback")?;
    helm(&commands, &[&upgrade[..], &VALUES, &NO_IDENTITY].concat())?;

    helm(&commands, &["uninstall", "recmesh", "--namespace", SYSTEM_NAMESPACE])?;
    wait::until("the pods of operator and store are deleted", || {
        let pods = commands.kubectl(&["get", "pods", "--namespace", SYSTEM_NAMESPACE, "-o", "name"])?;
        ensure!(pods.is_empty(), "{pods}");
        Ok(())
    })
    .await?;
    counters.check("uninstall").await?;
    check_unchanged("uninstall")?;
    restart_a_container(&namespace, &counters).await?;
    let before = state(&namespace)?;
    let check_unchanged = |when: &str| -> Result<()> {
        let now = state(&namespace)?;
        ensure!(now == before, "{when}: the state changed from {before} to {now}");
        Ok(())
    };

    let other = ["install", "other", &chart, "--namespace", SYSTEM_NAMESPACE, "--take-ownership"];
    helm(&commands, &[&other[..], &VALUES, &NO_IDENTITY].concat())?;
    wait_reconciled(&namespace, 13).await?;
    counters.check("install under another release name").await?;
    check_unchanged("install under another release name")?;

    helm(&commands, &["uninstall", "other", "--namespace", SYSTEM_NAMESPACE])?;
    commands.kubectl(&["create", "namespace", OTHER_NAMESPACE])?;
    copy_root_secret(&commands)?;
    move_volume(&commands)?;
    let moved = ["install", "recmesh", &chart, "--namespace", OTHER_NAMESPACE, "--take-ownership"];
    helm(&commands, &[&moved[..], &VALUES, &NO_IDENTITY, &["--set", "store.existingClaim=store"]].concat())?;
    wait_reconciled(&namespace, 14).await?;
    counters.check("move to another namespace").await?;
    check_unchanged("move to another namespace")?;
    // A new pod loads the model from the moved store.
    namespace.kubectl(&["scale", "recommender", "movies", "--replicas=3"])?;
    wait::until("a third pod has loaded the model", || {
        let status = &namespace.get("recommender", "movies")?["status"];
        ensure!(status["loadedReplicas"] == 3, "{status}");
        Ok(())
    })
    .await?;
    ensure!(state(&namespace)?["jobs"] == before["jobs"], "a model was trained again");
    counters.check("the third pod").await?;

    counters.stop.store(true, Ordering::Relaxed);
    client.await?;
    let (successes, failures) = (counters.successes.load(Ordering::Relaxed), counters.failures.load(Ordering::Relaxed));
    println!("{successes} successful requests, {failures} failures");
    ensure!(failures == 0, "{failures} requests failed");

    // Removes everything in the order of the chart's notes.
    commands.kubectl(&["delete", "recommenders", "--all", "--all-namespaces"])?;
    helm(&commands, &["uninstall", "recmesh", "--namespace", OTHER_NAMESPACE])?;
    commands.kubectl(&["delete", "crd", "recommenders.recmesh.dev"])?;
    commands.kubectl(&["delete", "namespace", SYSTEM_NAMESPACE, OTHER_NAMESPACE])?;
    Ok(())
}
