//! Slots of trainings and rollouts: released on every way out of a pass.

use http::Method;
use serde_json::json;

use crate::cluster::{Cluster, core, deployment, job, recommender};

/// How `second` stops waiting: a name, and what a user does.
type Way = (&'static str, fn(&Cluster));

/// A cluster with one training slot: `first` trains, `second` and then `third` are queued.
async fn queued() -> Cluster {
    let cluster = Cluster::with(&["--trainings-max=1"]);
    for name in ["first", "second", "third"] {
        cluster.create(name, &json!({}));
        cluster.pass(name).await;
    }
    assert_eq!(["first", "second", "third"].map(|name| cluster.api.get(&job(name, 1)).is_null()), [false, true, true]);
    assert_eq!(cluster.reason("second", "Trained"), "TrainingQueued");
    cluster
}

/// Finishes the run of `first`, and returns the Recommenders that may claim its slot.
async fn granted_after_first(cluster: &Cluster) -> Vec<String> {
    let mut grants = cluster.context.slots.trainings.grants();
    cluster.finish_run("first", 1, "a").await;
    cluster.pass("first").await;
    std::iter::from_fn(|| grants.try_recv().ok()).map(|key| key.name).collect()
}

#[tokio::test]
async fn a_finished_run_releases_its_slot_to_the_next_in_the_queue() {
    let cluster = queued().await;
    assert_eq!(granted_after_first(&cluster).await, ["second"]);
    assert!(!cluster.pass("third").await.contains(&"POST jobs/third-train-1".to_owned()), "it is not its turn");
    assert!(cluster.pass("second").await.contains(&"POST jobs/second-train-1".to_owned()));
}

#[tokio::test]
async fn every_early_way_out_leaves_the_queue() {
    let ways: [Way; 5] = [
        ("invalid spec", |c| c.edit("second", |r| r["spec"]["data"] = json!({"source": {}}))),
        ("name conflict", |c| c.api.put(&core("services", "second"), json!({"metadata": {"name": "second"}}))),
        ("suspended", |c| c.edit("second", |r| r["spec"]["suspend"] = json!(true))),
        ("deleted", |c| c.api.delete(&recommender("second"))),
        ("being deleted", |c| {
            c.edit("second", |r| r["metadata"]["finalizers"] = json!(["example.com/other"]));
            c.api.delete(&recommender("second"));
        }),
    ];
    for (way, leave) in ways {
        let cluster = queued().await;
        leave(&cluster);
        cluster.pass("second").await;
        assert_eq!(granted_after_first(&cluster).await, ["third"], "{way}");
        assert!(cluster.pass("third").await.contains(&"POST jobs/third-train-1".to_owned()), "{way}");
    }
}

#[tokio::test]
async fn a_refused_job_releases_its_slot() {
    let cluster = Cluster::with(&["--trainings-max=1"]);
    cluster.create("first", &json!({}));
    cluster.create("second", &json!({}));
    cluster.api.fail(Method::POST, "/jobs/first-train-1", 403);
    assert!(cluster.reconcile("first").await.is_err());
    assert!(cluster.pass("second").await.contains(&"POST jobs/second-train-1".to_owned()));
}

#[tokio::test]
async fn a_transient_failure_keeps_the_position_in_the_queue() {
    let cluster = queued().await;
    cluster.api.fail(Method::GET, "/jobs", 503);
    assert!(cluster.reconcile("second").await.is_err());
    cluster.api.recover();
    assert_eq!(granted_after_first(&cluster).await, ["second"]);
}

#[tokio::test]
async fn a_run_in_progress_keeps_its_slot_while_the_spec_is_invalid() {
    let cluster = queued().await;
    cluster.edit("first", |first| first["spec"]["data"] = json!({"source": {}}));
    cluster.pass("first").await;
    assert!(!cluster.pass("second").await.contains(&"POST jobs/second-train-1".to_owned()));
}

#[tokio::test]
async fn a_deleted_recommender_releases_its_rollout_slot() {
    let cluster = Cluster::with(&["--rollouts-max=1"]);
    for name in ["first", "second"] {
        cluster.create(name, &json!({}));
        cluster.pass(name).await;
        cluster.finish_run(name, 1, "a").await;
        cluster.pass(name).await;
    }
    // A new image replaces the pods of both.
    let stale_template = |name: &str| {
        let path = deployment(name);
        let mut object = cluster.api.get(&path);
        object["metadata"]["annotations"]["recmesh.dev/template-hash"] = json!("0123456789");
        cluster.api.put(&path, object);
    };
    stale_template("first");
    stale_template("second");
    assert!(cluster.pass("first").await.contains(&"PATCH deployments/first".to_owned()));
    let writes = cluster.pass("second").await;
    assert!(!writes.contains(&"PATCH deployments/second".to_owned()), "{writes:?}");
    assert_eq!(cluster.reason("second", "Ready"), "ReplicasUnavailable");
    cluster.api.delete(&recommender("first"));
    cluster.pass("first").await;
    assert!(cluster.pass("second").await.contains(&"PATCH deployments/second".to_owned()));
}

#[tokio::test]
async fn slots_of_recommenders_that_no_longer_exist_are_released() {
    let cluster = Cluster::with(&["--trainings-max=1", "--rollouts-max=1"]);
    let slots = &cluster.context.slots;
    let key = |uid: &str| recommender_operator::fair_limiter::RecommenderKey {
        uid: uid.to_owned(),
        namespace: "shop".to_owned(),
        name: uid.to_owned(),
    };
    assert!(slots.trainings.claim(&key("gone"), 0, 600) && slots.rollouts.try_claim(&key("gone"), 0, 600));
    slots.retain(&|key| key.uid == "here", 1);
    assert!(slots.trainings.claim(&key("here"), 2, 600) && slots.rollouts.try_claim(&key("here"), 2, 600));
}
