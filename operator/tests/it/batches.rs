//! Lists for all users: the Job, its limits, and what the status states.

use serde_json::{Value, json};
use sidecar_contract::{BatchConfig, BatchResult, Digest, WrittenLists, paths};

use crate::cluster::{Cluster, recommender};

const JOBS: &str = "/apis/batch/v1/namespaces/shop/jobs/";

fn spec() -> Value {
    json!({"serving": {"replicas": 0}, "batch": {"itemsPerUser": 5, "destination": {
        "url": "s3://shop/lists/", "secretRef": {"name": "lists-s3"},
    }}})
}

/// The name of the Job that these writes create.
fn created(writes: &[String]) -> Option<String> {
    let name = writes.iter().find_map(|write| write.strip_prefix("POST jobs/"))?;
    name.contains("-batch-").then(|| name.to_owned())
}

fn config(cluster: &Cluster, job: &str) -> BatchConfig {
    let object = cluster.api.get(&format!("{JOBS}{job}"));
    let container = object["spec"]["template"]["spec"]["containers"][0].clone();
    assert_eq!((&container["name"], &container["args"]), (&json!("batch"), &json!(["batch"])));
    let env = container["env"].as_array().unwrap();
    let variable = env.iter().find(|variable| variable["name"] == paths::BATCH_CONFIG_ENV).unwrap();
    assert_eq!(container["envFrom"], json!([{"prefix": "RECMESH_DESTINATION_", "secretRef": {"name": "lists-s3"}}]));
    serde_json::from_str(variable["value"].as_str().unwrap()).unwrap()
}

/// Commits the result of a Job as its pod does, and ends the Job.
async fn finish(cluster: &Cluster, name: &str, job: &str, failure: &str) {
    let config = config(cluster, job);
    let url = format!("{}/{}", config.destination, config.object_name());
    let result = BatchResult {
        version: 1,
        id: config.id,
        spec_hash: config.spec_hash,
        revision: config.revision,
        lists: failure.is_empty().then_some(WrittenLists { url, bytes: 9, users: 3, rows: 15 }),
        failure: failure.to_owned(),
        started_at: 1,
        finished_at: 2,
    };
    cluster.store(name).create_batch(&result).await.unwrap();
    let path = format!("{JOBS}{job}");
    let mut object = cluster.api.get(&path);
    let end = if failure.is_empty() { "Complete" } else { "Failed" };
    object["status"] = json!({"conditions": [{"type": end, "status": "True"}]});
    cluster.api.put(&path, object);
}

/// Trains the first model, and returns the Job of the first batch.
async fn first_batch(cluster: &Cluster, name: &str) -> Option<String> {
    cluster.pass(name).await;
    cluster.finish_run(name, 1, "a").await;
    created(&cluster.pass(name).await)
}

fn status(cluster: &Cluster) -> Value {
    cluster.api.get(&recommender("movies"))["status"]["batch"].clone()
}

#[tokio::test]
async fn each_model_that_serves_gets_lists_once() {
    let cluster = Cluster::with_movies(&spec());
    let job = first_batch(&cluster, "movies").await.unwrap();
    let first = config(&cluster, &job);
    assert_eq!((&first.revision, first.n, first.destination.as_str()), (&Digest::of(b"a"), 5, "s3://shop/lists"));
    assert_eq!(created(&cluster.pass("movies").await), None, "it is running");
    assert_eq!(status(&cluster), json!({"users": 0, "rows": 0, "failures": 0}));
    finish(&cluster, "movies", &job, "").await;
    assert_eq!(created(&cluster.pass("movies").await), None, "the lists are current");
    let url = format!("s3://shop/lists/movies-{}.parquet", first.id);
    assert_eq!(
        status(&cluster),
        json!({
            "writtenAt": "1970-01-01T00:00:02Z", "revision": Digest::of(b"a").revision(), "url": url,
            "users": 3, "rows": 15, "failures": 0,
        })
    );
    assert_eq!(cluster.pass("movies").await, [""; 0], "a second pass writes nothing");

    cluster.edit("movies", |movies| {
        movies["metadata"]["annotations"] = json!({"recmesh.dev/retrain-at": "2"});
    });
    cluster.pass("movies").await;
    cluster.finish_run("movies", 2, "b").await;
    let second = created(&cluster.pass("movies").await).unwrap();
    assert_eq!(config(&cluster, &second).revision, Digest::of(b"b"));
}

#[tokio::test]
async fn a_failed_batch_is_reported_and_waits_for_its_retry() {
    let cluster = Cluster::with_movies(&spec());
    let job = first_batch(&cluster, "movies").await.unwrap();
    finish(&cluster, "movies", &job, "access to s3://shop/lists was denied").await;
    cluster.pass("movies").await;
    let (state, reason, message) = cluster.condition("movies", "BatchFailed");
    assert_eq!((state.as_str(), reason.as_str()), ("True", "BatchNotWritten"));
    assert_eq!(message, "failed batches in a row: 1; the last one: access to s3://shop/lists was denied");
    assert_eq!(status(&cluster)["failures"], 1);
    // The spec does not ask for lists any more.
    cluster.edit("movies", |movies| movies["spec"]["batch"] = Value::Null);
    cluster.pass("movies").await;
    assert_eq!(cluster.condition("movies", "BatchFailed").0, "");
    assert_eq!(status(&cluster), Value::Null);
}

#[tokio::test]
async fn batches_are_limited_apart_from_trainings() {
    let cluster = Cluster::with(&["--batches-max=1", "--trainings-max=1"]);
    for name in ["first", "second"] {
        cluster.create(name, &spec());
    }
    let first = first_batch(&cluster, "first").await.unwrap();
    assert_eq!(first_batch(&cluster, "second").await, None, "the run of the second had the slot of trainings");
    let mut grants = cluster.context.slots.batches.grants();
    finish(&cluster, "first", &first, "").await;
    cluster.pass("first").await;
    assert_eq!(grants.try_recv().unwrap().name, "second");
    assert!(created(&cluster.pass("second").await).is_some());
}

#[tokio::test]
async fn a_job_of_another_spec_is_stopped() {
    let cluster = Cluster::with_movies(&spec());
    let job = first_batch(&cluster, "movies").await.unwrap();
    cluster.edit("movies", |movies| movies["spec"]["batch"]["itemsPerUser"] = json!(6));
    assert!(cluster.pass("movies").await.contains(&format!("DELETE jobs/{job}")));
    let next = created(&cluster.pass("movies").await);
    assert!(next.is_some_and(|next| config(&cluster, &next).n == 6));
}

#[tokio::test]
async fn old_results_are_deleted_and_the_newest_kept() {
    let cluster = Cluster::with_movies(&spec());
    let job = first_batch(&cluster, "movies").await.unwrap();
    let template = config(&cluster, &job);
    let store = cluster.store("movies");
    for second in 1..=25 {
        let id = sidecar_contract::BatchId::new(second, &Digest::of(b"old"));
        let result = BatchResult {
            version: 1,
            id,
            spec_hash: template.spec_hash.clone(),
            revision: Digest::of(b"old"),
            lists: None,
            failure: "m".to_owned(),
            started_at: second,
            finished_at: second,
        };
        store.create_batch(&result).await.unwrap();
    }
    finish(&cluster, "movies", &job, "").await;
    cluster.pass("movies").await;
    let left: Vec<i64> = store.list_batches().await.unwrap().iter().map(|id| id.decided_at).collect();
    assert_eq!(left.len(), 20);
    assert_eq!((left[0], left[19]), (7, template.id.decided_at));
}
