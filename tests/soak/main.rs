//! Soak test: no request fails while models, pods, operator, store and API server are replaced or
//! down, and each response comes from exactly one revision.
//!
//! It is a separate binary because it stops the operator, the store and the API server of the whole
//! cluster. The environment sets the length of the outages and the number of retrainings: seconds
//! for `make test`, minutes for `make soak`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // Tests may panic.

mod outage;

use std::{cell::Cell, fmt::Write as _, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use e2e::{
    Cluster, Namespace,
    install::SYSTEM_NAMESPACE,
    load::{ItemSets, Load, Request, RequestFn},
    wait,
};
use serde_json::{Value, json};

use crate::outage::{ApiServer, Scaled};

const NAME: &str = "shop";
/// Minimum number of successful requests between two checkpoints.
const REQUESTS_PER_STEP_MIN: u64 = 100;
/// Part of every user id, and of no other text.
const USER: &str = "soakuser";
/// Default number of requests per second.
const RATE_DEFAULT: u64 = 200;
/// Default outage of the store, the operator and the API server, each in seconds.
const DOWN_SECONDS_DEFAULT: u64 = 10;
/// Default number of retrainings with a model swap.
const RETRAININGS_DEFAULT: u64 = 3;

fn from_environment(name: &str, default: u64) -> Result<u64> {
    std::env::var(name)
        .map_or(Ok(default), |text| text.parse().with_context(|| format!("{name}={text:?} is not a number")))
}

/// Returns the item id prefix of a round. It differs between processes, because the store keeps the
/// models of earlier runs.
fn item_set(round: u64) -> String {
    format!("round{round}of{}", std::process::id())
}

/// Returns two groups of users with two groups of items. The item ids contain the round.
fn visits(round: u64) -> String {
    let set = item_set(round);
    let mut csv = "user_id,item_id\n".to_owned();
    for user in 0..60 {
        for item in (0..20).filter(|item| item % 2 == user % 2 && item / 2 != user % 10) {
            writeln!(csv, "{USER}{user},{set}-{item}").unwrap();
        }
    }
    csv
}

fn recommender(replicas: u32, template: u32) -> String {
    format!(
        "apiVersion: recmesh.dev/v1alpha1
kind: Recommender
metadata: {{name: {NAME}}}
spec:
  data: {{source: {{configMap: {{name: visits, key: visits.csv}}}}}}
  algorithm: {{als: {{factors: 4, iterations: 3}}}}
  evaluation: {{gate: {{minLiftOverBaseline: -1}}}}
  serving:
    replicas: {replicas}
    annotations: {{example.com/template: \"{template}\"}}
    resources: {{requests: {{cpu: 300m, memory: 64Mi}}}}
"
    )
}

struct Soak {
    namespace: Namespace,
    load: Load,
    sets: Arc<ItemSets>,
    /// Number of successful requests at the last checkpoint.
    succeeded: Cell<u64>,
}

impl Soak {
    /// Waits for successful requests after a step, prints the progress of the load, and returns an
    /// error if requests failed.
    async fn checkpoint(&self, step: &str) -> Result<()> {
        let expected = self.succeeded.get() + REQUESTS_PER_STEP_MIN;
        let so_far = wait::until(&format!("requests succeed: {step}"), || {
            let so_far = self.load.snapshot();
            ensure!(so_far.succeeded >= expected || so_far.failed > 0, "{} of {expected}", so_far.succeeded);
            Ok(so_far)
        })
        .await?;
        self.succeeded.set(so_far.succeeded);
        println!("{step}: {} requests, {} succeeded, {} shed", so_far.scheduled, so_far.succeeded, so_far.shed);
        so_far.require_no_failure().with_context(|| step.to_owned()).map(drop)
    }

    fn status(&self) -> Result<Value> {
        Ok(self.namespace.get("recommender", NAME)?["status"].clone())
    }

    async fn retrain(&self, round: u64) -> Result<()> {
        let before = self.status()?["model"]["revision"].clone();
        self.namespace.config_map("visits", "visits.csv", &visits(round))?;
        let annotation = format!("recmesh.dev/retrain-at={}", item_set(round));
        self.namespace.kubectl(&["annotate", "recommender", NAME, "--overwrite", &annotation])?;
        wait::until(&format!("the model of round {round} is served"), || {
            let status = self.status()?;
            let swapped = status["model"]["revision"] != before && status["loadedReplicas"] == status["replicas"];
            ensure!(swapped && self.sets.prefixes().values().any(|set| *set == item_set(round)), "{status}");
            Ok(())
        })
        .await
    }

    /// Waits until exactly this number of pods exists and all are Ready.
    async fn wait_pods(&self, replicas: usize) -> Result<()> {
        wait::until(&format!("{replicas} pods are Ready"), || {
            let pods = self.namespace.list("pods", "app.kubernetes.io/component=serving")?;
            let ready = |pod: &&Value| {
                let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
                conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
            };
            let serving = pods.iter().filter(ready).count();
            ensure!(pods.len() == replicas && serving == replicas, "{} pods, {serving} ready", pods.len());
            Ok(())
        })
        .await
    }
}

/// Returns the lines with a user id in logs at the default level, Events, and objects with their
/// labels and status.
fn lines_with_user_ids(namespace: &Namespace) -> Result<Vec<String>> {
    let kubectl = |arguments: &[&str]| namespace.cluster.commands.kubectl(arguments);
    let mut found = Vec::new();
    let mut search = |source: &str, text: &str| {
        found.extend(text.lines().filter(|line| line.contains(USER)).map(|line| format!("{source}: {line}")));
    };
    for name in [namespace.name.as_str(), SYSTEM_NAMESPACE] {
        let pods = kubectl(&["--namespace", name, "get", "pods", "-o", "name"])?;
        for pod in pods.lines() {
            search(pod, &kubectl(&["--namespace", name, "logs", pod, "--all-containers"])?);
        }
        let kinds = "events,pods,jobs,deployments,services,secrets,recommenders";
        search("an object", &kubectl(&["--namespace", name, "get", kinds, "-o", "json"])?);
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_during_changes_and_outages() -> Result<()> {
    let down = Duration::from_secs(from_environment("RECMESH_SOAK_DOWN_SECONDS", DOWN_SECONDS_DEFAULT)?);
    let rate = from_environment("RECMESH_SOAK_RATE", RATE_DEFAULT)?;
    let retrainings = from_environment("RECMESH_SOAK_RETRAININGS", RETRAININGS_DEFAULT)?;
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "soak")?;
    namespace.config_map("visits", "visits.csv", &visits(0))?;
    namespace.apply(&recommender(2, 0))?;
    namespace.wait_ready(NAME).await?;

    let url = format!("{}/recommend", namespace.service_url(NAME)?);
    // Known users, and a few users that are not in any model.
    let request: RequestFn =
        Arc::new(move |number| Request::post(&url, json!({"user": format!("{USER}{}", number % 63), "n": 5})));
    let sets = Arc::new(ItemSets::default());
    let load = Load::start(&cluster.http, rate as f64, request, sets.check());
    let soak = Soak { namespace, load, sets, succeeded: Cell::new(0) };

    soak.checkpoint("served the first model").await?;
    for round in 1..=retrainings {
        soak.retrain(round).await?;
        soak.checkpoint(&format!("retrained and swapped, {round} of {retrainings}")).await?;
    }

    soak.namespace.apply(&recommender(2, 1))?;
    wait::until("all pods have the new template", || {
        let pods = soak.namespace.list("pods", "app.kubernetes.io/component=serving")?;
        let new = pods.iter().filter(|pod| pod["metadata"]["annotations"]["example.com/template"] == "1").count();
        ensure!(new == 2 && pods.len() == 2, "{new} of {} are new", pods.len());
        Ok(())
    })
    .await?;
    soak.checkpoint("rolled out a new pod template").await?;

    for replicas in [1_usize, 3, 1] {
        soak.namespace.kubectl(&["scale", "recommender", NAME, &format!("--replicas={replicas}")])?;
        soak.wait_pods(replicas).await?;
        soak.checkpoint(&format!("scaled to {replicas}")).await?;
    }

    for (what, kind, name) in
        [("store", "statefulset", "recmesh-store"), ("operator", "deployment", "recmesh-operator")]
    {
        let scaled = Scaled::down(&cluster, kind, name).await?;
        tokio::time::sleep(down).await;
        soak.checkpoint(&format!("the {what} was down for at least {down:?}")).await?;
        scaled.up().await?;
    }
    if let Some(server) = ApiServer::of(&cluster)? {
        let stopped = server.stop()?;
        tokio::time::sleep(down).await;
        soak.checkpoint(&format!("the API server was down for at least {down:?}")).await?;
        drop(stopped);
    } else {
        println!("skipped the outage of the API server: not a local cluster");
    }

    // Everything works after the outages.
    wait::until("the API server responds", || soak.status().map(drop)).await?;
    soak.retrain(retrainings + 1).await?;
    soak.checkpoint("retrained and swapped after the outages").await?;
    // Retried, because pods can be created or deleted between the list and the read of a log.
    let found = wait::until("all logs and objects are read", || lines_with_user_ids(&soak.namespace)).await?;
    ensure!(found.is_empty(), "user ids: {found:#?}");
    let outcome = soak.load.stop().await?;
    outcome.require_no_failure()?;
    ensure!(outcome.revisions.len() as u64 == retrainings + 2, "{:?}", outcome.revisions);
    println!(
        "{} requests ({} shed) in {:.0} s, p50 {:?}, p99 {:?}, max {:?}; revisions {:?}",
        outcome.scheduled,
        outcome.shed,
        outcome.duration.as_secs_f64(),
        outcome.success_quantile(0.5).unwrap_or_default(),
        outcome.success_quantile(0.99).unwrap_or_default(),
        outcome.success_quantile(1.0).unwrap_or_default(),
        outcome.revisions
    );
    Ok(())
}
