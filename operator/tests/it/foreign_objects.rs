//! Objects that a tenant makes so that they are hard to read, in lists with those of others.

use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, core, job, recommender},
    missed_pods::until,
};

/// Puts an object with managed fields whose time no parser of dates accepts: the API server keeps
/// what a client writes there.
fn put(cluster: &Cluster, path: &str, kind: &str, labels: &Value) {
    let managed = json!([{"manager": "other", "operation": "Update", "time": "9999-12-31T23:59:59Z"}]);
    let metadata = json!({
        "name": path.rsplit('/').next(), "namespace": "shop", "labels": labels, "managedFields": managed,
    });
    cluster.api.put(path, json!({"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": {}}));
}

#[tokio::test]
async fn an_object_of_one_tenant_does_not_stop_the_lists_and_watches_of_all() {
    let cluster = Cluster::new();
    let child = json!({"recmesh.dev/recommender": "odd"});
    put(&cluster, &recommender("odd"), "Recommender", &json!({}));
    put(&cluster, &core("configmaps", "odd"), "ConfigMap", &child);
    put(&cluster, &job("odd", 1), "Job", &child);
    put(&cluster, &core("pods", "odd"), "Pod", &child);
    put(&cluster, &core("pods", "app"), "Pod", &json!({"recmesh.dev/inject": "films"}));
    cluster.create("movies", &json!({}));
    let _controller = cluster.start_controller();
    until("movies is trained", || !cluster.api.get(&job("movies", 1)).is_null()).await;
    until("the watches of children have listed", || cluster.context.versions.footprint("shop", "movies").is_some())
        .await;
    let series = "recommender_operator_pods_without_sidecar{";
    until("the pod is counted", || {
        String::from_utf8(cluster.context.metrics.encode().unwrap()).unwrap().contains(series)
    })
    .await;
    // Events of watches, too.
    put(&cluster, &recommender("odder"), "Recommender", &json!({}));
    cluster.create("songs", &json!({}));
    until("songs is trained", || !cluster.api.get(&job("songs", 1)).is_null()).await;
}

#[tokio::test]
async fn large_jobs_with_the_label_of_a_recommender_do_not_stop_its_passes() {
    let cluster = Cluster::with_movies(&json!({}));
    for index in 0..20 {
        let path = job("movies", 100 + index);
        put(&cluster, &path, "Job", &json!({"recmesh.dev/recommender": "movies"}));
        let mut object = cluster.api.get(&path);
        object["spec"] = json!({"suspend": true, "template": {"spec": {"containers": [{"args": vec![""; 700_000]}]}}});
        cluster.api.put(&path, object);
    }
    cluster.pass("movies").await;
    assert!(!cluster.api.get(&job("movies", 1)).is_null(), "the first run has started");
}
