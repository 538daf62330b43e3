//! Crash at every write: for each write that the operator makes in a story, something is killed right after it, and the end
//! must be that of the story without a crash.
//!
//! `RECMESH_SOAK_EVERY_CELL=1` runs every cell; otherwise one cell in [`SAMPLE`] of create, retrain and change runs, and
//! another one each day. The operator runs as
//! a process of this machine behind a proxy that counts its writes; everything else is the real cluster's.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // A test may fail loudly.

#[path = "../e2e/data.rs"]
mod data;
mod old_news;
mod state;
mod stories;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use e2e::{Cluster, Namespace, install::SYSTEM_NAMESPACE, operator_process::OperatorProcess, proxy::Proxy, wait};
use futures::{StreamExt as _, stream};
use serde_json::Value;
use stories::Story;

/// One cell in so many runs where time is short.
const SAMPLE: usize = 5;
/// Cells that run at once.
const AT_ONCE: usize = 3;
/// The operator's resync: a store that was down is seen again after this at the latest.
const RESYNC_SECONDS: u32 = 10;
/// Longest wait for the end of a story; it ends a hanging cell and decides none.
const PATIENCE: Duration = Duration::from_mins(5);
/// Longer than a resync: what does not change meanwhile is the end.
const CALM: Duration = Duration::from_secs(RESYNC_SECONDS as u64 + 2);

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Operator,
    Trainer,
    Store,
}

/// A story without a crash: how it ends, and how many writes it takes.
struct Reference {
    end: Value,
    writes: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 12)] // kubectl blocks a thread
async fn a_crash_after_any_write_changes_nothing_in_the_end() -> Result<()> {
    let cluster = Cluster::ready().await?;
    // What an earlier run left needs the installed operator to go away.
    scale_operator(&cluster, 1)?;
    delete_namespaces(&cluster)?;
    scale_operator(&cluster, 0)?;
    // One after the other: both run operators of their own.
    let outcome = match old_news::an_operator_with_old_news_writes_nothing(&cluster).await {
        Ok(()) => all(&cluster).await,
        Err(error) => Err(error.context("old news")),
    };
    scale_operator(&cluster, 1)?;
    outcome
}

/// What is killed in a story, and in how many cells at once.
fn victims(story: Story, every_cell: bool) -> &'static [(Victim, usize)] {
    const OPERATOR: (Victim, usize) = (Victim::Operator, AT_ONCE);
    const STORE: (Victim, usize) = (Victim::Store, 1);
    match story {
        // A killed trainer's run is tried again under the next number: `make soak` shows these rows, `make test` the operator's.
        _ if !every_cell => &[OPERATOR],
        Story::Create | Story::Retrain | Story::Change => &[OPERATOR, (Victim::Trainer, AT_ONCE), STORE],
        _ => &[OPERATOR, STORE],
    }
}

async fn all(cluster: &Cluster) -> Result<()> {
    let (every, offset) = sample();
    let mut failures = Vec::new();
    println!(
        "| story | killed | writes | cells | as without a crash | recovery, median s | worst s |\n|---|---|---|---|---|---|---|"
    );
    // Those in which models are made come first, and are the ones where time is short.
    let stories = if every == 1 { &Story::ALL[..] } else { &Story::ALL[..3] };
    for story in stories.iter().copied() {
        let reference = reference(cluster, story).await.with_context(|| format!("{story:?} without a crash"))?;
        for &(victim, at_once) in victims(story, every == 1) {
            let cells: Vec<usize> = (1..=reference.writes.len()).filter(|n| n % every == offset).collect();
            let reference = &reference;
            let results: Vec<(usize, Result<Duration>)> = stream::iter(cells)
                .map(|n| async move { (n, cell(cluster, story, victim, n, reference).await) })
                .buffer_unordered(at_once)
                .collect()
                .await;
            let mut seconds: Vec<f64> =
                results.iter().filter_map(|(_, r)| Some(r.as_ref().ok()?.as_secs_f64())).collect();
            seconds.sort_by(f64::total_cmp);
            let (median, worst) = (seconds.get(seconds.len() / 2), seconds.last());
            println!(
                "| {} | {victim:?} | {} | {} | {} | {:.1} | {:.1} |",
                story.name(),
                reference.writes.len(),
                results.len(),
                seconds.len(),
                median.unwrap_or(&f64::NAN),
                worst.unwrap_or(&f64::NAN)
            );
            for (n, result) in results {
                if let Err(error) = result {
                    let write = reference.writes.get(n - 1).cloned().unwrap_or_default();
                    failures.push(format!("{} {victim:?} killed after write {n} ({write}): {error:#}", story.name()));
                }
            }
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n\n"));
    Ok(())
}

/// Which cells run: all of them, or a fifth that is another one each day.
fn sample() -> (usize, usize) {
    if std::env::var_os("RECMESH_SOAK_EVERY_CELL").is_some() {
        return (1, 0);
    }
    let days = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() / 86_400);
    (SAMPLE, usize::try_from(days).unwrap_or(0) % SAMPLE)
}

async fn reference(cluster: &Cluster, story: Story) -> Result<Reference> {
    let namespace = Namespace::new(cluster, &format!("crash-{}", story.name()))?;
    let proxy = Proxy::start(cluster.client().await?).await?;
    let _operator = OperatorProcess::start(cluster, &namespace.name, proxy.address, RESYNC_SECONDS)?;
    empty_store(&namespace).await?;
    story.prepare(&namespace).await?;
    proxy.disarm();
    story.act(&namespace)?;
    wait::until("the story ends", || story.is_done(&namespace)).await?;
    // Two looks that agree, with a resync between them: nothing settles any more.
    let mut end = state::state(&namespace)?;
    loop {
        tokio::time::sleep(CALM).await;
        let again = state::state(&namespace)?;
        if again == end {
            break;
        }
        end = again;
    }
    Ok(Reference { end, writes: proxy.writes() })
}

async fn cell(cluster: &Cluster, story: Story, victim: Victim, n: usize, reference: &Reference) -> Result<Duration> {
    let namespace = Namespace::new(cluster, &format!("crash-{}-{victim:?}-{n}", story.name()).to_lowercase())?;
    let proxy = Proxy::start(cluster.client().await?).await?;
    let operator = OperatorProcess::start(cluster, &namespace.name, proxy.address, RESYNC_SECONDS)?;
    empty_store(&namespace).await?;
    story.prepare(&namespace).await?;
    let killer = operator.killer();
    let (commands, place) = (cluster.commands.clone(), namespace.name.clone());
    proxy.arm(
        n,
        Box::new(move || match victim {
            Victim::Operator => killer(),
            Victim::Trainer => kill_pods(&commands, &place, "app.kubernetes.io/component=trainer"),
            Victim::Store => kill_pods(&commands, SYSTEM_NAMESPACE, "app.kubernetes.io/component=store"),
        }),
    );
    story.act(&namespace)?;
    let began = Instant::now();
    let mut struck = None;
    let comparable = |state| if victim == Victim::Trainer { state::whatever_run(state) } else { state };
    let end = comparable(reference.end.clone());
    loop {
        if proxy.has_struck() && struck.is_none() {
            struck = Some(Instant::now());
        }
        operator.restart()?;
        let now = comparable(state::state(&namespace)?);
        // A story that took fewer writes this time ends without a strike.
        if now == end && (struck.is_some() || began.elapsed() > Duration::from_secs(20)) {
            return Ok(struck.map_or(Duration::ZERO, |at| at.elapsed()));
        }
        if began.elapsed() > PATIENCE {
            let log = std::fs::read_to_string(operator.log()).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(3).collect();
            bail!(
                "it is\n{}\nand should be\n{}\nthe operator's last lines: {tail:?}",
                state::difference(&now, &end),
                state::difference(&end, &now)
            );
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Removes what an earlier run of the test left in the store below this namespace.
pub async fn empty_store(namespace: &Namespace) -> Result<()> {
    namespace.config_map("visits", "visits.csv", &data::two_groups())?;
    let text = format!("{}  deletionPolicy: Delete\n  suspend: true\n", data::recommender("movies", 3, 0));
    namespace.apply(&text)?;
    wait::until("the finalizer is there", || {
        let object = namespace.get("recommender", "movies")?;
        ensure!(!object["metadata"]["finalizers"].is_null(), "not yet");
        Ok(())
    })
    .await?;
    namespace.kubectl(&["delete", "recommender", "movies"])?;
    wait::until("no child is left", || {
        let left = namespace.list("configmap", "recmesh.dev/recommender")?;
        ensure!(left.is_empty(), "a ConfigMap is left");
        Ok(())
    })
    .await
}

fn kill_pods(commands: &e2e::commands::Commands, namespace: &str, selector: &str) {
    // As kill -9 does: no grace. None to kill is fine.
    let _ = commands.kubectl(&[
        "-n",
        namespace,
        "delete",
        "pod",
        "-l",
        selector,
        "--grace-period=0",
        "--force",
        "--wait=false",
    ]);
}

/// Deletes the namespaces of earlier runs and waits until they are gone.
fn delete_namespaces(cluster: &Cluster) -> Result<()> {
    let names = cluster.commands.kubectl(&["get", "namespaces", "-o", "name"])?;
    let ours =
        names.lines().filter(|name| name.starts_with("namespace/e2e-crash-") || *name == "namespace/e2e-old-news");
    let ours: Vec<&str> = ours.collect();
    if ours.is_empty() {
        return Ok(());
    }
    cluster.commands.kubectl(&[&["delete", "--timeout=180s"], &ours[..]].concat()).map(drop)
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
            "--timeout=60s",
        ])?;
    }
    Ok(())
}
