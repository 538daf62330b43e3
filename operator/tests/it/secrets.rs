//! A failed run is retried at once if the data of its Secret changes, and only then.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cluster::{Cluster, core, job};

/// A Secret whose data was written at this time.
fn secret(written_at: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "name": "source", "namespace": "shop", "uid": "u-source",
            "managedFields": [{
                "manager": "kubectl-create", "operation": "Update", "apiVersion": "v1", "time": written_at,
                "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {".": {}, "f:AWS_ACCESS_KEY_ID": {}}, "f:type": {}},
            }],
        },
    })
}

#[tokio::test]
async fn an_annotation_of_the_secret_is_not_another_attempt() {
    let cluster = Cluster::new();
    let path = core("secrets", "source");
    cluster.api.put(&path, secret("2026-01-01T00:00:00Z"));
    let source = json!({"source": {"url": "s3://shop/ratings.csv", "secretRef": {"name": "source"}}});
    cluster.create("movies", &json!({"data": source}));
    cluster.pass("movies").await;
    let mut failed = cluster.api.get(&job("movies", 1));
    let ended = Timestamp::now().to_string();
    failed["status"] = json!({"conditions": [{
        "type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": ended,
    }]});
    cluster.api.put(&job("movies", 1), failed);
    cluster.pass("movies").await;
    assert!(cluster.api.get(&job("movies", 2)).is_null(), "it is in back-off");
    // As `kubectl annotate secret source a=b` does.
    let mut annotated = secret("2026-01-01T00:00:00Z");
    annotated["metadata"]["annotations"] = json!({"a": "b"});
    annotated["metadata"]["managedFields"].as_array_mut().unwrap().push(json!({
        "manager": "kubectl-annotate", "operation": "Update", "apiVersion": "v1", "time": "2026-01-02T00:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:annotations": {".": {}, "f:a": {}}}},
    }));
    cluster.api.put(&path, annotated);
    cluster.pass("movies").await;
    assert!(cluster.api.get(&job("movies", 2)).is_null(), "the data is the same");
    cluster.api.put(&path, secret("2026-01-03T00:00:00Z"));
    cluster.pass("movies").await;
    assert!(!cluster.api.get(&job("movies", 2)).is_null(), "the data was written again");
}
