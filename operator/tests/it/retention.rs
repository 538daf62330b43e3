//! Garbage of the store: old runs, and snapshots that no result references.

use std::{
    fs::File,
    time::{Duration, SystemTime},
};

use serde_json::json;
use sidecar_contract::Digest;

use crate::{
    cluster::{Cluster, recommender},
    serving_pods::ServingPods,
};

/// A cluster with the results of this many runs, of which the history retains `limit`.
async fn runs(limit: u32, count: u32) -> Cluster {
    let cluster = Cluster::with_pods(&[], &ServingPods::default()).await;
    cluster.create("movies", &json!({ "revisionHistoryLimit": limit }));
    for number in 1..=count {
        cluster.edit("movies", |movies| {
            movies["metadata"]["annotations"] = json!({"recmesh.dev/retrain-at": number.to_string()});
        });
        cluster.pass("movies").await;
        cluster.finish_run("movies", number, &format!("model {number}")).await;
    }
    cluster
}

async fn stored_runs(cluster: &Cluster) -> Vec<u32> {
    cluster.store("movies").list_runs().await.unwrap().iter().map(|run| run.number).collect()
}

fn history(cluster: &Cluster) -> Vec<u64> {
    let status = cluster.api.get(&recommender("movies"))["status"].clone();
    status["history"].as_array().unwrap().iter().map(|entry| entry["run"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn results_beyond_the_history_are_deleted_and_not_reported() {
    let cluster = runs(1, 3).await;
    assert_eq!(stored_runs(&cluster).await, [1, 2, 3]);
    cluster.pass("movies").await;
    assert_eq!(stored_runs(&cluster).await, [1, 2, 3], "the config in force still references the first model");
    cluster.pass("movies").await;
    assert_eq!(stored_runs(&cluster).await, [2, 3], "run 2 has the last good revision");
    assert_eq!(history(&cluster), [3, 2]);
}

#[tokio::test]
async fn twice_the_history_remains_while_a_running_pod_does_not_report() {
    for (pods, remaining) in [(0, vec![4, 5]), (1, vec![2, 3, 4, 5])] {
        let cluster = runs(5, 5).await;
        cluster.edit("movies", |movies| movies["spec"]["revisionHistoryLimit"] = json!(2));
        for pod in 0..pods {
            cluster.create_pod("movies", &format!("movies-{pod}"), "10.0.0.1");
        }
        cluster.pass("movies").await;
        cluster.pass("movies").await; // Two passes, as in the test before.
        assert_eq!(stored_runs(&cluster).await, remaining, "{pods} pods without a report");
    }
}

#[tokio::test]
async fn an_old_snapshot_without_a_result_is_deleted() {
    let cluster = Cluster::with_movies(&json!({}));
    let (store, file) = (cluster.store("movies"), cluster.store_directory().join("file"));
    let mut digests = Vec::new();
    for (content, hours) in [("old", 3), ("new", 1)] {
        std::fs::write(&file, content).unwrap();
        let digest = Digest::of(content.as_bytes());
        store.put_snapshot(&file, &digest).await.unwrap();
        let path = cluster.store_directory().join(store.keys.snapshot(&digest));
        let stored_at = SystemTime::now() - Duration::from_hours(hours);
        File::options().write(true).open(path).unwrap().set_modified(stored_at).unwrap();
        digests.push(digest);
    }
    cluster.pass("movies").await;
    let left: Vec<Digest> = store.list_snapshots().await.unwrap().into_iter().map(|s| s.digest).collect();
    assert_eq!(left, digests[1..]);
}
