//! Writes that the API server rejects permanently: quotas, admission, missing permissions.

use http::Method;
use serde_json::json;

use crate::cluster::{Cluster, deployment, job};

/// Runs a pass that returns an error, and returns its writes and the error.
async fn failing_pass(cluster: &Cluster) -> (Vec<String>, String) {
    cluster.api.take_writes();
    let error = cluster.reconcile("movies").await.unwrap_err();
    (cluster.api.take_writes(), error.to_string())
}

#[tokio::test]
async fn a_refused_job_does_not_stop_serving_from_being_applied() {
    let cluster = Cluster::with_movies(&json!({}));
    cluster.pass("movies").await;
    cluster.finish_run("movies", 1, "a").await;
    // The spec is new before the first model is applied: a second run is due, and the first model
    // serves until then.
    cluster.edit("movies", |movies| movies["spec"]["training"] = json!({"seed": 7}));
    cluster.api.fail(Method::POST, "/jobs/movies-train-2", 403);
    let (writes, error) = failing_pass(&cluster).await;
    let expected = [
        "POST jobs/movies-train-2",
        "PATCH configmaps/movies-serving",
        "PATCH deployments/movies",
        "PATCH recommenders/movies/status",
    ];
    assert_eq!(
        (writes.as_slice(), error.as_str()),
        (&expected.map(str::to_owned)[..], "cannot create Job shop/movies-train-2")
    );
    assert!(!cluster.api.get(&deployment("movies")).is_null());
    let (status, reason, message) = cluster.condition("movies", "Stalled");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Forbidden"));
    assert_eq!(message, "cannot create Job shop/movies-train-2: rejected by the API server: scripted answer 403");
    assert_eq!(cluster.reason("movies", "Trained"), "TrainingPending");
    cluster.api.recover();
    let writes = cluster.pass("movies").await;
    assert!(writes.contains(&"POST jobs/movies-train-2".to_owned()), "{writes:?}");
    assert_eq!(cluster.reason("movies", "Stalled"), "");
}

#[tokio::test]
async fn a_refused_child_does_not_stop_the_others() {
    for refused in
        ["networkpolicies/movies", "services/movies", "poddisruptionbudgets/movies", "configmaps/movies-serving"]
    {
        for code in [400, 403, 422] {
            let cluster = Cluster::with_movies(&json!({}));
            cluster.api.fail(Method::PATCH, refused, code);
            let (writes, _) = failing_pass(&cluster).await;
            assert_eq!(writes.len(), 10, "{refused} {code}: {writes:?}");
            assert_eq!(cluster.reason("movies", "Stalled"), "Forbidden", "{refused} {code}");
        }
    }
}

#[tokio::test]
async fn no_run_starts_while_an_object_that_it_mounts_is_refused() {
    for refused in ["/serviceaccounts/movies", "/secrets/movies-store-train"] {
        let cluster = Cluster::with_movies(&json!({}));
        cluster.api.fail(Method::PATCH, refused, 403);
        let (writes, _) = failing_pass(&cluster).await;
        assert!(!writes.iter().any(|write| write.contains("jobs")), "{refused}: {writes:?}");
        assert!(writes.contains(&"PATCH configmaps/movies-serving".to_owned()), "{refused}: {writes:?}");
        assert_eq!(cluster.reason("movies", "Trained"), "TrainingPending", "{refused}");
    }
    let cluster = Cluster::with_movies(&json!({"deletionPolicy": "Delete"}));
    cluster.api.fail(Method::PATCH, "/recommenders/movies", 403);
    failing_pass(&cluster).await;
    assert!(cluster.api.get(&job("movies", 1)).is_null(), "its results would outlive the Recommender");
}

#[tokio::test]
async fn a_refused_read_is_reported() {
    let cluster = Cluster::with_movies(&json!({}));
    cluster.api.fail(Method::GET, "/jobs", 403);
    let (writes, error) = failing_pass(&cluster).await;
    assert_eq!((writes, error.as_str()), (vec!["PATCH recommenders/movies/status".to_owned()], "cannot list Jobs"));
    assert_eq!(cluster.reason("movies", "Stalled"), "Forbidden");
}

#[tokio::test]
async fn a_webhook_that_does_not_respond_for_jobs_does_not_stop_serving() {
    let cluster = Cluster::with_movies(&json!({}));
    cluster.pass("movies").await;
    cluster.finish_run("movies", 1, "a").await;
    cluster.edit("movies", |movies| movies["spec"]["training"] = json!({"seed": 7}));
    let message = "Internal error occurred: failed calling webhook \"jobs.example.com\": context deadline exceeded";
    cluster.api.fail_with(Method::POST, "/jobs/movies-train-2", 500, message);
    failing_pass(&cluster).await;
    assert!(!cluster.api.get(&deployment("movies")).is_null());
    let (_, reason, stalled) = cluster.condition("movies", "Stalled");
    assert_eq!(reason, "Forbidden");
    assert!(stalled.ends_with(message), "{stalled}");
}
