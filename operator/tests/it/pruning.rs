//! Children that are not needed any more are deleted once no pod uses them, and only those of the
//! Recommender.

use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, core, deployment},
    reconcile::serving,
};

const DELETED: [&str; 2] = ["DELETE secrets/movies-store-train", "DELETE secrets/movies-store-serve"];

fn use_a_bucket(cluster: &Cluster) {
    cluster.edit("movies", |movies| {
        movies["spec"]["store"] = json!({"url": "s3://models", "secretRef": {"name": "models-s3"}});
    });
}

fn deleted(writes: &[String]) -> Vec<&str> {
    writes.iter().map(String::as_str).filter(|write| write.starts_with("DELETE")).collect()
}

#[tokio::test]
async fn credentials_of_the_embedded_store_are_deleted_after_a_move_to_a_bucket() {
    let cluster = serving().await;
    cluster.complete_rollout("movies");
    assert_eq!(deleted(&cluster.pass("movies").await), [""; 0]);
    use_a_bucket(&cluster);
    assert_eq!(deleted(&cluster.pass("movies").await), [""; 0], "the pods still mount them");
    cluster.complete_rollout("movies");
    assert_eq!(deleted(&cluster.pass("movies").await), DELETED);
    assert!(cluster.api.get(&core("secrets", "movies-store-serve")).is_null());
    assert_eq!(cluster.pass("movies").await, [""; 0]);
}

#[tokio::test]
async fn they_stay_while_a_run_uses_them() {
    let cluster = Cluster::with_movies(&json!({}));
    cluster.pass("movies").await;
    use_a_bucket(&cluster);
    let writes = cluster.pass("movies").await;
    assert_eq!(deleted(&writes), [""; 0], "the run is in progress");
}

#[tokio::test]
async fn a_foreign_object_of_the_same_name_stays() {
    let cluster = serving().await;
    cluster.complete_rollout("movies");
    use_a_bucket(&cluster);
    let path = core("secrets", "movies-store-train");
    let mut secret = cluster.api.get(&path);
    secret["metadata"]["ownerReferences"] = json!([]);
    cluster.api.put(&path, secret);
    cluster.pass("movies").await;
    cluster.complete_rollout("movies");
    assert_eq!(deleted(&cluster.pass("movies").await), DELETED[1..]);
    assert!(!cluster.api.get(&path).is_null());
}

#[tokio::test]
async fn the_service_account_is_deleted_after_the_user_named_another() {
    let cluster = serving().await;
    cluster.complete_rollout("movies");
    cluster.edit("movies", |movies| {
        for part in ["training", "serving"] {
            if movies["spec"][part].is_null() {
                movies["spec"][part] = json!({});
            }
            movies["spec"][part]["serviceAccountName"] = json!("mine");
        }
    });
    cluster.pass("movies").await;
    // The change of the trainer's pod is a new attempt only if a run fails.
    let object = cluster.api.get(&deployment("movies"));
    assert_eq!(object["spec"]["template"]["spec"]["serviceAccountName"], "mine");
    cluster.complete_rollout("movies");
    assert_eq!(deleted(&cluster.pass("movies").await), ["DELETE serviceaccounts/movies"]);
    assert_eq!(cluster.api.get(&core("serviceaccounts", "movies")), Value::Null);
}
