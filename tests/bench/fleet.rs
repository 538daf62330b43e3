//! What a fleet costs the operator: memory by Recommender, writes at rest, time to see all of them after a restart, and time
//! to handle one that changes meanwhile. Run it with `tests/bench/fleet`; it needs a cluster with the chart installed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // A benchmark may fail loudly.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use e2e::{Cluster, Namespace, operator_process::OperatorProcess, proxy::Proxy};
use serde_json::Value;

/// Seconds at rest in which writes are counted.
const REST: Duration = Duration::from_mins(1);
/// Recommenders in one `kubectl apply`.
const BATCH: usize = 100;
/// A fleet that is not seen after this is a failure.
const PATIENCE: Duration = Duration::from_mins(20);

#[tokio::main]
async fn main() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let scale = |replicas: &str| {
        cluster.commands.kubectl(&["-n", "recmesh-system", "scale", "deployment/recmesh-operator", replicas])
    };
    scale("--replicas=0")?;
    let outcome = measure(&cluster).await;
    scale("--replicas=1")?;
    outcome
}

async fn measure(cluster: &Cluster) -> Result<()> {
    let namespace = Namespace::new(cluster, "fleet")?;
    let proxy = Proxy::start(cluster.client().await?).await?;
    let operator = OperatorProcess::start(cluster, &namespace.name, proxy.address, 300)?;
    println!(
        "| Recommenders | memory, KiB | KiB each since the row before | writes in {} s at rest |\n|---|---|---|---|",
        REST.as_secs()
    );
    let (mut made, mut before) = (0_usize, 0_u64);
    for fleet in [100, 500, 1000, 2000] {
        let since = made;
        while made < fleet {
            let batch: Vec<String> = (made..made + BATCH).map(resource).collect();
            namespace.apply(&batch.join("---\n"))?;
            made += BATCH;
        }
        seen(&namespace, fleet).await?;
        tokio::time::sleep(Duration::from_secs(10)).await;
        proxy.disarm();
        tokio::time::sleep(REST).await;
        let memory = anonymous_kib(operator.pid().context("the operator runs")?)?;
        let each = if before == 0 { 0 } else { memory.saturating_sub(before) / u64::try_from(fleet - since)? };
        println!("| {fleet} | {memory} | {each} | {} |", proxy.writes().len());
        before = memory;
    }
    (operator.killer())();
    proxy.disarm();
    let began = Instant::now();
    operator.restart()?;
    // A change in the middle of the start must not wait for its end.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let changed = Instant::now();
    namespace.kubectl(&["patch", "recommender", "r-7", "--type=merge", "-p", r#"{"spec":{"training":{"seed":7}}}"#])?;
    loop {
        let object = namespace.get("recommender", "r-7")?;
        if object["status"]["observedGeneration"] == object["metadata"]["generation"] {
            break;
        }
        ensure!(changed.elapsed() < PATIENCE, "the change was not seen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("one that changed during the start: {:.1} s", changed.elapsed().as_secs_f64());
    while proxy.reads_of("-serving") < made {
        ensure!(began.elapsed() < PATIENCE, "only {} were looked at", proxy.reads_of("-serving"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("all {made} looked at after a restart: {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// At rest from the start: no run, no pod.
fn resource(number: usize) -> String {
    format!(
        "apiVersion: recmesh.dev/v1alpha1
kind: Recommender
metadata: {{name: r-{number}}}
spec:
  data: {{source: {{configMap: {{name: visits, key: visits.csv}}}}}}
  serving: {{replicas: 0}}
  suspend: true
"
    )
}

async fn seen(namespace: &Namespace, fleet: usize) -> Result<()> {
    let began = Instant::now();
    loop {
        let list: Value = serde_json::from_str(&namespace.kubectl(&["get", "recommenders", "-o", "json"])?)?;
        let items = list["items"].as_array().context("a list")?;
        let seen = items.iter().filter(|r| r["status"]["observedGeneration"] == r["metadata"]["generation"]).count();
        if seen >= fleet {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "{seen} of {fleet} were seen");
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// Anonymous memory of a process.
fn anonymous_kib(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("RssAnon")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
