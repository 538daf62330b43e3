//! A Recommender's life: from apply to answers, through a new model, to nothing left.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, ensure};
use e2e::{Cluster, Namespace, wait};
use serde_json::{Value, json};

use crate::data::{recommender, two_groups};

/// Name, uid and restarts of the serving pods.
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
async fn apply_trains_serves_and_answers() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "life")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    namespace.apply(&recommender("movies", 4, 2))?;
    namespace.wait_ready("movies").await?;

    // user6 met every even item but item12: that one comes first.
    let answer = namespace.recommend("movies", &json!({"user": "user6", "n": 3})).await?;
    ensure!(answer["items"][0]["id"] == "item12", "{answer}");
    ensure!(answer["model"]["revision"] == revision(&namespace, "movies")?, "{answer}");
    // By form, folded in: who met even items gets an even one.
    let url = format!("{}/recommend", namespace.service_url("movies")?);
    let form = [("user_id", "42"), ("items", "item0,item2,item4"), ("ratings", "5,3,4")];
    let answer: Value = cluster.http.post(url).form(&form).send().await?.json().await?;
    let first = answer["recommendations"][0].as_str().unwrap_or_default().trim_start_matches("item").to_owned();
    ensure!(first.parse::<u32>().is_ok_and(|item| item % 2 == 0), "{answer}");
    let answer = namespace.recommend("movies", &json!({"user": "nobody", "n": 2})).await?;
    ensure!(answer["items"][0]["source"] == "popular", "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_decomposition_serves_as_well() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "svd")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    namespace.apply(&recommender("movies", 2, 1).replace("als: {factors: 2, iterations: 5}", "svd: {factors: 2}"))?;
    namespace.wait_ready("movies").await?;
    let model = &namespace.get("recommender", "movies")?["status"]["model"];
    let expected = json!({"factors": 2, "iterations": 10, "degreeExponent": 0.5});
    ensure!(model["algorithm"] == "svd" && model["parameters"] == expected, "{model}");
    // user6 met every even item but item12; who comes with even items gets an even one.
    let answer = namespace.recommend("movies", &json!({"user": "user6", "n": 3})).await?;
    ensure!(answer["items"][0]["id"] == "item12", "{answer}");
    let history = json!([{"item": "item1"}, {"item": "item3"}, {"item": "item5"}]);
    let answer = namespace.recommend("movies", &json!({"history": history, "n": 1})).await?;
    let first = answer["items"][0]["id"].as_str().unwrap_or_default().trim_start_matches("item").to_owned();
    ensure!(first.parse::<u32>().is_ok_and(|item| item % 2 == 1), "{answer}");
    Ok(())
}

#[tokio::test]
async fn tuning_finds_parameters_and_the_status_has_them() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "tuning")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    // Pulls everything to nothing, so that whatever is drawn is better.
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
async fn a_new_model_swaps_in_without_a_restart_or_a_failed_request() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "swap")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    namespace.apply(&recommender("movies", 4, 2))?;
    namespace.wait_ready("movies").await?;
    let (pods_before, first) = (pods(&namespace)?, revision(&namespace, "movies")?);

    let url = format!("{}/recommend", namespace.service_url("movies")?);
    let http = cluster.http.clone();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let asking = tokio::spawn(async move {
        let mut seen = BTreeSet::new();
        while stopped.try_recv().is_err() {
            let answer = http.post(&url).json(&json!({"user": "user6", "n": 3})).send().await?;
            ensure!(answer.status().is_success(), "a request failed: {}", answer.status());
            let answer: Value = answer.json().await?;
            seen.insert(answer["model"]["revision"].as_str().unwrap_or_default().to_owned());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(seen)
    });
    namespace.apply(&recommender("movies", 5, 2))?;
    wait::until("both pods answer with a new revision", || {
        let object = namespace.get("recommender", "movies")?;
        let model = &object["status"]["model"]["revision"];
        ensure!(model != first.as_str() && object["status"]["loadedReplicas"] == 2, "{}", object["status"]);
        Ok(())
    })
    .await?;
    namespace.wait_ready("movies").await?;
    let _ = stop.send(());
    let seen: BTreeSet<String> = asking.await??;
    ensure!(seen.contains(&first), "{seen:?}");
    ensure!(pods(&namespace)? == pods_before, "pods were replaced or restarted");
    Ok(())
}

#[tokio::test]
async fn at_rest_nothing_is_written_and_a_wiped_status_comes_back() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "rest")?;
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
    // What still settles (the Job's own status, the pods' Endpoints) settles first.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = versions()?;
    // An unrelated annotation makes the operator look again, twice.
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
    let without_the_object =
        |list: Vec<String>| list.into_iter().filter(|v| !v.starts_with("recommender ")).collect::<Vec<_>>();
    let (before, after) = (without_the_object(before), without_the_object(versions()?));
    ensure!(before == after, "children changed at rest:\n{before:?}\n{after:?}");
    ensure!(status(&namespace.get("recommender", "movies")?) == settled, "the status changed at rest");

    namespace.kubectl(&[
        "patch",
        "recommender",
        "movies",
        "--subresource=status",
        "--type=json",
        "-p",
        r#"[{"op": "remove", "path": "/status"}]"#,
    ])?;
    wait::until("the status is back", || {
        let object = namespace.get("recommender", "movies")?;
        ensure!(
            object["status"]["model"] == settled["model"] && object["status"]["lastRun"] == settled["lastRun"],
            "{}",
            object["status"]
        );
        Ok(())
    })
    .await?;
    ensure!(namespace.list("jobs", "recmesh.dev/recommender=movies")?.len() == 1, "something trained again");
    Ok(())
}

#[tokio::test]
async fn deletion_leaves_nothing_also_in_the_middle_of_training() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "delete")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    for (name, ready) in [("served", true), ("training", false)] {
        namespace.apply(&recommender(name, 4, 1))?;
        if ready {
            namespace.wait_ready(name).await?;
        } else {
            wait::until("the Job is there", || {
                ensure!(!namespace.list("jobs", "recmesh.dev/recommender=training")?.is_empty(), "no Job yet");
                Ok(())
            })
            .await?;
        }
        namespace.kubectl(&["delete", "recommender", name])?;
        let selector = format!("recmesh.dev/recommender={name}");
        wait::until("no child is left", || {
            for kind in
                ["job", "pod", "deployment", "configmap", "secret", "service", "serviceaccount", "pdb", "networkpolicy"]
            {
                let left = namespace.list(kind, &selector)?;
                ensure!(left.is_empty(), "{kind} is left");
            }
            Ok(())
        })
        .await?;
    }
    Ok(())
}
