//! Which model serves: gate, pin, promotion, and what the store keeps.

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

async fn answered_by(namespace: &Namespace, name: &str, wanted: &str) -> Result<()> {
    wait::until_async(&format!("{wanted} answers"), async || {
        let answer = namespace.recommend(name, &json!({"user": "user6", "n": 2})).await?;
        ensure!(answer["model"]["revision"] == wanted, "{answer}");
        Ok(())
    })
    .await
}

async fn says(namespace: &Namespace, name: &str, kind: &str, status: &str, reason: &str) -> Result<String> {
    let mut said = String::new();
    wait::until(&format!("{name} says {kind} {status} {reason}"), || {
        let found = namespace.condition(name, kind);
        let Some((is, why, message)) = found else { anyhow::bail!("no {kind} yet") };
        ensure!(is == status && why == reason, "{kind} is {is} {why}: {message}");
        said = message;
        Ok(())
    })
    .await?;
    Ok(said)
}

#[tokio::test]
async fn a_pin_goes_back_and_forth_without_training() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "pin")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    namespace.apply(&recommender("movies", 4, 2))?;
    namespace.wait_ready("movies").await?;
    let first = revision(&namespace, "movies")?;
    namespace.apply(&recommender("movies", 5, 2))?;
    wait::until("a second model serves", || {
        ensure!(![first.clone(), String::new()].contains(&revision(&namespace, "movies")?), "still {first}");
        Ok(())
    })
    .await?;
    namespace.wait_ready("movies").await?;
    let second = revision(&namespace, "movies")?;
    answered_by(&namespace, "movies", &second).await?;

    patch(&namespace, "movies", &json!({"spec": {"model": {"revision": first}}}))?;
    answered_by(&namespace, "movies", &first).await?;
    let said = says(&namespace, "movies", "RolledBack", "True", "PinnedByUser").await?;
    ensure!(said.contains(&second), "{said}");
    says(&namespace, "movies", "QualityGatePassed", "True", "PinnedByUser").await?;

    patch(&namespace, "movies", &json!({"spec": {"model": {"revision": "0123456789"}}}))?;
    let said = says(&namespace, "movies", "Stalled", "True", "RevisionNotFound").await?;
    ensure!(said.contains(&first) && said.contains(&second), "{said}");
    answered_by(&namespace, "movies", &first).await?;

    patch(&namespace, "movies", &json!({"spec": {"model": null}}))?;
    answered_by(&namespace, "movies", &second).await?;
    namespace.wait_ready("movies").await?;
    ensure!(status(&namespace, "movies")?["lastRun"]["number"] == 2, "something trained again");
    Ok(())
}

#[tokio::test]
async fn a_first_model_that_fails_leaves_popularity_and_a_lower_gate_needs_no_training() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "gate")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    let strict = recommender("movies", 4, 1).replace("minLiftOverBaseline: -1", "minLiftOverBaseline: 10");
    namespace.apply(&strict)?;
    says(&namespace, "movies", "QualityGatePassed", "False", "GateFailed").await?;
    says(&namespace, "movies", "Stalled", "True", "GateFailed").await?;
    wait::until_async("popularity answers", async || {
        let answer = namespace.recommend("movies", &json!({"user": "user6", "n": 2})).await?;
        ensure!(answer["items"][0]["source"] == "popular", "{answer}");
        Ok(())
    })
    .await?;
    says(&namespace, "movies", "Ready", "False", "AwaitingFirstModel").await?;
    namespace.apply(&recommender("movies", 4, 1))?;
    namespace.wait_ready("movies").await?;
    wait::until_async("the model answers", async || {
        let answer = namespace.recommend("movies", &json!({"user": "user6", "n": 1})).await?;
        ensure!(answer["items"][0]["source"] == "model" && answer["items"][0]["id"] == "item12", "{answer}");
        Ok(())
    })
    .await?;
    ensure!(status(&namespace, "movies")?["lastRun"]["number"] == 1, "something trained again");
    Ok(())
}

#[tokio::test]
async fn a_manual_promotion_is_one_command_that_the_status_says() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "manual")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    let manual = |factors| format!("{}  promotion: Manual\n", recommender("movies", factors, 1));
    namespace.apply(&manual(4))?;
    let promote = async || -> Result<String> {
        let mut waiting = String::new();
        wait::until("a command stands in the message", || {
            let (_, _, message) = namespace.condition("movies", "Ready").unwrap_or_default();
            let command = message.split_once("kubectl ").map(|(_, command)| command.to_owned());
            waiting = command.ok_or_else(|| anyhow::anyhow!("Ready says {message:?}"))?;
            Ok(())
        })
        .await?;
        let words: Vec<&str> = waiting.split(' ').collect();
        namespace.cluster.commands.kubectl(&words)?;
        Ok(waiting.rsplit('=').next().unwrap_or_default().to_owned())
    };
    says(&namespace, "movies", "Stalled", "True", "AwaitingPromotion").await?;
    let first = promote().await?;
    namespace.wait_ready("movies").await?;
    answered_by(&namespace, "movies", &first).await?;

    namespace.apply(&manual(5))?;
    wait::until("the second run ended", || {
        ensure!(status(&namespace, "movies")?["history"].as_array().is_some_and(|h| h.len() == 2), "not yet");
        Ok(())
    })
    .await?;
    answered_by(&namespace, "movies", &first).await?;
    let second = promote().await?;
    ensure!(second != first, "{second}");
    answered_by(&namespace, "movies", &second).await
}

#[tokio::test]
async fn the_store_keeps_what_the_limit_says_and_delete_empties_it() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "history")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    let limited = |factors, policy| {
        format!("{}  revisionHistoryLimit: 1\n  deletionPolicy: {policy}\n", recommender("movies", factors, 1))
    };
    // An earlier test may have left something.
    namespace.apply(&limited(3, "Delete"))?;
    namespace.wait_ready("movies").await?;
    namespace.kubectl(&["delete", "recommender", "movies"])?;
    for (run, factors) in [(1, 3), (2, 4), (3, 5), (4, 6)] {
        namespace.apply(&limited(factors, "Retain"))?;
        wait::until(&format!("run {run} serves"), || {
            let status = status(&namespace, "movies")?;
            ensure!(status["model"]["run"] == run && status["loadedReplicas"] == 1, "{status}");
            Ok(())
        })
        .await?;
    }
    wait::until("older models are gone", || {
        let status = status(&namespace, "movies")?;
        let runs: Vec<_> = status["history"].as_array().into_iter().flatten().map(|h| h["run"].clone()).collect();
        ensure!(runs == [4, 3], "history is {runs:?}; the limit is 1, and the one before stands behind what serves");
        Ok(())
    })
    .await?;
    namespace.wait_ready("movies").await?;

    // Retained models serve again without training; deleted ones do not.
    namespace.kubectl(&["delete", "recommender", "movies"])?;
    namespace.apply(&limited(6, "Retain"))?;
    namespace.wait_ready("movies").await?;
    ensure!(status(&namespace, "movies")?["model"]["run"] == 4, "it trained again");
    namespace.apply(&limited(6, "Delete"))?;
    wait::until("the finalizer is there", || {
        let object = namespace.get("recommender", "movies")?;
        ensure!(object["metadata"]["finalizers"] == json!(["recmesh.dev/delete-data"]), "{}", object["metadata"]);
        Ok(())
    })
    .await?;
    namespace.kubectl(&["delete", "recommender", "movies"])?;
    namespace.apply(&limited(6, "Retain"))?;
    namespace.wait_ready("movies").await?;
    ensure!(status(&namespace, "movies")?["model"]["run"] == 1, "the store was not emptied");
    Ok(())
}
