//! Requests go on while everything around them changes or breaks: none fails, and each answer is of one revision.
//!
//! A binary of its own, because it takes the operator, the store and the API server down for all. How long, and how often
//! it retrains, the environment says: seconds for `make test`, minutes for `make soak`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // A test may fail loudly.

mod outage;

use std::{fmt::Write as _, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use e2e::{
    Cluster, Namespace,
    install::SYSTEM_NAMESPACE,
    load::{Ask, ItemSets, Load, Request},
    wait,
};
use serde_json::{Value, json};

use crate::outage::{ApiServer, Scaled};

const NAME: &str = "shop";
/// Part of every user's id, and of nothing else.
const USER: &str = "wanderer";
/// Requests a second, when the environment does not say.
const RATE_DEFAULT: u64 = 200;
/// Seconds that store, operator and API server are down each, when the environment does not say.
const DOWN_SECONDS_DEFAULT: u64 = 10;
/// Retrainings with a swap, when the environment does not say.
const RETRAININGS_DEFAULT: u64 = 3;

fn from_environment(name: &str, default: u64) -> Result<u64> {
    std::env::var(name).map_or(Ok(default), |text| text.parse().with_context(|| format!("{name}={text:?}: a number")))
}

/// What the items of a round are called; other in each process, because the store remembers the models of earlier ones.
fn item_set(round: u64) -> String {
    format!("round{round}of{}", std::process::id())
}

/// Two groups of users with two groups of items, which carry the round in their names.
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

struct Story {
    namespace: Namespace,
    load: Load,
    sets: Arc<ItemSets>,
}

impl Story {
    /// Says how far the story is, and ends it where requests failed.
    fn told(&self, what: &str) -> Result<()> {
        let so_far = self.load.so_far();
        println!("{what}: {} requests, {} right", so_far.due, so_far.right);
        so_far.without_failures().with_context(|| what.to_owned()).map(drop)
    }

    fn status(&self) -> Result<Value> {
        Ok(self.namespace.get("recommender", NAME)?["status"].clone())
    }

    async fn retrain(&self, round: u64) -> Result<()> {
        let before = self.status()?["model"]["revision"].clone();
        self.namespace.config_map("visits", "visits.csv", &visits(round))?;
        let annotation = format!("recmesh.dev/retrain-at={}", item_set(round));
        self.namespace.kubectl(&["annotate", "recommender", NAME, "--overwrite", &annotation])?;
        wait::until(&format!("a model of round {round} answers"), || {
            let status = self.status()?;
            let swapped = status["model"]["revision"] != before && status["loadedReplicas"] == status["replicas"];
            ensure!(swapped && self.sets.seen().values().any(|set| *set == item_set(round)), "{status}");
            Ok(())
        })
        .await
    }

    /// Waits until so many pods serve, and no others are left.
    async fn pods(&self, replicas: usize) -> Result<()> {
        wait::until(&format!("{replicas} pods serve"), || {
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

/// Logs at the level that an installation has, Events, and objects with their labels and status.
fn no_user_is_named(namespace: &Namespace) -> Result<()> {
    let kubectl = |arguments: &[&str]| namespace.cluster.commands.kubectl(arguments);
    let names_none = |what: &str, text: &str| {
        let line = text.lines().find(|line| line.contains(USER));
        line.map_or(Ok(()), |line| bail!("{what} names a user: {line}"))
    };
    for place in [namespace.name.as_str(), SYSTEM_NAMESPACE] {
        let pods = kubectl(&["--namespace", place, "get", "pods", "-o", "name"])?;
        for pod in pods.lines() {
            names_none(pod, &kubectl(&["--namespace", place, "logs", pod, "--all-containers"])?)?;
        }
        let kinds = "events,pods,jobs,deployments,services,secrets,recommenders";
        names_none("an object", &kubectl(&["--namespace", place, "get", kinds, "-o", "json"])?)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_everything_changes_or_breaks() -> Result<()> {
    let down = Duration::from_secs(from_environment("RECMESH_SOAK_DOWN_SECONDS", DOWN_SECONDS_DEFAULT)?);
    let rate = from_environment("RECMESH_SOAK_RATE", RATE_DEFAULT)?;
    let retrainings = from_environment("RECMESH_SOAK_RETRAININGS", RETRAININGS_DEFAULT)?;
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "soak")?;
    namespace.config_map("visits", "visits.csv", &visits(0))?;
    namespace.apply(&recommender(2, 0))?;
    namespace.wait_ready(NAME).await?;

    let url = format!("{}/recommend", namespace.service_url(NAME)?);
    // Known users, and now and then one whom no model knows.
    let ask: Ask =
        Arc::new(move |number| Request::post(&url, json!({"user": format!("{USER}{}", number % 63), "n": 5})));
    let sets = Arc::new(ItemSets::default());
    let load = Load::start(&cluster.http, rate as f64, ask, sets.check());
    let story = Story { namespace, load, sets };

    for round in 1..=retrainings {
        story.retrain(round).await?;
        story.told(&format!("retrained and swapped, {round} of {retrainings}"))?;
    }

    story.namespace.apply(&recommender(2, 1))?;
    wait::until("the pods are of the new template", || {
        let pods = story.namespace.list("pods", "app.kubernetes.io/component=serving")?;
        let new = pods.iter().filter(|pod| pod["metadata"]["annotations"]["example.com/template"] == "1").count();
        ensure!(new == 2 && pods.len() == 2, "{new} of {} are new", pods.len());
        Ok(())
    })
    .await?;
    story.told("rolled to a new template")?;

    for replicas in [1_usize, 3, 1] {
        story.namespace.kubectl(&["scale", "recommender", NAME, &format!("--replicas={replicas}")])?;
        story.pods(replicas).await?;
        story.told(&format!("scaled to {replicas}"))?;
    }

    for (what, kind, name) in
        [("store", "statefulset", "recmesh-store"), ("operator", "deployment", "recmesh-operator")]
    {
        let scaled = Scaled::down(&cluster, kind, name).await?;
        tokio::time::sleep(down).await;
        story.told(&format!("the {what} was down for {down:?}"))?;
        scaled.up().await?;
    }
    if let Some(server) = ApiServer::of(&cluster)? {
        let stopped = server.stop()?;
        tokio::time::sleep(down).await;
        drop(stopped);
        story.told(&format!("the API server was down for {down:?}"))?;
    } else {
        println!("the API server of a cluster that is not ours is left alone");
    }

    // All of it works again.
    wait::until("the API server answers", || story.status().map(drop)).await?;
    story.retrain(retrainings + 1).await?;
    story.told("retrained and swapped after all that")?;
    // Pods come and go while they are read.
    wait::until("no log, Event or object names a user", || no_user_is_named(&story.namespace)).await?;
    let outcome = story.load.stop().await?;
    outcome.without_failures()?;
    ensure!(outcome.revisions.len() as u64 == retrainings + 2, "{:?}", outcome.revisions);
    println!(
        "{} requests in {:.0} s, p50 {:?}, p99 {:?}, longest {:?}; revisions {:?}",
        outcome.due,
        outcome.took.as_secs_f64(),
        outcome.right_at(0.5).unwrap_or_default(),
        outcome.right_at(0.99).unwrap_or_default(),
        outcome.right_at(1.0).unwrap_or_default(),
        outcome.revisions
    );
    Ok(())
}
