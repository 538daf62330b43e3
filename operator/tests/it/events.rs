//! Events: each shows the current fact, and only Events with equal texts are merged.

use serde_json::{Value, json};

use crate::{cluster::Cluster, reconcile::serving};

/// Reason and note of each Event, oldest first.
fn texts(cluster: &Cluster) -> Vec<(String, String)> {
    let text = |event: &Value, field: &str| event[field].as_str().unwrap().to_owned();
    cluster.api.events().iter().map(|event| (text(event, "reason"), text(event, "note"))).collect()
}

/// Sets a deadline that the operator rejects, or a valid one.
async fn set_deadline(cluster: &Cluster, deadline: &str) {
    cluster.edit("movies", |movies| movies["spec"]["training"] = json!({"deadline": deadline}));
    cluster.pass("movies").await;
}

#[tokio::test]
async fn a_second_fault_is_shown_with_its_own_text() {
    let cluster = Cluster::with_movies(&json!({}));
    for deadline in ["soon", "1h", "later"] {
        set_deadline(&cluster, deadline).await;
    }
    let faults: Vec<String> =
        texts(&cluster).into_iter().filter(|(reason, _)| reason == "InvalidSpec").map(|(_, note)| note).collect();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].contains("soon") && faults[1].contains("later"), "{faults:?}");
}

#[tokio::test]
async fn equal_texts_are_merged() {
    let cluster = Cluster::with_movies(&json!({}));
    for deadline in ["soon", "1h", "soon", "1h", "soon"] {
        set_deadline(&cluster, deadline).await;
    }
    let events = cluster.api.events();
    let faults: Vec<&Value> = events.iter().filter(|event| event["reason"] == "InvalidSpec").collect();
    assert_eq!((faults.len(), &faults[0]["series"]["count"]), (1, &json!(3)), "{faults:?}");
}

#[tokio::test]
async fn an_event_that_expired_is_created_again() {
    let cluster = Cluster::with_movies(&json!({}));
    set_deadline(&cluster, "soon").await;
    for path in cluster.api.paths("/events/") {
        cluster.api.delete(&path);
    }
    set_deadline(&cluster, "1h").await;
    set_deadline(&cluster, "soon").await;
    let events = cluster.api.events();
    let fault = events.iter().find(|event| event["reason"] == "InvalidSpec").unwrap();
    assert_eq!(fault["series"], Value::Null);
}

#[tokio::test]
async fn a_promotion_names_both_revisions() {
    let cluster = serving().await;
    cluster.edit("movies", |movies| movies["metadata"]["annotations"] = json!({"recmesh.dev/retrain-at": "1"}));
    cluster.pass("movies").await;
    cluster.finish_run("movies", 2, "b").await;
    cluster.pass("movies").await;
    let promotions: Vec<String> =
        texts(&cluster).into_iter().filter(|(reason, _)| reason == "Promoted").map(|(_, note)| note).collect();
    let revision = |content: &str| sidecar_contract::Digest::of(content.as_bytes()).revision().to_owned();
    let expected = [
        format!("{} serves (run 1)", revision("a")),
        format!("{} serves (run 2), was {}", revision("b"), revision("a")),
    ];
    assert_eq!(promotions, expected);
}
