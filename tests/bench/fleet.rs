//! Resource usage of an operator with a fleet of Recommenders: memory per Recommender, writes while
//! idle, time to reconcile all of them after a restart, and time to handle a change during that
//! restart. Run it with `tests/bench/fleet`; it needs a cluster with the chart installed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // A benchmark may panic.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use e2e::{Cluster, Namespace, operator_process::OperatorProcess, proxy::Proxy};
use serde_json::Value;

/// How long writes are counted while the operator is idle.
const IDLE: Duration = Duration::from_mins(1);
/// Number of Recommenders per `kubectl apply`.
const BATCH: usize = 100;
/// Maximum wait for the operator to reconcile a fleet.
const TIMEOUT: Duration = Duration::from_mins(20);

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
        "| Recommenders | memory, KiB | KiB per added Recommender | writes in {} s while idle |\n|---|---|---|---|",
        IDLE.as_secs()
    );
    let (mut created, mut memory_before) = (0_usize, 0_u64);
    for fleet in [100, 500, 1000, 2000] {
        let created_before = created;
        while created < fleet {
            let batch: Vec<String> = (created..created + BATCH).map(resource).collect();
            namespace.apply(&batch.join("---\n"))?;
            created += BATCH;
        }
        wait_reconciled(&namespace, fleet).await?;
        tokio::time::sleep(Duration::from_secs(10)).await;
        proxy.disarm();
        tokio::time::sleep(IDLE).await;
        let memory = anonymous_kib(operator.pid().context("the operator is not running")?)?;
        let added = u64::try_from(fleet - created_before)?;
        let each = if memory_before == 0 { 0 } else { memory.saturating_sub(memory_before) / added };
        println!("| {fleet} | {memory} | {each} | {} |", proxy.writes().len());
        memory_before = memory;
    }
    (operator.kill_fn())();
    proxy.disarm();
    let began = Instant::now();
    operator.restart()?;
    // A change during the start must be handled before the start has finished.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let changed = Instant::now();
    namespace.kubectl(&["patch", "recommender", "r-7", "--type=merge", "-p", r#"{"spec":{"training":{"seed":7}}}"#])?;
    loop {
        let object = namespace.get("recommender", "r-7")?;
        if object["status"]["observedGeneration"] == object["metadata"]["generation"] {
            break;
        }
        ensure!(changed.elapsed() < TIMEOUT, "timed out waiting for the operator to handle the change");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("handled a change during the start after {:.1} s", changed.elapsed().as_secs_f64());
    while proxy.reads_of("-serving") < created {
        ensure!(began.elapsed() < TIMEOUT, "only {} were reconciled", proxy.reads_of("-serving"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("reconciled all {created} Recommenders {:.1} s after a restart", began.elapsed().as_secs_f64());
    Ok(())
}

/// Returns a Recommender that is idle from the start: no run, no pod.
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

async fn wait_reconciled(namespace: &Namespace, fleet: usize) -> Result<()> {
    let began = Instant::now();
    loop {
        let list: Value = serde_json::from_str(&namespace.kubectl(&["get", "recommenders", "-o", "json"])?)?;
        let items = list["items"].as_array().context("the list has no items")?;
        let reconciled =
            items.iter().filter(|r| r["status"]["observedGeneration"] == r["metadata"]["generation"]).count();
        if reconciled >= fleet {
            return Ok(());
        }
        ensure!(began.elapsed() < TIMEOUT, "only {reconciled} of {fleet} were reconciled");
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// Returns the anonymous memory of a process in KiB.
fn anonymous_kib(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .context("no RssAnon in the status of the process")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
