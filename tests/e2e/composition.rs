//! Recommenders that are made of others: a blend that loses a part and gets it back, and a split.

use anyhow::{Context as _, Result, ensure};
use e2e::{Cluster, Namespace, Prober, wait};
use serde_json::{Value, json};
use sidecar_contract::ports;

use crate::data::{recommender, two_groups};

const PARTS: [&str; 3] = ["films", "books", "games"];

const COMPOSITIONS: &str = "apiVersion: recmesh.dev/v1alpha1
kind: Recommender
metadata: {name: home}
spec:
  algorithm: {compose: {blend: {parts: [{name: films, weight: 2}, {name: books}, {name: games}]}}}
---
apiVersion: recmesh.dev/v1alpha1
kind: Recommender
metadata: {name: trial}
spec:
  algorithm: {compose: {split: {parts: [{name: films, share: 1}, {name: books, share: 1}]}}}
";

fn parts(answer: &Value) -> Vec<&str> {
    let parts = answer["model"]["parts"].as_array().into_iter().flatten();
    parts.filter_map(|part| part["name"].as_str()).collect()
}

/// Waits until the parts of an answer are these.
async fn wait_for_parts(namespace: &Namespace, expected: &[&str]) -> Result<()> {
    wait::until_async(&format!("an answer of {expected:?}"), async || {
        let answer = namespace.recommend("home", &json!({"user": "user6", "n": 5})).await?;
        ensure!(parts(&answer) == expected, "{answer}");
        let is_degraded = expected.len() < PARTS.len();
        ensure!(answer.get("degraded").is_some() == is_degraded, "{answer}");
        Ok(())
    })
    .await
}

/// Answer of a composition, once it has every part that it needs. A pod of a composition looks up the
/// addresses of a part every few seconds, and until then may try those of a deleted pod.
async fn whole_answer(namespace: &Namespace, name: &str, body: &Value) -> Result<Value> {
    wait::until_async(&format!("a whole answer of {name}"), async || {
        let answer = namespace.recommend(name, body).await?;
        ensure!(answer.get("degraded").is_none(), "{answer}");
        Ok(answer)
    })
    .await
}

fn scale(namespace: &Namespace, part: &str, replicas: u32) -> Result<()> {
    let patch = json!({"spec": {"serving": {"replicas": replicas}}}).to_string();
    namespace.kubectl(&["patch", "recommender", part, "--type=merge", "-p", &patch])?;
    Ok(())
}

/// Address of the only serving pod of a Recommender, and its name.
fn serving_pod(namespace: &Namespace, name: &str) -> Result<(String, String)> {
    let pods =
        namespace.list("pods", &format!("recmesh.dev/recommender={name},app.kubernetes.io/component=serving"))?;
    let pod = pods.first().with_context(|| format!("{name} has no pod"))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok((text(&pod["status"]["podIP"]), text(&pod["metadata"]["name"])))
}

/// The pods of a composition connect to those of its parts, and to nothing else but DNS.
async fn check_egress(namespace: &Namespace) -> Result<()> {
    let (_, pod) = serving_pod(namespace, "trial")?;
    let prober = Prober::attach(namespace, &pod).await?;
    // Games is not a part of the composition. It admits connections of its namespace.
    for (name, is_part) in [("films", true), ("books", true), ("games", false)] {
        let (address, _) = serving_pod(namespace, name)?;
        prober.wait_connects(&address, ports::APP, is_part).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_blend_loses_a_part_and_gets_it_back_and_a_split_keeps_its_users() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "composition")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    // The compositions first: they wait for their parts.
    namespace.apply(COMPOSITIONS)?;
    wait::until("the parts are missing", || {
        let (status, reason, message) = namespace.condition("home", "PartsReady").context("no condition")?;
        ensure!((status.as_str(), reason.as_str()) == ("False", "PartNotFound"), "{status}, {reason}: {message}");
        Ok(())
    })
    .await?;
    for part in PARTS {
        namespace.apply(&recommender(part, 4, 1))?;
    }
    for name in PARTS.into_iter().chain(["home", "trial"]) {
        namespace.wait_ready(name).await?;
    }
    wait::until("the parts are found", || {
        let (status, reason, message) = namespace.condition("home", "PartsReady").context("no condition")?;
        ensure!((status.as_str(), reason.as_str()) == ("True", "PartsFound"), "{status}, {reason}: {message}");
        Ok(())
    })
    .await?;
    wait_for_parts(&namespace, &PARTS).await?;
    check_egress(&namespace).await?;

    scale(&namespace, "books", 0)?;
    wait_for_parts(&namespace, &["films", "games"]).await?;
    scale(&namespace, "books", 1)?;
    wait_for_parts(&namespace, &PARTS).await?;

    let mut variants = std::collections::BTreeMap::new();
    for _ in 0..2 {
        for user in 0..20 {
            let user = format!("user{user}");
            let answer = whole_answer(&namespace, "trial", &json!({"user": user, "n": 1})).await?;
            let variant = answer["model"]["variant"].as_str().context("no variant")?.to_owned();
            ensure!(parts(&answer) == [variant.as_str()], "{answer}");
            let before = variants.entry(user).or_insert_with(|| variant.clone());
            ensure!(*before == variant, "{answer}");
        }
    }
    ensure!(variants.values().any(|variant| variant == "films") && variants.values().any(|variant| variant == "books"));

    // A cycle leaves the composition in force.
    let cyclic = json!({"spec": {"algorithm": {"compose": {"blend": null, "cascade": {"parts": ["films", "home"]}}}}});
    namespace.kubectl(&["patch", "recommender", "home", "--type=merge", "-p", &cyclic.to_string()])?;
    wait::until("the cycle is reported", || {
        let (status, reason, message) = namespace.condition("home", "Stalled").context("no condition")?;
        ensure!((status.as_str(), reason.as_str()) == ("True", "PartsCyclic"), "{status}, {reason}: {message}");
        Ok(())
    })
    .await?;
    wait_for_parts(&namespace, &PARTS).await
}
