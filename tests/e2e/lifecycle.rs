//! The installation's life, with somebody asking all the time: upgraded from the previous version, rolled back, uninstalled,
//! installed again under another name, moved to another namespace, removed. Nothing trains again, no pod is replaced, no
//! request fails.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // A test may fail loudly.

#[allow(dead_code, reason = "shared with the other target")]
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
use serde_json::{Value, json};

const SYSTEM: &str = "recmesh-system";
const ELSEWHERE: &str = "recmesh-elsewhere";
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// What every version of the chart understands.
const VALUES: [&str; 2] = ["--set", "image.operator.tag=dev,image.sidecar.tag=dev,store.size=1Gi"];

fn helm(commands: &Commands, arguments: &[&str]) -> Result<String> {
    commands.helm(&[arguments, &["--wait", "--timeout", "180s"]].concat())
}

fn previous_chart() -> Result<String> {
    let mut found: Vec<String> = std::fs::read_dir(format!("{ROOT}/charts/tests/previous"))?
        .map(|entry| Ok(entry?.path().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    found.sort();
    found.pop().context("charts/tests/previous has a chart")
}

/// What must not change: the model, the pods with their restarts, and the runs.
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

/// The operator of now has looked: a generation that it alone can have seen.
async fn looked(namespace: &Namespace, history: u32) -> Result<()> {
    let patch = json!({"spec": {"revisionHistoryLimit": history}}).to_string();
    namespace.kubectl(&["patch", "recommender", "movies", "--type=merge", "-p", &patch])?;
    namespace.wait_ready("movies").await
}

/// With the store away, a container that starts again finds its model on the pod's own disk.
async fn restart_a_container(namespace: &Namespace) -> Result<()> {
    let pods = namespace.list("pods", "app.kubernetes.io/component=serving")?;
    let pod = pods[0]["metadata"]["name"].as_str().context("a pod has a name")?;
    // From beside it, and gently: SIGTERM to the sidecar, which is the first process there.
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
    wait::until("the container started again and is ready", || {
        let status = &namespace.get("pod", pod)?["status"]["containerStatuses"][0];
        ensure!(status["restartCount"].as_i64() > Some(0) && status["ready"] == true, "{status}");
        Ok(())
    })
    .await
}

fn copy_root_secret(commands: &Commands) -> Result<()> {
    let text = commands.kubectl(&["get", "secret", "recmesh-store-root", "--namespace", SYSTEM, "-o", "json"])?;
    let secret: Value = serde_json::from_str(&text)?;
    let copy = json!({
        "apiVersion": "v1", "kind": "Secret", "immutable": true, "data": secret["data"],
        "metadata": {"name": "recmesh-store-root", "namespace": ELSEWHERE},
    });
    commands.kubectl_with_input(&["create", "-f", "-"], &copy.to_string()).map(drop)
}

/// As charts/recmesh/README.md says: the volume is kept, let go, and claimed from the other namespace.
fn move_volume(commands: &Commands) -> Result<()> {
    let claim = ["get", "pvc", "data-recmesh-store-0", "--namespace", SYSTEM, "-o", "json"];
    let claim: Value = serde_json::from_str(&commands.kubectl(&claim)?)?;
    let volume = claim["spec"]["volumeName"].as_str().context("the claim is bound")?.to_owned();
    let keep = r#"{"spec": {"persistentVolumeReclaimPolicy": "Retain"}}"#;
    commands.kubectl(&["patch", "pv", &volume, "--type=merge", "-p", keep])?;
    commands.kubectl(&["delete", "pvc", "data-recmesh-store-0", "--namespace", SYSTEM])?;
    commands.kubectl(&["patch", "pv", &volume, "--type=merge", "-p", r#"{"spec": {"claimRef": null}}"#])?;
    let moved = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "store", "namespace": ELSEWHERE},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "volumeName": volume,
            "storageClassName": claim["spec"]["storageClassName"], "resources": claim["spec"]["resources"],
        },
    });
    commands.kubectl_with_input(&["create", "-f", "-"], &moved.to_string()).map(drop)
}

/// Asks until told to stop; counts answers and failures.
#[derive(Default)]
struct Asked {
    stop: AtomicBool,
    answers: AtomicU64,
    failures: AtomicU64,
}

async fn ask(http: reqwest::Client, url: String, asked: Arc<Asked>) {
    while !asked.stop.load(Ordering::Relaxed) {
        let answer = http.post(&url).json(&json!({"user": "user6", "n": 3})).send().await;
        let fine = answer.is_ok_and(|answer| answer.status().is_success());
        if fine { &asked.answers } else { &asked.failures }.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_installation_comes_and_goes_and_serving_does_not_notice() -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let commands = Commands::from_env()?;
    let chart = format!("{ROOT}/charts/recmesh");
    // The installation that other tests made.
    let _ = commands.helm(&["uninstall", "recmesh", "--namespace", SYSTEM, "--wait"]);
    commands.kubectl(&["delete", "namespace", SYSTEM, ELSEWHERE, "--ignore-not-found"])?;

    let install = ["install", "recmesh", &previous_chart()?, "--namespace", SYSTEM, "--create-namespace"];
    helm(&commands, &[&install[..], &VALUES, &["--take-ownership"]].concat())?;
    let cluster = Cluster { commands: commands.clone(), http: reqwest::Client::new() };
    let namespace = Namespace::new(&cluster, "lifecycle")?;
    namespace.config_map("visits", "visits.csv", &data::two_groups())?;
    namespace.apply(&data::recommender("movies", 4, 2))?;
    namespace.wait_ready("movies").await?;
    wait::until("both pods have the model", || {
        let status = &namespace.get("recommender", "movies")?["status"];
        ensure!(status["loadedReplicas"] == 2, "{status}");
        Ok(())
    })
    .await?;
    let before = state(&namespace)?;
    let same = |when: &str| -> Result<()> {
        let now = state(&namespace)?;
        ensure!(now == before, "{when}: {before} became {now}");
        Ok(())
    };
    let asked = Arc::new(Asked::default());
    let asking = tokio::spawn(ask(
        cluster.http.clone(),
        format!("{}/recommend", namespace.service_url("movies")?),
        Arc::clone(&asked),
    ));

    let upgrade = ["upgrade", "recmesh", &chart, "--namespace", SYSTEM];
    helm(&commands, &[&upgrade[..], &VALUES].concat())?;
    looked(&namespace, 11).await?;
    same("upgraded from the previous version")?;
    helm(&commands, &["rollback", "recmesh", "1", "--namespace", SYSTEM])?;
    looked(&namespace, 12).await?;
    same("rolled back")?;
    helm(&commands, &[&upgrade[..], &VALUES].concat())?;

    helm(&commands, &["uninstall", "recmesh", "--namespace", SYSTEM])?;
    wait::until("operator and store are gone", || {
        let pods = commands.kubectl(&["get", "pods", "--namespace", SYSTEM, "-o", "name"])?;
        ensure!(pods.is_empty(), "{pods}");
        Ok(())
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(5)).await; // Long enough for a sidecar to notice.
    same("uninstalled")?;
    restart_a_container(&namespace).await?;
    let before = state(&namespace)?;
    let same = |when: &str| -> Result<()> {
        let now = state(&namespace)?;
        ensure!(now == before, "{when}: {before} became {now}");
        Ok(())
    };

    let other = ["install", "other", &chart, "--namespace", SYSTEM, "--take-ownership"];
    helm(&commands, &[&other[..], &VALUES].concat())?;
    looked(&namespace, 13).await?;
    same("installed again under another name")?;

    helm(&commands, &["uninstall", "other", "--namespace", SYSTEM])?;
    commands.kubectl(&["create", "namespace", ELSEWHERE])?;
    copy_root_secret(&commands)?;
    move_volume(&commands)?;
    let moved = ["install", "recmesh", &chart, "--namespace", ELSEWHERE, "--take-ownership"];
    helm(&commands, &[&moved[..], &VALUES, &["--set", "store.existingClaim=store"]].concat())?;
    looked(&namespace, 14).await?;
    same("moved to another namespace")?;
    // A pod that has nothing yet finds the model in the store that moved.
    namespace.kubectl(&["scale", "recommender", "movies", "--replicas=3"])?;
    wait::until("a third pod has the model", || {
        let status = &namespace.get("recommender", "movies")?["status"];
        ensure!(status["loadedReplicas"] == 3, "{status}");
        Ok(())
    })
    .await?;
    ensure!(state(&namespace)?["jobs"] == before["jobs"], "something trained again");

    asked.stop.store(true, Ordering::Relaxed);
    asking.await?;
    let (answers, failures) = (asked.answers.load(Ordering::Relaxed), asked.failures.load(Ordering::Relaxed));
    println!("{answers} answers, {failures} failures");
    ensure!(failures == 0 && answers > 100, "{answers} answers, {failures} failures");

    // All of it goes, in the order of the chart's notes.
    commands.kubectl(&["delete", "recommenders", "--all", "--all-namespaces"])?;
    helm(&commands, &["uninstall", "recmesh", "--namespace", ELSEWHERE])?;
    commands.kubectl(&["delete", "crd", "recommenders.recmesh.dev"])?;
    commands.kubectl(&["delete", "namespace", SYSTEM, ELSEWHERE])?;
    Ok(())
}
