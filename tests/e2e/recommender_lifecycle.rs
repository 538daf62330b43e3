//! Lifecycle of a Recommender: apply, train, serve, model swap, deletion.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, ensure};
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
    let model = &namespace.get("recommender", "movies")?["status"]["model"];
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
    // Shrinks all factors to nearly zero, so that every drawn value is better.
    let movies = recommender("movies", 4, 1).replace("iterations: 5", "iterations: 5, regularization: 1000");
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
    let client = tokio::spawn(async move {
        let mut seen = BTreeSet::new();
        while stopped.try_recv().is_err() {
            let response = http.post(&url).json(&json!({"user": "user6", "n": 3})).send().await?;
            ensure!(response.status().is_success(), "a request failed: {}", response.status());
            let response: Value = response.json().await?;
            seen.insert(response["model"]["revision"].as_str().unwrap_or_default().to_owned());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(seen)
    });
    namespace.apply(&recommender("movies", 5, 2))?;
    wait::until("both pods have loaded a new revision", || {
        let object = namespace.get("recommender", "movies")?;
        let model = &object["status"]["model"]["revision"];
        ensure!(model != first.as_str() && object["status"]["loadedReplicas"] == 2, "{}", object["status"]);
        Ok(())
    })
    .await?;
    namespace.wait_ready("movies").await?;
    let _ = stop.send(());
    let seen: BTreeSet<String> = client.await??;
    ensure!(seen.contains(&first), "{seen:?}");
    ensure!(pods(&namespace)? == pods_before, "pods were replaced or restarted");
    Ok(())
}

#[tokio::test]
async fn idle_operator_writes_nothing_and_restores_a_wiped_status() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "idle")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    namespace.apply(&recommender("movies", 4, 1))?;
    namespace.wait_ready("movies").await?;
    let versions = || -> Result<Vec<String>> {
        let mut versions = Vec::new();
        for kind in [
            "recommender",
            "configmap",
            "deployment",
            "service",
            "secret",
            "networkpolicy",
            "pdb",
            "job",
            "serviceaccount",
        ] {
            for object in namespace.list(kind, "")? {
                versions
                    .push(format!("{kind} {} {}", object["metadata"]["name"], object["metadata"]["resourceVersion"]));
            }
        }
        Ok(versions)
    };
    // Other controllers may still write (status of the Job, Endpoints of the pods).
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = versions()?;
    // Two changes of an unrelated annotation trigger two reconciles.
    let status = |object: &Value| object["status"].clone();
    let settled = status(&namespace.get("recommender", "movies")?);
    for touch in ["1", "2"] {
        namespace.kubectl(&[
            "annotate",
            "recommender",
            "movies",
            "--overwrite",
            &format!("example.com/touch={touch}"),
        ])?;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let without_recommenders =
        |list: Vec<String>| list.into_iter().filter(|v| !v.starts_with("recommender ")).collect::<Vec<_>>();
    let (before, after) = (without_recommenders(before), without_recommenders(versions()?));
    ensure!(before == after, "children changed while idle:\n{before:?}\n{after:?}");
    ensure!(status(&namespace.get("recommender", "movies")?) == settled, "the status changed while idle");

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
