//! What `kubectl get -w` prints: a row for each write of the status. Each write changes what the
//! table shows.

use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, recommender},
    pods::{report, rolled_out},
    serving_pods::ServingPods,
};

/// The columns of the table that the status fills.
fn row(cluster: &Cluster) -> Vec<Value> {
    let status = cluster.api.get(&recommender("movies"))["status"].clone();
    let ready = status["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == "Ready").cloned();
    let ready = ready.unwrap_or_default()["status"].clone();
    let columns = ["reason", "algorithm", "metric", "readyReplicas"].map(|field| status[field].clone());
    [ready, status["model"]["revision"].clone(), status["lastRun"]["outcome"].clone()]
        .into_iter()
        .chain(columns)
        .collect()
}

/// Runs some passes; returns the rows that their writes print.
async fn printed(cluster: &Cluster) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    for _ in 0..5 {
        if cluster.pass("movies").await.iter().any(|write| write.ends_with("/status")) {
            rows.push(row(cluster));
        }
    }
    rows
}

#[tokio::test]
async fn a_retraining_prints_a_row_when_the_run_starts_when_it_ends_and_when_the_model_serves() {
    let pods = ServingPods::default();
    let cluster = rolled_out(&[], &pods).await;
    printed(&cluster).await;
    let mut before = row(&cluster);
    let mut equal = Vec::new();
    let mut total = 0;
    for step in ["request", "run", "load"] {
        match step {
            "request" => cluster.edit("movies", |movies| {
                movies["metadata"]["annotations"] = json!({"recmesh.dev/retrain-at": "2"});
            }),
            "run" => cluster.finish_run("movies", 2, "b").await,
            _ => pods.report("10.0.0.1", report("b", &cluster.serving_config("movies").hash())),
        }
        for row in printed(&cluster).await {
            total += 1;
            if row == before {
                equal.push((step, cluster.api.get(&recommender("movies"))["status"].clone()));
            }
            before = row;
        }
    }
    assert_eq!((total, equal.len()), (3, 0), "{equal:#?}");
}
