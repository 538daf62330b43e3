//! Lifecycle of a Recommender: apply, train, serve, model swap, deletion.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use e2e::{Cluster, Namespace, wait};
use serde_json::{Value, json};

use crate::data::{recommender, two_groups};

/// Returns UID and restart count of the serving pods.
fn pods(namespace: &Namespace) -> Result<BTreeSet<String>> {
    let pods = namespace.list("pods", "app.kubernetes.io/component=serving")?;
    Ok(pods
        .iter()
        .map(|pod| format!("{} {}", pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"]))
        .collect())
}

fn revision(namespace: &Namespace, name: &str) -> Result<String> {
    Ok(namespace.get("recommender", name)?["status"]["model"]["revision"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn apply_trains_and_serves_a_model() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "apply")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    namespace.apply(&recommender("movies", 4, 2))?;
    namespace.wait_ready("movies").await?;

    // user6 interacted with every even item but item12, so item12 ranks first.
    let response = namespace.recommend("movies", &json!({"user": "user6", "n": 3})).await?;
    ensure!(response["items"][0]["id"] == "item12", "{response}");
    ensure!(response["model"]["revision"] == revision(&namespace, "movies")?, "{response}");
    // A form request with a history of even items is folded in; the first item is even.
    let url = format!("{}/recommend", namespace.service_url("movies")?);
    let form = [("user_id", "42"), ("items", "item0,item2,item4"), ("ratings", "5,3,4")];
    let response: Value = cluster.http.post(url).form(&form).send().await?.json().await?;
    let first = response["recommendations"][0].as_str().unwrap_or_default().trim_start_matches("item").to_owned();
    ensure!(first.parse::<u32>().is_ok_and(|item| item % 2 == 0), "{response}");
    let response = namespace.recommend("movies", &json!({"user": "unknown", "n": 2})).await?;
    ensure!(response["items"][0]["source"] == "popular", "{response}");
    Ok(())
}

#[tokio::test]
async fn svd_trains_and_serves_a_model() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "svd")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    namespace.apply(&recommender("movies", 2, 1).replace("als: {factors: 2, iterations: 5}", "svd: {factors: 2}"))?;
    namespace.wait_ready("movies").await?;
    let mut model = namespace.get("recommender", "movies")?["status"]["model"].take();
    let parameters = model["parameters"].as_object_mut().context("no parameters")?;
    let weight = parameters.remove("coOccurrenceWeight").and_then(|weight| weight.as_f64());
    ensure!(weight.is_some_and(|chosen| chosen >= 0.0), "{weight:?}");
    let expected = json!({"factors": 2, "iterations": 10, "degreeExponent": 0.5});
    ensure!(model["algorithm"] == "svd" && model["parameters"] == expected, "{model}");
    // user6 interacted with every even item but item12. A history of odd items gives an odd item.
    let response = namespace.recommend("movies", &json!({"user": "user6", "n": 3})).await?;
    ensure!(response["items"][0]["id"] == "item12", "{response}");
    let history = json!([{"item": "item1"}, {"item": "item3"}, {"item": "item5"}]);
    let response = namespace.recommend("movies", &json!({"history": history, "n": 1})).await?;
    let first = response["items"][0]["id"].as_str().unwrap_or_default().trim_start_matches("item").to_owned();
    ensure!(first.parse::<u32>().is_ok_and(|item| item % 2 == 1), "{response}");
    Ok(())
}

#[tokio::test]
async fn tuning_reports_its_parameters_in_the_status() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "tuning")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    // Shrinks all factors to nearly zero, so that every drawn value is better. The two-hop term alone
    // would make good lists.
    let movies = recommender("movies", 4, 1)
        .replace("iterations: 5", "iterations: 5, coOccurrenceWeight: 0, regularization: 1000");
    namespace.apply(&format!("{movies}  training: {{tuning: {{trials: 5}}}}\n"))?;
    namespace.wait_ready("movies").await?;
    let model = &namespace.get("recommender", "movies")?["status"]["model"];
    let found = model["parameters"]["regularization"].as_f64();
    ensure!(found.is_some_and(|found| 0.0 < found && found < 100.0), "{model}");
    ensure!(model["parameters"]["iterations"].as_u64().is_some_and(|found| found <= 5), "{model}");
    Ok(())
}

#[tokio::test]
async fn model_swap_restarts_no_pod_and_fails_no_request() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "swap")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    namespace.apply(&recommender("movies", 4, 2))?;
    namespace.wait_ready("movies").await?;
    let (pods_before, first) = (pods(&namespace)?, revision(&namespace, "movies")?);

    let url = format!("{}/recommend", namespace.service_url("movies")?);
    let http = cluster.http.clone();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let revisions = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&revisions);
    let client = tokio::spawn(async move {
        while stopped.try_recv().is_err() {
            let response = http.post(&url).json(&json!({"user": "user6", "n": 3})).send().await?;
            ensure!(response.status().is_success(), "a request failed: {}", response.status());
            let response: Value = response.json().await?;
            let revision = response["model"]["revision"].as_str().unwrap_or_default().to_owned();
            seen.lock().unwrap().insert(revision);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    });
    let until_served = async |revision: &str| {
        wait::until(&format!("a response comes from revision {revision}"), || {
            // The client ends early only with an error, which is returned below.
            ensure!(client.is_finished() || revisions.lock().unwrap().contains(revision), "{revisions:?}");
            Ok(())
        })
        .await
    };
    until_served(&first).await?;
    namespace.apply(&recommender("movies", 5, 2))?;
    wait::until("both pods have loaded a new revision", || {
        let object = namespace.get("recommender", "movies")?;
        let model = &object["status"]["model"]["revision"];
        ensure!(model != first.as_str() && object["status"]["loadedReplicas"] == 2, "{}", object["status"]);
        Ok(())
    })
    .await?;
    namespace.wait_ready("movies").await?;
    until_served(&revision(&namespace, "movies")?).await?;
    let _ = stop.send(());
    client.await??;
    ensure!(pods(&namespace)? == pods_before, "pods were replaced or restarted");
    Ok(())
}

/// Changes the history limit, and waits until the operator has reconciled with it.
async fn reconcile_with_history_limit(namespace: &Namespace, limit: u32) -> Result<()> {
    let patch = json!({"spec": {"revisionHistoryLimit": limit}}).to_string();
    namespace.kubectl(&["patch", "recommender", "movies", "--type=merge", "-p", &patch])?;
    namespace.wait_ready("movies").await
}

/// Returns what the operator has written to each child, by kind and name. Other controllers write
/// to other fields.
fn written_by_operator(namespace: &Namespace) -> Result<BTreeMap<String, Value>> {
    let kinds = "configmaps,deployments,services,secrets,networkpolicies,poddisruptionbudgets,jobs,serviceaccounts";
    let text = namespace.kubectl(&["get", kinds, "-o", "json", "--show-managed-fields"])?;
    let list: Value = serde_json::from_str(&text)?;
    let written = |object: &Value| {
        let meta = &object["metadata"];
        let managers = meta["managedFields"].as_array().into_iter().flatten();
        let fields: Vec<&Value> = managers.filter(|entry| entry["manager"] == "recmesh-operator").collect();
        let name = format!("{} {}", object["kind"], meta["name"]);
        let content = json!([meta["uid"], meta["labels"], object["spec"], object["data"], fields]);
        (!fields.is_empty()).then_some((name, content))
    };
    let written: BTreeMap<_, _> = list["items"].as_array().into_iter().flatten().filter_map(written).collect();
    ensure!(written.len() > 8, "the operator wrote only {:?}", written.keys());
    Ok(written)
}

/// Returns the status without the generations that it is of.
fn status_without_generations(namespace: &Namespace) -> Result<Value> {
    let mut status = namespace.get("recommender", "movies")?["status"].clone();
    status["observedGeneration"] = Value::Null;
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        condition["observedGeneration"] = Value::Null;
    }
    Ok(status)
}

#[tokio::test]
async fn idle_operator_writes_nothing_and_restores_a_wiped_status() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "idle")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    namespace.apply(&recommender("movies", 4, 1))?;
    namespace.wait_ready("movies").await?;
    wait::until("the Job has ended", || {
        let jobs = namespace.list("jobs", "recmesh.dev/recommender=movies")?;
        ensure!(jobs.iter().all(|job| job["status"]["succeeded"] == 1), "{}", jobs[0]["status"]);
        Ok(())
    })
    .await?;
    // The observed generation proves that a reconcile after the change has finished. The history
    // limit affects neither the children nor the rest of the status.
    reconcile_with_history_limit(&namespace, 11).await?;
    let (before, settled) = (written_by_operator(&namespace)?, status_without_generations(&namespace)?);
    for limit in [12, 13] {
        reconcile_with_history_limit(&namespace, limit).await?;
    }
    let after = written_by_operator(&namespace)?;
    let differs = |child: &&String| before.get(*child) != after.get(*child);
    let changed: BTreeSet<&String> = before.keys().chain(after.keys()).filter(differs).collect();
    ensure!(changed.is_empty(), "children changed while idle: {changed:?}");
    let status = status_without_generations(&namespace)?;
    ensure!(status == settled, "the status changed while idle:\n{settled:#}\n{status:#}");

    namespace.kubectl(&[
        "patch",
        "recommender",
        "movies",
        "--subresource=status",
        "--type=json",
        "-p",
        r#"[{"op": "remove", "path": "/status"}]"#,
    ])?;
    wait::until("the status is restored", || {
        let object = namespace.get("recommender", "movies")?;
        ensure!(
            object["status"]["model"] == settled["model"] && object["status"]["lastRun"] == settled["lastRun"],
            "{}",
            object["status"]
        );
        Ok(())
    })
    .await?;
    ensure!(namespace.list("jobs", "recmesh.dev/recommender=movies")?.len() == 1, "a model was trained again");
    Ok(())
}

#[tokio::test]
async fn deletion_removes_all_children_even_during_training() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "delete")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    for (name, ready) in [("served", true), ("training", false)] {
        namespace.apply(&recommender(name, 4, 1))?;
        if ready {
            namespace.wait_ready(name).await?;
        } else {
            wait::until("the Job exists", || {
                ensure!(!namespace.list("jobs", "recmesh.dev/recommender=training")?.is_empty(), "no Job");
                Ok(())
            })
            .await?;
        }
        namespace.kubectl(&["delete", "recommender", name])?;
        let selector = format!("recmesh.dev/recommender={name}");
        wait::until("all children are deleted", || {
            for kind in
                ["job", "pod", "deployment", "configmap", "secret", "service", "serviceaccount", "pdb", "networkpolicy"]
            {
                let left = namespace.list(kind, &selector)?;
                ensure!(left.is_empty(), "a {kind} remains");
            }
            Ok(())
        })
        .await?;
    }
    Ok(())
}
