//! Serving pods: config refreshes, and the end of a rollout.

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use sidecar_contract::{Digest, RevisionRole};

use crate::{
    cluster::{Cluster, core, deployment},
    serving_pods::ServingPods,
};

const REFRESH: &str = "PATCH pods/movies-a";

/// A pod that has loaded the model with this content and applied a config.
pub fn report(content: &str, config_hash: &Digest) -> Value {
    json!({
        "loaded": {
            "digest": Digest::of(content.as_bytes()), "algorithm": "als", "users": 3, "items": 4, "factors": 8,
            "loadedAt": 1,
        },
        "configHash": config_hash,
    })
}

/// A cluster in which one pod of shop/movies serves the first model.
pub async fn rolled_out(settings: &[&str], pods: &ServingPods) -> Cluster {
    let cluster = Cluster::with_pods(settings, pods).await;
    cluster.create("movies", &json!({}));
    cluster.pass("movies").await;
    cluster.finish_run("movies", 1, "a").await;
    cluster.pass("movies").await;
    cluster.create_pod("movies", "movies-a", "10.0.0.1");
    cluster.complete_rollout("movies");
    pods.report("10.0.0.1", report("a", &cluster.serving_config("movies").hash()));
    cluster.pass("movies").await;
    cluster
}

/// Requests another run, and finishes it.
async fn retrain(cluster: &Cluster, number: u32, content: &str) {
    cluster.edit("movies", |movies| {
        movies["metadata"]["annotations"] = json!({"recmesh.dev/retrain-at": number.to_string()});
    });
    cluster.pass("movies").await;
    cluster.finish_run("movies", number, content).await;
}

#[tokio::test]
async fn a_pod_that_serves_the_model_makes_the_recommender_ready() {
    let cluster = rolled_out(&[], &ServingPods::default()).await;
    assert_eq!(cluster.reason("movies", "Ready"), "Serving");
    assert_eq!(cluster.pass("movies").await, [""; 0]);
}

#[tokio::test]
async fn pods_are_recognized_with_the_rights_of_an_older_chart() {
    let pods = ServingPods::default();
    let cluster = rolled_out(&[], &pods).await;
    cluster.api.fail(Method::GET, "/replicasets", 403);
    cluster.pass("movies").await;
    assert_eq!(cluster.reason("movies", "Ready"), "Serving");
    // A pod with the labels of the Recommender, but of another ReplicaSet, is none of its pods.
    let path = core("pods", "movies-a");
    let mut pod = cluster.api.get(&path);
    pod["metadata"]["ownerReferences"][0]["name"] = json!("other-5d8f");
    cluster.api.put(&path, pod);
    cluster.pass("movies").await;
    assert_eq!(cluster.reason("movies", "ModelLoaded"), "PodsUnreachable");
}

#[tokio::test]
async fn a_pod_with_another_config_is_refreshed_once() {
    let pods = ServingPods::default();
    let cluster = rolled_out(&[], &pods).await;
    retrain(&cluster, 2, "b").await;
    let writes = cluster.pass("movies").await;
    assert_eq!(writes[..2], ["PATCH configmaps/movies-serving", REFRESH], "after the config, and nothing else");
    let hash = cluster.serving_config("movies").hash();
    let annotation = &cluster.api.get(&core("pods", "movies-a"))["metadata"]["annotations"]["recmesh.dev/config-hash"];
    assert_eq!(*annotation, json!(hash));
    assert!(!cluster.pass("movies").await.contains(&REFRESH.to_owned()), "the request stands");
    assert_eq!(cluster.reason("movies", "ModelLoaded"), "Loading");
    pods.report("10.0.0.1", report("b", &hash));
    cluster.pass("movies").await;
    assert_eq!(cluster.reason("movies", "ModelLoaded"), "Loaded");
}

#[tokio::test]
async fn a_queued_rollout_serves_the_current_revision_and_scales() {
    let pods = ServingPods::default();
    let cluster = rolled_out(&["--rollouts-max=1"], &pods).await;
    let slots = &cluster.context.slots.rollouts;
    let other = recommender_operator::fair_limiter::RecommenderKey {
        uid: "other".to_owned(),
        namespace: "shop".to_owned(),
        name: "other".to_owned(),
    };
    let now = Timestamp::now().as_second();
    assert!(slots.try_claim(&other, now, 600));
    retrain(&cluster, 2, "b").await;
    cluster.edit("movies", |movies| movies["spec"]["serving"] = json!({"replicas": 2}));
    cluster.pass("movies").await;
    let served = |cluster: &Cluster| {
        let config = cluster.serving_config("movies");
        config.revision(RevisionRole::Desired).unwrap().digest.clone()
    };
    assert_eq!(served(&cluster), Digest::of(b"a"));
    assert_eq!(cluster.api.get(&deployment("movies"))["spec"]["replicas"], 2);
    assert_eq!(cluster.reason("movies", "Reconciling"), "RolloutQueued");
    slots.release("other", now);
    cluster.pass("movies").await;
    assert_eq!(served(&cluster), Digest::of(b"b"));
}

#[tokio::test]
async fn a_rollout_holds_its_slot_until_the_pods_have_the_new_template_and_revision() {
    let pods = ServingPods::default();
    let cluster = rolled_out(&["--rollouts-max=1"], &pods).await;
    cluster.create("songs", &json!({}));
    cluster.pass("songs").await;
    cluster.finish_run("songs", 1, "a").await;
    cluster.pass("songs").await;
    // A new image changes the templates of both.
    for name in ["movies", "songs"] {
        let mut object = cluster.api.get(&deployment(name));
        object["metadata"]["annotations"]["recmesh.dev/template-hash"] = json!("0123456789");
        object["spec"]["template"] = json!({});
        cluster.api.put(&deployment(name), object);
        cluster.complete_rollout(name);
    }
    let is_applied = |writes: &[String]| writes.contains(&"PATCH deployments/songs".to_owned());
    assert!(cluster.pass("movies").await.contains(&"PATCH deployments/movies".to_owned()));
    assert!(!is_applied(&cluster.pass("songs").await), "the old pods of movies are ready, but not the new ones");
    cluster.complete_rollout("movies");
    cluster.pass("movies").await;
    assert!(is_applied(&cluster.pass("songs").await));
}
