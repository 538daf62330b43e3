//! What keeps pods from being created or started reaches the status: in the words of the API server
//! and with the field to set.

use std::time::Duration;

use kube::runtime::controller::Action;
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, core, deployment},
    pods::rolled_out,
    serving_pods::ServingPods,
};

const QUOTA: &str = "Error creating: pods \"movies-train-1-x\" is forbidden: failed quota: q: must specify limits.cpu";

/// Records a warning, as the Job controller and kubelet do.
fn warn(cluster: &Cluster, name: &str, second: u32, message: &str) {
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": "shop"}, "involvedObject": {},
        "type": "Warning", "message": message, "lastTimestamp": format!("2026-01-01T00:00:{second:02}Z"),
    });
    cluster.api.put(&core("events", name), event);
}

#[tokio::test]
async fn a_job_whose_pods_are_rejected_states_the_quota() {
    let cluster = Cluster::with_movies(&json!({}));
    cluster.pass("movies").await;
    assert_eq!(cluster.reason("movies", "Trained"), "TrainingRunning");
    warn(&cluster, "a", 1, "Error creating: an earlier problem");
    warn(&cluster, "b", 2, QUOTA);
    cluster.pass("movies").await;
    for kind in ["Trained", "Ready"] {
        let (status, reason, message) = cluster.condition("movies", kind);
        assert_eq!((status.as_str(), reason.as_str()), ("False", "TrainingBlocked"), "{kind}");
        assert!(message.starts_with(QUOTA), "{message}");
        assert!(message.contains("set training.resources (requests and limits)"), "{message}");
    }
}

#[tokio::test]
async fn a_trainer_pod_that_starts_is_looked_at_again_soon() {
    // A model of this spec serves, so that nothing else requires a poll.
    let pods = ServingPods::default();
    let cluster = rolled_out(&[], &pods).await;
    cluster.edit("movies", |movies| movies["metadata"]["annotations"] = json!({"recmesh.dev/retrain-at": "now"}));
    cluster.pass("movies").await;
    let starting = json!([{
        "name": "trainer", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ContainerCreating"}},
    }]);
    cluster.create_trainer("movies", 2, &starting);
    assert_eq!(cluster.reconcile("movies").await.unwrap(), Action::requeue(Duration::from_secs(2)));
}

#[tokio::test]
async fn a_volume_that_does_not_mount_is_stated() {
    let cluster = Cluster::with_movies(&json!({}));
    cluster.pass("movies").await;
    let labels = json!({
        "recmesh.dev/recommender": "movies", "app.kubernetes.io/component": "trainer", "recmesh.dev/run": "1",
    });
    let waiting = json!([{
        "name": "trainer", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ContainerCreating"}},
    }]);
    let metadata = json!({
        "name": "movies-train-1-x", "namespace": "shop", "labels": labels, "creationTimestamp": "2026-01-01T00:00:00Z",
    });
    cluster.api.put(
        &core("pods", "movies-train-1-x"),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {"containerStatuses": waiting}}),
    );
    warn(&cluster, "a", 1, "MountVolume.SetUp failed for volume \"interactions\" : mount failed: exit status 32");
    cluster.pass("movies").await;
    let (_, reason, message) = cluster.condition("movies", "Trained");
    assert_eq!(reason, "TrainingBlocked");
    assert!(message.contains("exit status 32") && message.contains("data.source"), "{message}");
}

#[tokio::test]
async fn serving_pods_that_the_api_server_rejects_are_stated() {
    let cluster = rolled_out(&[], &ServingPods::default()).await;
    cluster.edit("movies", |movies| movies["spec"]["serving"] = json!({"replicas": 3}));
    let mut object: Value = cluster.api.get(&deployment("movies"));
    let failure =
        json!({"type": "ReplicaFailure", "status": "True", "message": "pods \"m\" is forbidden: exceeded quota: q"});
    object["status"]["conditions"] = json!([failure]);
    cluster.api.put(&deployment("movies"), object);
    cluster.pass("movies").await;
    let (status, _, message) = cluster.condition("movies", "ServingAvailable");
    assert_eq!(status, "False");
    assert!(
        message.contains("1 of 3 pods are ready; pods \"m\" is forbidden: exceeded quota: q; set serving.resources"),
        "{message}"
    );
    assert_eq!(cluster.reason("movies", "Ready"), "Serving", "the pod that was ready before still serves");
}
