//! Selection of the served model (gate, pin, promotion), and retention in the store.

use anyhow::{Result, ensure};
use e2e::{Cluster, Namespace, wait};
use serde_json::{Value, json};

use crate::data::{recommender, two_groups};

fn status(namespace: &Namespace, name: &str) -> Result<Value> {
    Ok(namespace.get("recommender", name)?["status"].clone())
}

fn revision(namespace: &Namespace, name: &str) -> Result<String> {
    Ok(status(namespace, name)?["model"]["revision"].as_str().unwrap_or_default().to_owned())
}

fn patch(namespace: &Namespace, name: &str, patch: &Value) -> Result<()> {
    namespace.kubectl(&["patch", "recommender", name, "--type=merge", "-p", &patch.to_string()]).map(drop)
}

/// Waits until a response comes from this revision.
async fn wait_served(namespace: &Namespace, name: &str, revision: &str) -> Result<()> {
    wait::until_async(&format!("revision {revision} is served"), async || {
        let response = namespace.recommend(name, &json!({"user": "user6", "n": 2})).await?;
        ensure!(response["model"]["revision"] == revision, "{response}");
        Ok(())
    })
    .await
}

/// Waits for a condition with this status and reason, and returns its message.
async fn wait_condition(namespace: &Namespace, name: &str, kind: &str, status: &str, reason: &str) -> Result<String> {
    let mut found_message = String::new();
    wait::until(&format!("{name} has condition {kind} {status} {reason}"), || {
        let found = namespace.condition(name, kind);
        let Some((found_status, found_reason, message)) = found else { anyhow::bail!("no condition {kind}") };
        ensure!(found_status == status && found_reason == reason, "{kind} is {found_status} {found_reason}: {message}");
        found_message = message;
        Ok(())
    })
    .await?;
    Ok(found_message)
}

#[tokio::test]
async fn pin_and_unpin_need_no_training() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "pin")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    namespace.apply(&recommender("movies", 4, 2))?;
    namespace.wait_ready("movies").await?;
    let first = revision(&namespace, "movies")?;
    namespace.apply(&recommender("movies", 5, 2))?;
    wait::until("a second model is served", || {
        ensure!(![first.clone(), String::new()].contains(&revision(&namespace, "movies")?), "still {first}");
        Ok(())
    })
    .await?;
    namespace.wait_ready("movies").await?;
    let second = revision(&namespace, "movies")?;
    wait_served(&namespace, "movies", &second).await?;

    patch(&namespace, "movies", &json!({"spec": {"model": {"revision": first}}}))?;
    wait_served(&namespace, "movies", &first).await?;
    let message = wait_condition(&namespace, "movies", "RolledBack", "True", "PinnedByUser").await?;
    ensure!(message.contains(&second), "{message}");
    wait_condition(&namespace, "movies", "QualityGatePassed", "True", "PinnedByUser").await?;

    patch(&namespace, "movies", &json!({"spec": {"model": {"revision": "0123456789"}}}))?;
    let message = wait_condition(&namespace, "movies", "Stalled", "True", "RevisionNotFound").await?;
    ensure!(message.contains(&first) && message.contains(&second), "{message}");
    wait_served(&namespace, "movies", &first).await?;

    patch(&namespace, "movies", &json!({"spec": {"model": null}}))?;
    wait_served(&namespace, "movies", &second).await?;
    namespace.wait_ready("movies").await?;
    ensure!(status(&namespace, "movies")?["lastRun"]["number"] == 2, "a model was trained again");
    Ok(())
}

#[tokio::test]
async fn failed_gate_serves_popularity_and_lowering_it_needs_no_training() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "gate")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    let strict = recommender("movies", 4, 1).replace("minLiftOverBaseline: -1", "minLiftOverBaseline: 10");
    namespace.apply(&strict)?;
    wait_condition(&namespace, "movies", "QualityGatePassed", "False", "GateFailed").await?;
    wait_condition(&namespace, "movies", "Stalled", "True", "GateFailed").await?;
    wait::until_async("the popularity fallback is served", async || {
        let response = namespace.recommend("movies", &json!({"user": "user6", "n": 2})).await?;
        ensure!(response["items"][0]["source"] == "popular", "{response}");
        Ok(())
    })
    .await?;
    wait_condition(&namespace, "movies", "Ready", "False", "GateFailed").await?;
    namespace.apply(&recommender("movies", 4, 1))?;
    namespace.wait_ready("movies").await?;
    wait::until_async("the model is served", async || {
        let response = namespace.recommend("movies", &json!({"user": "user6", "n": 1})).await?;
        ensure!(response["items"][0]["source"] == "model" && response["items"][0]["id"] == "item12", "{response}");
        Ok(())
    })
    .await?;
    ensure!(status(&namespace, "movies")?["lastRun"]["number"] == 1, "a model was trained again");
    Ok(())
}

#[tokio::test]
async fn manual_promotion_is_the_command_in_the_status() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "manual")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    let manual = |factors| format!("{}  promotion: Manual\n", recommender("movies", factors, 1));
    namespace.apply(&manual(4))?;
    let promote = async || -> Result<String> {
        let mut command = String::new();
        wait::until("the message contains a command", || {
            let (_, _, message) = namespace.condition("movies", "Ready").unwrap_or_default();
            let found = message.split_once("kubectl ").map(|(_, command)| command.to_owned());
            command = found.ok_or_else(|| anyhow::anyhow!("the message of Ready is {message:?}"))?;
            Ok(())
        })
        .await?;
        let arguments: Vec<&str> = command.split(' ').collect();
        namespace.cluster.commands.kubectl(&arguments)?;
        Ok(command.rsplit('=').next().unwrap_or_default().to_owned())
    };
    wait_condition(&namespace, "movies", "Stalled", "True", "AwaitingPromotion").await?;
    let first = promote().await?;
    namespace.wait_ready("movies").await?;
    wait_served(&namespace, "movies", &first).await?;

    namespace.apply(&manual(5))?;
    wait::until("the second run has finished", || {
        ensure!(
            status(&namespace, "movies")?["history"].as_array().is_some_and(|h| h.len() == 2),
            "history does not have two runs"
        );
        Ok(())
    })
    .await?;
    wait_served(&namespace, "movies", &first).await?;
    let second = promote().await?;
    ensure!(second != first, "{second}");
    wait_served(&namespace, "movies", &second).await
}

#[tokio::test]
async fn history_limit_and_deletion_policy_apply_to_the_store() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "history")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    let limited = |factors, policy| {
        format!("{}  revisionHistoryLimit: 1\n  deletionPolicy: {policy}\n", recommender("movies", factors, 1))
    };
    // Deletes the objects of an earlier test run from the store.
    namespace.apply(&limited(3, "Delete"))?;
    namespace.wait_ready("movies").await?;
    namespace.kubectl(&["delete", "recommender", "movies"])?;
    for (run, factors) in [(1, 3), (2, 4), (3, 5), (4, 6)] {
        namespace.apply(&limited(factors, "Retain"))?;
        wait::until(&format!("the model of run {run} is served"), || {
            let status = status(&namespace, "movies")?;
            ensure!(status["model"]["run"] == run && status["loadedReplicas"] == 1, "{status}");
            Ok(())
        })
        .await?;
    }
    wait::until("older models are deleted", || {
        let status = status(&namespace, "movies")?;
        let runs: Vec<_> = status["history"].as_array().into_iter().flatten().map(|h| h["run"].clone()).collect();
        ensure!(runs == [4, 3], "history is {runs:?}; expected the served run and, by the limit of 1, the one before");
        Ok(())
    })
    .await?;
    namespace.wait_ready("movies").await?;

    // Retained models are served again without training; deleted ones are not.
    namespace.kubectl(&["delete", "recommender", "movies"])?;
    namespace.apply(&limited(6, "Retain"))?;
    namespace.wait_ready("movies").await?;
    ensure!(status(&namespace, "movies")?["model"]["run"] == 4, "a model was trained again");
    namespace.apply(&limited(6, "Delete"))?;
    wait::until("the finalizer is set", || {
        let object = namespace.get("recommender", "movies")?;
        ensure!(object["metadata"]["finalizers"] == json!(["recmesh.dev/store-cleanup"]), "{}", object["metadata"]);
        Ok(())
    })
    .await?;
    namespace.kubectl(&["delete", "recommender", "movies"])?;
    namespace.apply(&limited(6, "Retain"))?;
    namespace.wait_ready("movies").await?;
    ensure!(status(&namespace, "movies")?["model"]["run"] == 1, "the models in the store were not deleted");
    Ok(())
}
