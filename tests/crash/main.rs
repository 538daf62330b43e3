//! Crash tests. For each write of the operator in a scenario, a process is killed right after that
//! write. The final state must equal that of the scenario without a crash.
//!
//! With `RECMESH_SOAK_EVERY_CASE=1` all cases run. Otherwise a sample of create, retrain and change
//! runs; `RECMESH_SEED` selects it. `RECMESH_CRASH_CASE` runs one case. The operator runs as a
//! local process behind a proxy that counts its writes; everything else runs in the real cluster.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // Tests may panic.

mod case;
#[path = "../e2e/data.rs"]
mod data;
mod scenarios;
mod selection;
mod stale_watch;
mod state;

use anyhow::{Context as _, Result, ensure};
use case::{KillTarget, Recovery};
use e2e::{Cluster, Namespace, install::SYSTEM_NAMESPACE, operator_process::OperatorProcess, proxy::Proxy, wait};
use futures::{StreamExt as _, stream};
use scenarios::Scenario;
use selection::Selection;
use serde_json::Value;

/// Name of the Recommender in every scenario.
const NAME: &str = "movies";
/// Resync interval of the operator. It retries a store that was down no later than after this.
const RESYNC_SECONDS: u32 = 10;

/// Scenario without a crash: its final state, and the writes of the operator.
pub struct Reference {
    final_state: Value,
    writes: Vec<String>,
}

impl Reference {
    /// Number of writes that happen in every run of the scenario. The number of status writes and
    /// of config refreshes of pods depends on how often the operator observes a progress.
    fn certain_writes(&self) -> usize {
        self.writes.iter().filter(|write| !write.ends_with("/status") && !write.contains("/pods/")).count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 12)] // kubectl blocks a thread
async fn crash_after_any_write_leads_to_the_same_final_state() -> Result<()> {
    let cluster = Cluster::ready().await?;
    // Deleting the remains of an earlier run needs the installed operator, because of finalizers.
    scale_operator(&cluster, 1)?;
    delete_namespaces(&cluster)?;
    scale_operator(&cluster, 0)?;
    // One after the other, because both start their own operators.
    let outcome = match stale_watch::stale_watches_cause_no_writes(&cluster).await {
        Ok(()) => all_scenarios(&cluster).await,
        Err(error) => Err(error.context("stale watches")),
    };
    scale_operator(&cluster, 1)?;
    outcome
}

async fn all_scenarios(cluster: &Cluster) -> Result<()> {
    let selection = Selection::from_environment()?;
    println!("crash tests: {}", selection.describe());
    println!(
        "| scenario | killed | writes | cases | at the write | after the last write | nothing to kill | same final state | median recovery, s | max recovery, s |\n|---|---|---|---|---|---|---|---|---|---|"
    );
    let (mut cases, mut failures) = (0, Vec::new());
    for scenario in selection.scenarios() {
        let reference = reference(cluster, scenario).await.with_context(|| format!("{scenario:?} without a crash"))?;
        for (target, concurrency) in selection.kill_targets(scenario) {
            let writes = selection.writes(scenario, target, reference.writes.len(), reference.certain_writes());
            cases += writes.len();
            let reference = &reference;
            let results: Vec<(usize, Result<Recovery>)> = stream::iter(writes)
                .map(|write| async move { (write, case::run(cluster, scenario, target, write, reference).await) })
                .buffer_unordered(concurrency)
                .collect()
                .await;
            print_row(scenario, target, reference, &results);
            failures.extend(row_failures(scenario, target, reference, &results));
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n\n"));
    ensure!(cases > 0, "no such case");
    Ok(())
}

fn print_row(scenario: Scenario, target: KillTarget, reference: &Reference, results: &[(usize, Result<Recovery>)]) {
    let finished = || results.iter().filter_map(|(_, result)| result.as_ref().ok());
    let count = |of: fn(&Recovery) -> bool| finished().filter(|recovery| of(recovery)).count();
    let killed = finished().filter(|recovery| recovery.killed > 0);
    let mut seconds: Vec<f64> = killed.map(|recovery| recovery.duration.as_secs_f64()).collect();
    seconds.sort_by(f64::total_cmp);
    println!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {:.1} | {:.1} |",
        scenario.name(),
        target.name(),
        reference.writes.len(),
        results.len(),
        count(|recovery| recovery.at_write && recovery.killed > 0),
        count(|recovery| !recovery.at_write && recovery.killed > 0),
        count(|recovery| recovery.killed == 0),
        seconds.len(),
        seconds.get(seconds.len() / 2).unwrap_or(&f64::NAN),
        seconds.last().unwrap_or(&f64::NAN)
    );
}

/// Returns the cases without the expected final state, and those in which nothing was killed
/// although a process was running.
fn row_failures(
    scenario: Scenario,
    target: KillTarget,
    reference: &Reference,
    results: &[(usize, Result<Recovery>)],
) -> Vec<String> {
    let mut failures = Vec::new();
    let finished = || results.iter().filter_map(|(_, result)| result.as_ref().ok());
    if finished().count() > 0 && finished().all(|recovery| recovery.killed == 0) {
        failures.push(format!("{}: no case killed a {}", scenario.name(), target.name()));
    }
    for (write, result) in results {
        let problem = match result {
            Err(error) => Some(format!("{error:#}")),
            Ok(recovery) => case_problem(target, *write, reference, recovery),
        };
        if let Some(problem) = problem {
            let path = reference.writes.get(write - 1).cloned().unwrap_or_default();
            let repeat = Selection::of_case(scenario, target, *write);
            failures.push(format!(
                "{}, {} killed after write {write} ({path}): {problem}\nto repeat it: {repeat}",
                scenario.name(),
                target.name()
            ));
        }
    }
    failures
}

/// Returns why a case with the expected final state proves nothing.
fn case_problem(target: KillTarget, write: usize, reference: &Reference, recovery: &Recovery) -> Option<String> {
    if write <= reference.certain_writes() && !recovery.at_write {
        return Some("the kill did not happen, although every run of the scenario has this write".to_owned());
    }
    // A trainer runs during a part of a scenario only.
    (target != KillTarget::Trainer && recovery.killed == 0).then(|| "no process was killed".to_owned())
}

/// Runs a scenario without a crash.
async fn reference(cluster: &Cluster, scenario: Scenario) -> Result<Reference> {
    let namespace = Namespace::new(cluster, &format!("crash-{}", scenario.name()))?;
    let proxy = Proxy::start(cluster.client().await?).await?;
    let _operator = OperatorProcess::start(cluster, &namespace.name, proxy.address, RESYNC_SECONDS)?;
    empty_store(&namespace).await?;
    scenario.prepare(&namespace).await?;
    proxy.disarm();
    scenario.act(&namespace)?;
    wait::until("the scenario has finished", || scenario.is_done(&namespace)).await?;
    let final_state = state::settled_state(&namespace, &proxy).await?;
    Ok(Reference { final_state, writes: proxy.writes() })
}

/// Deletes the objects of this namespace that an earlier run of the test left in the store.
pub async fn empty_store(namespace: &Namespace) -> Result<()> {
    namespace.config_map("visits", "visits.csv", &data::two_groups())?;
    let text = format!("{}  deletionPolicy: Delete\n  suspend: true\n", data::recommender("movies", 3, 0));
    namespace.apply(&text)?;
    wait::until("the finalizer is set", || {
        let object = namespace.get("recommender", "movies")?;
        ensure!(!object["metadata"]["finalizers"].is_null(), "no finalizer");
        Ok(())
    })
    .await?;
    namespace.kubectl(&["delete", "recommender", "movies"])?;
    wait::until("all children are deleted", || {
        let left = namespace.list("configmap", "recmesh.dev/recommender")?;
        ensure!(left.is_empty(), "a ConfigMap remains");
        Ok(())
    })
    .await
}

/// Deletes the namespaces of earlier runs and waits until they are deleted.
fn delete_namespaces(cluster: &Cluster) -> Result<()> {
    let names = cluster.commands.kubectl(&["get", "namespaces", "-o", "name"])?;
    let ours =
        names.lines().filter(|name| name.starts_with("namespace/e2e-crash-") || *name == "namespace/e2e-stale-watch");
    let ours: Vec<&str> = ours.collect();
    if ours.is_empty() {
        return Ok(());
    }
    cluster
        .commands
        .kubectl(&[&["delete", "--ignore-not-found", &wait::timeout_argument()], &ours[..]].concat())
        .map(drop)
}

fn scale_operator(cluster: &Cluster, replicas: u32) -> Result<()> {
    let replicas = format!("--replicas={replicas}");
    cluster.commands.kubectl(&["-n", SYSTEM_NAMESPACE, "scale", "deployment/recmesh-operator", &replicas])?;
    if replicas.ends_with('0') {
        cluster.commands.kubectl(&[
            "-n",
            SYSTEM_NAMESPACE,
            "wait",
            "--for=delete",
            "pod",
            "-l",
            "app.kubernetes.io/component=operator",
            &wait::timeout_argument(),
        ])?;
    }
    Ok(())
}
