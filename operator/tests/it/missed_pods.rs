//! Pods that ask for a sidecar and have none: Events, and the metric.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Cluster, core, deployment};

const POLICY: &str = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies/recmesh-injection";
const SERIES: &str = "recommender_operator_pods_without_sidecar";

/// Generous, because it only ends tests that hang.
const DEADLINE: Duration = Duration::from_mins(10);

/// Waits until a condition holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let holds = tokio::time::timeout(DEADLINE, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    holds.await.unwrap_or_else(|_| panic!("not reached: {what}"));
}

/// A pod that asks for the sidecar of films; `owner` is the kind and name of its controller.
fn put_pod(cluster: &Cluster, name: &str, owner: Option<(&str, &str, &str)>, spec: &Value) {
    let owners = owner.map(|(api_version, kind, name)| {
        json!([{"apiVersion": api_version, "kind": kind, "name": name, "uid": format!("u-{name}"), "controller": true}])
    });
    let metadata = json!({
        "name": name, "namespace": "shop", "labels": {"recmesh.dev/inject": "films"}, "ownerReferences": owners,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    });
    cluster
        .api
        .put(&core("pods", name), json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}));
}

/// The Deployment web, its ReplicaSet, and a pod with a port that the sidecar uses.
fn put_web(cluster: &Cluster) {
    let metadata = json!({"name": "web", "namespace": "shop", "uid": "u-web"});
    cluster.api.put(&deployment("web"), json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}));
    let owners =
        json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u-web", "controller": true}]);
    let metadata = json!({"name": "web-5d8f", "namespace": "shop", "uid": "u-web-5d8f", "ownerReferences": owners});
    let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata});
    cluster.api.put("/apis/apps/v1/namespaces/shop/replicasets/web-5d8f", set);
    let spec = json!({"containers": [{"name": "app", "image": "app:1", "ports": [{"containerPort": 8088}]}]});
    put_pod(cluster, "web-5d8f-a", Some(("apps/v1", "ReplicaSet", "web-5d8f")), &spec);
}

fn plain() -> Value {
    json!({"containers": [{"name": "app", "image": "app:1"}]})
}

/// Kind and name of what an Event concerns, and its note.
fn announced(cluster: &Cluster) -> Vec<(String, String)> {
    let events = cluster.api.events().into_iter().filter(|event| event["reason"] == "SidecarMissing");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    events
        .map(|event| {
            let about = &event["regarding"];
            (format!("{}/{}", text(&about["kind"]), text(&about["name"])), text(&event["note"]))
        })
        .collect()
}

/// The series of the metric, as they are exported.
fn series(cluster: &Cluster) -> Vec<String> {
    let text = String::from_utf8(cluster.context.metrics.encode().unwrap()).unwrap();
    text.lines().filter_map(|line| line.strip_prefix(SERIES)).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_deployment_gets_one_event_for_all_its_pods_and_they_are_counted_until_they_are_gone() {
    let cluster = Cluster::with(&["--injection-policy=recmesh-injection"]);
    put_web(&cluster);
    let _controller = cluster.start_controller();
    let not_possible = |count: usize| vec![format!("{{namespace=\"shop\",reason=\"not_possible\"}} {count}")];
    until("one pod is counted", || series(&cluster) == not_possible(1)).await;
    let spec = cluster.api.get(&core("pods", "web-5d8f-a"))["spec"].clone();
    put_pod(&cluster, "web-5d8f-b", Some(("apps/v1", "ReplicaSet", "web-5d8f")), &spec);
    until("two pods are counted", || series(&cluster) == not_possible(2)).await;
    let events = announced(&cluster);
    let [(about, note)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(about, "Deployment/web");
    assert!(note.contains("Recommender films: a container declares port 8088"), "{note}");
    for pod in ["web-5d8f-a", "web-5d8f-b"] {
        cluster.api.delete(&core("pods", pod));
    }
    until("no pod is counted", || series(&cluster).is_empty()).await;
}

#[tokio::test]
async fn the_reason_follows_from_the_policy() {
    let since = |second: &str| json!({"metadata": {"name": "recmesh-injection", "creationTimestamp": second}});
    let cases = [
        (
            Some("recmesh-injection"),
            Some(since("2026-01-02T00:00:00Z")),
            "before_policy",
            "rollout restart statefulset/db",
        ),
        (Some("recmesh-injection"), Some(since("2025-12-31T00:00:00Z")), "not_changed", "did not apply"),
        (Some("recmesh-injection"), None, "no_policy", "helm upgrade"),
        (None, None, "off", "mesh.enabled"),
    ];
    for (setting, policy, reason, word) in cases {
        let setting = setting.map(|name| format!("--injection-policy={name}"));
        let cluster = Cluster::with(&setting.iter().map(String::as_str).collect::<Vec<_>>());
        if let Some(policy) = policy {
            cluster.api.put(POLICY, policy);
        }
        put_pod(&cluster, "db-0", Some(("apps/v1", "StatefulSet", "db")), &plain());
        let _controller = cluster.start_controller();
        until(reason, || series(&cluster) == [format!("{{namespace=\"shop\",reason=\"{reason}\"}} 1")]).await;
        let events = announced(&cluster);
        assert_eq!(events.len(), 1, "{events:?}");
        assert!(events[0].0 == "StatefulSet/db" && events[0].1.contains(word), "{events:?}");
    }
}

#[tokio::test]
async fn without_rights_on_policy_and_owner_the_event_concerns_the_controller_of_the_pod() {
    let cluster = Cluster::with(&["--injection-policy=recmesh-injection"]);
    cluster.api.fail(http::Method::GET, "/recmesh-injection", 403);
    cluster.api.fail(http::Method::GET, "/replicasets/web-5d8f", 403);
    put_web(&cluster);
    put_pod(&cluster, "alone", None, &plain());
    let _controller = cluster.start_controller();
    until("both are explained", || announced(&cluster).len() == 2).await;
    let mut events = announced(&cluster);
    events.sort();
    assert_eq!((events[0].0.as_str(), events[1].0.as_str()), ("Pod/alone", "ReplicaSet/web-5d8f"));
    assert!(events[0].1.contains("create the pods again"), "{events:?}");
}

#[tokio::test]
async fn a_failed_explanation_is_repeated_and_pods_with_a_sidecar_are_none_of_them() {
    let cluster = Cluster::with(&["--injection-policy=recmesh-injection"]);
    cluster.api.fail(http::Method::GET, "/pods/alone", 500);
    put_pod(&cluster, "alone", None, &plain());
    put_pod(&cluster, "fine", None, &plain());
    let mut fine = cluster.api.get(&core("pods", "fine"));
    fine["metadata"]["labels"]["recmesh.dev/injected"] = json!("true");
    cluster.api.put(&core("pods", "fine"), fine);
    let _controller = cluster.start_controller();
    until("it is counted", || series(&cluster) == ["{namespace=\"shop\",reason=\"unknown\"} 1"]).await;
    cluster.api.recover();
    until("it is explained", || series(&cluster) == ["{namespace=\"shop\",reason=\"no_policy\"} 1"]).await;
    assert_eq!(announced(&cluster)[0].0, "Pod/alone");
}
