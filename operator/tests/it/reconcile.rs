//! Passes of a Recommender: what is written, in which order, and what the status reports.

use http::Method;
use recommender_crds::{Recommender, RecommenderStatus};
use recommender_operator::publish::publish;
use serde_json::{Value, json};

use crate::cluster::{Cluster, core, deployment, job, recommender};

const CHILDREN: [&str; 9] = [
    "PATCH serviceaccounts/movies",
    "PATCH secrets/movies-store-train",
    "PATCH secrets/movies-store-serve",
    "POST jobs/movies-train-1",
    "PATCH networkpolicies/movies",
    "PATCH services/movies",
    "PATCH services/movies-pods",
    "PATCH poddisruptionbudgets/movies",
    "PATCH configmaps/movies-serving",
];
const STATUS: &str = "PATCH recommenders/movies/status";

/// A cluster in which the first model of shop/movies has been applied.
pub async fn serving() -> Cluster {
    let cluster = Cluster::with_movies(&json!({}));
    cluster.pass("movies").await;
    cluster.finish_run("movies", 1, "a").await;
    cluster.pass("movies").await;
    cluster
}

#[tokio::test]
async fn the_first_pass_applies_all_children_in_order() {
    let cluster = Cluster::with_movies(&json!({}));
    assert_eq!(cluster.pass("movies").await, [&CHILDREN[..], &[STATUS]].concat());
    assert_eq!(cluster.reason("movies", "Trained"), "TrainingRunning");
    assert_eq!(cluster.reason("movies", "Ready"), "TrainingRunning");
    assert!(cluster.api.get(&deployment("movies")).is_null(), "there is no model to serve yet");
}

#[tokio::test]
async fn the_first_model_is_served_by_a_deployment_that_mounts_the_config() {
    let cluster = Cluster::with_movies(&json!({"serving": {"replicas": 2}}));
    cluster.pass("movies").await;
    cluster.finish_run("movies", 1, "a").await;
    let expected = ["PATCH configmaps/movies-serving", "PATCH deployments/movies", STATUS];
    assert_eq!(cluster.pass("movies").await, expected, "the config first; the other children are in force");
    assert_eq!(cluster.serving_config("movies").revisions.len(), 1);
    assert_eq!(cluster.reason("movies", "Trained"), "TrainingSucceeded");
    let status = cluster.api.get(&recommender("movies"))["status"].clone();
    assert_eq!(status["model"]["run"], 1);
}

#[tokio::test]
async fn a_second_pass_sends_no_write() {
    let cluster = serving().await;
    assert_eq!(cluster.pass("movies").await, [""; 0]);
    assert_eq!(cluster.pass("movies").await, [""; 0]);
}

#[tokio::test]
async fn a_restarted_operator_changes_no_object() {
    let cluster = serving().await;
    let versions = |cluster: &Cluster| {
        let paths = cluster.api.paths("/namespaces/shop/");
        let version = |path: String| (cluster.api.get(&path)["metadata"]["resourceVersion"].clone(), path);
        paths.into_iter().map(version).collect::<Vec<_>>()
    };
    let before = versions(&cluster);
    cluster.context.cache.retain(&|_| false);
    let writes = cluster.pass("movies").await;
    assert_eq!(writes.len(), CHILDREN.len(), "each permanent child is applied once: {writes:?}");
    assert_eq!(versions(&cluster), before);
}

#[tokio::test]
async fn a_child_that_another_client_changed_is_applied_again() {
    let cluster = serving().await;
    let path = core("services", "movies");
    let mut service = cluster.api.get(&path);
    service["spec"]["selector"]["app.kubernetes.io/component"] = json!("nothing");
    cluster.api.put(&path, service);
    assert_eq!(cluster.pass("movies").await, ["PATCH services/movies"]);
    assert_eq!(cluster.api.get(&path)["spec"]["selector"]["app.kubernetes.io/component"], "serving");
    let map = core("configmaps", "movies-serving");
    cluster.api.delete(&map);
    assert_eq!(cluster.pass("movies").await, ["PATCH configmaps/movies-serving"]);
    assert!(!cluster.api.get(&map).is_null());
}

#[tokio::test]
async fn the_status_derives_from_the_applied_deployment() {
    let cluster = serving().await;
    cluster.complete_rollout("movies");
    cluster.pass("movies").await;
    assert_eq!(cluster.reason("movies", "ServingAvailable"), "ReplicasAvailable");
    // The answer to the apply has the new spec and the old status: one of three pods is ready.
    cluster.edit("movies", |movies| movies["spec"]["serving"] = json!({"replicas": 3}));
    let writes = cluster.pass("movies").await;
    assert_eq!(writes, ["PATCH deployments/movies", STATUS]);
    let (status, reason, message) = cluster.condition("movies", "ServingAvailable");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "ReplicasUnavailable"), "{message}");
    assert!(message.contains("1 of 3"), "{message}");
}

#[tokio::test]
async fn a_rejected_spec_reaches_the_status_and_nothing_else_is_written() {
    let cluster = Cluster::with_movies(&json!({"data": {"source": {}}}));
    assert_eq!(cluster.pass("movies").await, [STATUS]);
    let (status, reason, message) = cluster.condition("movies", "Stalled");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "InvalidSpec"));
    assert!(message.starts_with("data.source: expected exactly one of"), "{message}");
    assert_eq!(cluster.reason("movies", "Ready"), "InvalidSpec");
    assert_eq!(cluster.api.events().len(), 1, "one Event for Ready and Stalled, which have the same message");
    assert_eq!(cluster.pass("movies").await, [""; 0], "the status is the same");
    cluster.edit("movies", |movies| movies["spec"]["data"]["source"] = json!({"url": "s3://shop/ratings.csv"}));
    assert_eq!(cluster.pass("movies").await, [&CHILDREN[..], &[STATUS]].concat());
    assert_eq!(cluster.reason("movies", "Stalled"), "");
}

#[tokio::test]
async fn a_rejected_spec_keeps_what_serves() {
    let cluster = serving().await;
    let before = cluster.serving_config("movies");
    cluster.edit("movies", |movies| movies["spec"]["training"] = json!({"deadline": "soon"}));
    assert_eq!(cluster.pass("movies").await, [STATUS]);
    assert_eq!(cluster.reason("movies", "Stalled"), "InvalidSpec");
    assert_eq!(
        (cluster.serving_config("movies"), cluster.reason("movies", "Trained")),
        (before, "TrainingSucceeded".into())
    );
}

#[tokio::test]
async fn an_object_of_another_owner_is_reported_and_stays() {
    let cluster = Cluster::with_movies(&json!({}));
    let path = core("services", "movies");
    cluster.api.put(
        &path,
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "movies", "namespace": "shop"}, "spec": {"a": 1},
        }),
    );
    assert_eq!(cluster.pass("movies").await, [STATUS]);
    let (status, reason, message) = cluster.condition("movies", "Stalled");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "NameConflict"));
    assert!(message.contains("Service movies;"), "{message}");
    assert_eq!(cluster.api.get(&path)["spec"], json!({"a": 1}));
    cluster.api.delete(&path);
    assert_eq!(cluster.pass("movies").await, [&CHILDREN[..], &[STATUS]].concat());
}

#[tokio::test]
async fn children_of_an_earlier_recommender_of_the_same_name_are_a_conflict() {
    let cluster = serving().await;
    cluster.edit("movies", |movies| movies["metadata"]["uid"] = json!("u-2"));
    assert_eq!(cluster.pass("movies").await, [STATUS]);
    assert_eq!(cluster.reason("movies", "Stalled"), "NameConflict");
}

#[tokio::test]
async fn a_failure_of_the_api_server_ends_the_pass_and_the_next_one_completes_it() {
    let cluster = Cluster::with_movies(&json!({}));
    cluster.api.fail(Method::PATCH, "/services/movies", 503);
    let error = cluster.reconcile("movies").await.unwrap_err();
    assert_eq!((error.to_string().as_str(), error.reason()), ("cannot apply Service shop/movies", "api"));
    assert_eq!(cluster.api.take_writes(), CHILDREN[..6], "it ends with the failed write");
    assert!(cluster.api.get(&recommender("movies"))["status"].is_null(), "a failure is not reported as a status");
    cluster.api.recover();
    assert_eq!(cluster.pass("movies").await, [&CHILDREN[5..], &[STATUS]].concat(), "the others are in force");
}

#[tokio::test]
async fn an_unreadable_api_server_writes_nothing() {
    for (suffix, code) in [("/jobs", 500), ("/pods", 503), ("/deployments/movies", 500), ("/recommenders/movies", 502)]
    {
        let cluster = Cluster::with_movies(&json!({}));
        cluster.api.fail(Method::GET, suffix, code);
        assert!(cluster.reconcile("movies").await.is_err(), "{suffix}");
        assert_eq!(cluster.api.take_writes(), [""; 0], "{suffix}");
    }
}

#[tokio::test]
async fn a_lost_status_is_written_again_without_training() {
    let cluster = serving().await;
    let before = cluster.api.get(&recommender("movies"))["status"].clone();
    cluster.edit("movies", |movies| movies["status"] = Value::Null);
    assert_eq!(cluster.pass("movies").await, [STATUS]);
    let mut after = cluster.api.get(&recommender("movies"))["status"].clone();
    for condition in after["conditions"].as_array_mut().unwrap() {
        let kind = condition["type"].clone();
        let earlier = before["conditions"].as_array().unwrap().iter().find(|c| c["type"] == kind).unwrap();
        condition["lastTransitionTime"] = earlier["lastTransitionTime"].clone();
    }
    assert_eq!(after, before);
}

#[tokio::test]
async fn an_outdated_job_is_deleted_before_the_next_run_starts() {
    let cluster = Cluster::with_movies(&json!({}));
    cluster.pass("movies").await;
    cluster.edit("movies", |movies| movies["spec"]["training"] = json!({"seed": 7}));
    assert_eq!(cluster.pass("movies").await[0], "DELETE jobs/movies-train-1");
    assert!(cluster.api.get(&job("movies", 1)).is_null());
    let writes = cluster.pass("movies").await;
    assert!(writes.contains(&"POST jobs/movies-train-2".to_owned()), "{writes:?}");
}

#[tokio::test]
async fn a_status_of_a_recommender_that_was_deleted_meanwhile_is_dropped() {
    let cluster = serving().await;
    cluster.api.fail(Method::PATCH, "/recommenders/movies/status", 404);
    cluster.edit("movies", |movies| movies["spec"]["suspend"] = json!(true));
    assert_eq!(cluster.pass("movies").await, [STATUS]);
}

#[tokio::test]
async fn a_status_that_was_computed_from_a_stale_copy_is_not_written() {
    let cluster = serving().await;
    let stale: Recommender = serde_json::from_value(cluster.api.get(&recommender("movies"))).unwrap();
    cluster.edit("movies", |movies| movies["metadata"]["labels"] = json!({"a": "b"}));
    let before = cluster.api.get(&recommender("movies"));
    let status = RecommenderStatus { replicas: 7, ..stale.status.clone().unwrap() };
    let error = publish(&cluster.context, &stale, &status).await.unwrap_err();
    assert_eq!((error.reason(), error.rejection()), ("changed", None));
    assert_eq!(cluster.api.get(&recommender("movies")), before);
    let current: Recommender = serde_json::from_value(before).unwrap();
    publish(&cluster.context, &current, &status).await.unwrap();
    assert_eq!(cluster.api.get(&recommender("movies"))["status"]["replicas"], 7);
}
