//! Deletion of a Recommender, with and without the finalizer.

use http::Method;
use serde_json::json;

use crate::cluster::{Cluster, core, job, recommender};

const FINALIZERS: &str = "PATCH recommenders/movies";

fn finalizers(cluster: &Cluster) -> serde_json::Value {
    cluster.api.get(&recommender("movies"))["metadata"]["finalizers"].clone()
}

#[tokio::test]
async fn without_a_finalizer_nothing_is_cleaned_up() {
    let cluster = Cluster::with_movies(&json!({}));
    cluster.pass("movies").await;
    cluster.finish_run("movies", 1, "a").await;
    // Another finalizer keeps the object.
    cluster.edit("movies", |movies| {
        movies["metadata"]["finalizers"] = json!(["example.com/other"]);
    });
    cluster.api.delete(&recommender("movies"));
    assert_eq!(cluster.pass("movies").await, [""; 0]);
    assert_eq!(cluster.store("movies").list_runs().await.unwrap().len(), 1, "the results are retained");
    cluster.edit("movies", |movies| movies["metadata"]["finalizers"] = json!([]));
    assert!(cluster.api.get(&recommender("movies")).is_null());
    assert_eq!(cluster.pass("movies").await, [""; 0], "after the deletion");
}

#[tokio::test]
async fn the_finalizer_is_set_before_a_run_and_removed_with_the_policy() {
    let cluster = Cluster::with_movies(&json!({"deletionPolicy": "Delete"}));
    let writes = cluster.pass("movies").await;
    assert_eq!((writes[0].as_str(), writes.last().unwrap().as_str()), (FINALIZERS, "PATCH recommenders/movies/status"));
    assert!(writes.contains(&"POST jobs/movies-train-1".to_owned()), "in the same pass: {writes:?}");
    assert_eq!(finalizers(&cluster), json!(["recmesh.dev/store-cleanup"]));
    cluster.edit("movies", |movies| movies["spec"]["deletionPolicy"] = json!("Retain"));
    assert_eq!(cluster.pass("movies").await[0], FINALIZERS);
    assert_eq!(finalizers(&cluster), json!([]));
}

#[tokio::test]
async fn a_stale_copy_does_not_change_the_finalizers() {
    let cluster = Cluster::with_movies(&json!({"deletionPolicy": "Delete"}));
    cluster.api.fail(Method::PATCH, "/recommenders/movies", 409);
    assert!(cluster.reconcile("movies").await.is_err());
    assert_eq!(cluster.api.take_writes(), [FINALIZERS], "no run starts");
}

#[tokio::test]
async fn the_finalizer_is_removed_after_runs_have_stopped_and_the_store_is_empty() {
    let cluster = Cluster::with_movies(&json!({"deletionPolicy": "Delete"}));
    cluster.pass("movies").await;
    cluster.finish_run("movies", 1, "a").await;
    let trainer = core("pods", "movies-train-1-x");
    cluster.create_trainer("movies", 1, &json!([]));
    // Any client can give a pod these labels.
    let labels = json!({"recmesh.dev/recommender": "movies", "app.kubernetes.io/component": "trainer"});
    cluster.api.put(
        &core("pods", "foreign"),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "foreign", "labels": labels}}),
    );
    cluster.api.delete(&recommender("movies"));
    // The deletion began long ago.
    assert_eq!(cluster.pass("movies").await, ["DELETE jobs/movies-train-1", "PATCH recommenders/movies/status"]);
    assert!(cluster.api.get(&job("movies", 1)).is_null());
    let (status, reason, message) = cluster.condition("movies", "Stalled");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Deleting"));
    assert!(message.contains("could write to the store: Job movies-train-1, Pod movies-train-1-x."), "{message}");
    assert!(message.contains("kubectl -n shop patch recommender movies"), "{message}");
    assert_eq!(cluster.pass("movies").await, ["PATCH recommenders/movies/status"], "the Job is gone");
    assert_eq!(cluster.pass("movies").await, [""; 0], "the pod could still write to the store");
    assert_eq!(cluster.store("movies").list_runs().await.unwrap().len(), 1);
    cluster.api.delete(&trainer);
    assert_eq!(cluster.pass("movies").await, [FINALIZERS]);
    assert_eq!(cluster.store("movies").list_runs().await.unwrap(), []);
    assert!(cluster.api.get(&recommender("movies")).is_null());
}

#[tokio::test]
async fn an_unreachable_store_is_reported_and_the_deletion_waits() {
    let store = json!({"url": "s3://models", "secretRef": {"name": "models-s3"}});
    let cluster = Cluster::with_movies(&json!({"deletionPolicy": "Delete", "store": store}));
    cluster.pass("movies").await;
    cluster.api.delete(&job("movies", 1));
    cluster.api.delete(&recommender("movies"));
    assert_eq!(cluster.pass("movies").await, ["PATCH recommenders/movies/status"]);
    let (status, reason, message) = cluster.condition("movies", "Stalled");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Deleting"));
    assert!(message.contains("Secret shop/models-s3 does not exist"), "{message}");
    assert!(message.contains("kubectl -n shop patch recommender movies"), "{message}");
    // The user gives the store up.
    cluster.edit("movies", |movies| movies["spec"]["deletionPolicy"] = json!("Retain"));
    assert_eq!(cluster.pass("movies").await, [FINALIZERS]);
    assert!(cluster.api.get(&recommender("movies")).is_null());
}

#[tokio::test]
async fn a_store_url_of_another_scheme_is_never_opened() {
    let cluster = Cluster::new();
    let url = format!("file://{}", cluster.store_directory().display());
    let store = json!({"url": url, "secretRef": {"name": "models-s3"}});
    cluster.create("movies", &json!({"deletionPolicy": "Delete", "store": store}));
    cluster.edit("movies", |movies| {
        movies["metadata"]["finalizers"] = json!(["recmesh.dev/store-cleanup"]);
    });
    cluster.api.put(
        &core("secrets", "models-s3"),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "models-s3"}}),
    );
    cluster.api.delete(&recommender("movies"));
    cluster.pass("movies").await;
    let (_, reason, message) = cluster.condition("movies", "Stalled");
    assert_eq!(reason, "Deleting");
    assert!(message.contains("expected s3://bucket"), "{message}");
}

/// A deleted Recommender whose bucket has a Secret that does not exist.
async fn deleted_without_secret() -> Cluster {
    let store = json!({"url": "s3://models", "secretRef": {"name": "models-s3"}});
    let cluster = Cluster::with_movies(&json!({"deletionPolicy": "Delete", "store": store}));
    cluster.pass("movies").await;
    cluster.api.delete(&recommender("movies"));
    cluster.pass("movies").await;
    cluster
}

#[tokio::test]
async fn in_a_namespace_that_is_deleted_the_finalizer_does_not_wait_for_a_deleted_secret() {
    let namespace = "/api/v1/namespaces/shop";
    let cluster = deleted_without_secret().await;
    cluster.api.put(namespace, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}));
    cluster.pass("movies").await;
    assert_eq!(finalizers(&cluster), json!(["recmesh.dev/store-cleanup"]), "the Secret may be created again");
    cluster.edit("movies", |_| {});
    let mut object = cluster.api.get(namespace);
    object["metadata"]["finalizers"] = json!(["kubernetes"]);
    cluster.api.put(namespace, object);
    cluster.api.delete(namespace);
    assert_eq!(cluster.pass("movies").await, [FINALIZERS]);
    assert!(cluster.api.get(&recommender("movies")).is_null());
    let events = cluster.api.events();
    let event = events.iter().find(|event| event["reason"] == "DataRemains").unwrap();
    assert_eq!((&event["regarding"]["kind"], &event["regarding"]["name"]), (&json!("Namespace"), &json!("shop")));
    let note = event["note"].as_str().unwrap();
    assert!(note.contains("shop/movies remain in s3://models"), "{note}");
}

#[tokio::test]
async fn in_a_namespace_that_is_deleted_the_finalizer_waits_while_the_secret_exists() {
    let cluster = deleted_without_secret().await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "models-s3"}});
    cluster.api.put(&core("secrets", "models-s3"), secret);
    let meta = json!({"name": "shop", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["kubernetes"]});
    cluster.api.put("/api/v1/namespaces/shop", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": meta}));
    cluster.pass("movies").await;
    assert_eq!(finalizers(&cluster), json!(["recmesh.dev/store-cleanup"]));
}
