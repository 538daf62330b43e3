//! Pods and Jobs belong to a Recommender by their owners, and containers by their names: labels,
//! names and positions can be those of others.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, core, deployment, job},
    reconcile::serving,
    serving_pods::ServingPods,
};

/// Status of a container.
fn container(name: &str, state: &Value) -> Value {
    json!({"name": name, "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": state})
}

fn running(name: &str) -> Value {
    container(name, &json!({"running": {}}))
}

fn terminated(name: &str, code: i32, reason: &str) -> Value {
    container(name, &json!({"terminated": {"exitCode": code, "reason": reason}}))
}

#[tokio::test]
async fn pods_of_other_owners_are_not_those_of_the_recommender() {
    let cluster = Cluster::with_pods(&[], &ServingPods::default()).await;
    cluster.create("movies", &json!({}));
    cluster.pass("movies").await;
    cluster.finish_run("movies", 1, "a").await;
    cluster.pass("movies").await;
    cluster.complete_rollout("movies");
    cluster.pass("movies").await;
    let before = cluster.condition("movies", "ServingAvailable");
    // Any client can give a pod the labels, and a ReplicaSet can be that of another Deployment.
    let waiting = json!({"waiting": {"reason": "ErrImagePull", "message": "a foreign image"}});
    for (owner, uid) in [("ReplicaSet", "u-other"), ("Recommender", "u-movies")] {
        let owners = json!([{"apiVersion": "x/v1", "kind": owner, "name": "other", "uid": uid, "controller": true}]);
        let labels = json!({"recmesh.dev/recommender": "movies", "app.kubernetes.io/component": "serving"});
        let pod = core("pods", "foreign");
        cluster.api.put(
            &pod,
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "foreign", "namespace": "shop", "labels": labels, "ownerReferences": owners},
                "status": {"podIP": "10.0.0.9", "containerStatuses": [container("sidecar", &waiting)]},
            }),
        );
        cluster.edit("movies", |movies| movies["spec"]["serving"] = json!({"replicas": 2}));
        cluster.pass("movies").await;
        let (_, _, message) = cluster.condition("movies", "ServingAvailable");
        assert!(!message.contains("a foreign image"), "{owner}: {message}, before: {before:?}");
        cluster.api.delete(&pod);
    }
}

#[tokio::test]
async fn the_operators_container_counts_wherever_others_sort() {
    let cluster = Cluster::with_movies(&json!({}));
    cluster.pass("movies").await;
    let containers = json!([running("istio-proxy"), terminated("trainer", 137, "OOMKilled")]);
    cluster.create_trainer("movies", 1, &containers);
    let mut object = cluster.api.get(&job("movies", 1));
    object["status"] = json!({"conditions": [{"type": "Failed", "status": "True", "reason": "PodFailurePolicy"}]});
    cluster.api.put(&job("movies", 1), object);
    cluster.pass("movies").await;
    assert_eq!(cluster.reason("movies", "Trained"), "OOMKilled");
}

#[tokio::test]
async fn a_committed_run_is_over_although_a_foreign_container_keeps_its_pod_alive() {
    let cluster = Cluster::with(&["--trainings-max=1"]);
    for name in ["movies", "songs"] {
        cluster.create(name, &json!({}));
        cluster.pass(name).await;
    }
    assert_eq!(cluster.reason("songs", "Trained"), "TrainingQueued");
    cluster.create_trainer("movies", 1, &json!([running("istio-proxy"), terminated("trainer", 0, "Completed")]));
    let now = Timestamp::now().as_second();
    cluster.commit_run("movies", 1, "a", now).await;
    let writes = cluster.pass("movies").await;
    assert!(writes.contains(&"PATCH deployments/movies".to_owned()), "the model serves: {writes:?}");
    assert_eq!(cluster.reason("movies", "Trained"), "TrainingSucceeded");
    assert!(!cluster.api.get(&job("movies", 1)).is_null(), "the pod may still end by itself");
    assert!(cluster.pass("songs").await.contains(&"POST jobs/songs-train-1".to_owned()), "the slot is free");
}

#[tokio::test]
async fn the_job_of_a_run_that_was_committed_long_ago_is_deleted() {
    let cluster = Cluster::with_movies(&json!({}));
    cluster.pass("movies").await;
    cluster.create_trainer("movies", 1, &json!([terminated("trainer", 0, "Completed"), running("istio-proxy")]));
    cluster.commit_run("movies", 1, "a", Timestamp::now().as_second() - 120).await;
    assert!(cluster.pass("movies").await.contains(&"DELETE jobs/movies-train-1".to_owned()));
    assert_eq!(cluster.pass("movies").await, [""; 0]);
    assert_eq!(cluster.reason("movies", "Trained"), "TrainingSucceeded");
}

#[tokio::test]
async fn a_job_of_another_owner_is_reported_and_stays() {
    let cluster = Cluster::with_movies(&json!({}));
    let path = job("movies", 1);
    cluster.api.put(
        &path,
        json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "movies-train-1", "namespace": "shop"},
            "spec": {"suspend": true},
        }),
    );
    let error = cluster.reconcile("movies").await.unwrap_err();
    assert_eq!(error.reason(), "name_conflict");
    let (status, reason, message) = cluster.condition("movies", "Stalled");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "NameConflict"));
    assert_eq!(message, "Job shop/movies-train-1 exists and belongs to another owner; delete or rename it");
    assert_eq!(cluster.reason("movies", "Trained"), "TrainingPending", "no run is in progress");
    assert_eq!(cluster.api.get(&path)["spec"], json!({"suspend": true}));
    cluster.api.delete(&path);
    assert!(cluster.pass("movies").await.contains(&"POST jobs/movies-train-1".to_owned()));
    assert_eq!(cluster.reason("movies", "Stalled"), "");
}

#[tokio::test]
async fn a_report_beyond_the_bound_is_ignored() {
    let pods = ServingPods::default();
    let cluster = Cluster::with_pods(&[], &pods).await;
    cluster.create("movies", &json!({}));
    cluster.pass("movies").await;
    cluster.finish_run("movies", 1, "a").await;
    cluster.pass("movies").await;
    cluster.create_pod("movies", "movies-a", "10.0.0.1");
    cluster.complete_rollout("movies");
    let report = |padding: usize| {
        json!({
            "loaded": {
                "digest": sidecar_contract::Digest::of(b"a"), "algorithm": "als", "users": 3, "items": 4, "factors": 8,
                "loadedAt": 1,
            },
            "configHash": cluster.serving_config("movies").hash(),
            "padding": "x".repeat(padding),
        })
    };
    pods.report("10.0.0.1", report(64 * 1024));
    cluster.pass("movies").await;
    assert_ne!(cluster.condition("movies", "ModelLoaded").0, "True");
    pods.report("10.0.0.1", report(1024));
    cluster.pass("movies").await;
    assert_eq!(cluster.condition("movies", "ModelLoaded").0, "True");
}

#[tokio::test]
async fn a_deployment_of_another_owner_is_not_read() {
    let cluster = serving().await;
    let mut object = cluster.api.get(&deployment("movies"));
    object["metadata"]["ownerReferences"][0]["uid"] = json!("u-other");
    cluster.api.put(&deployment("movies"), object);
    cluster.pass("movies").await;
    assert_eq!(cluster.reason("movies", "Stalled"), "NameConflict");
}
