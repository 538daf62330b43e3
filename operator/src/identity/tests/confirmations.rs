//! Which pods a rotation waits for.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use sidecar_contract::{AnchorsReport, CallerAnchors, Digest};

use super::NOW;
use crate::identity::{
    confirmation::{Arrived, confirmed_by, describe, unconfirmed},
    live_pod::LivePod,
};

const SIGNER: &str = "recmesh.dev/recmesh";

/// A running pod with a certificate, which was started an hour before the publication.
fn pod(name: &str, address: &str) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"volumes": [{"name": "a", "projected": {"sources": [{"podCertificate": {"signerName": SIGNER}}]}}]},
        "status": {"phase": "Running", "podIP": address, "startTime": at(-3600)},
    })
}

/// A time relative to the publication.
fn at(seconds: i64) -> String {
    Timestamp::from_second(NOW + seconds).unwrap().to_string()
}

fn anchors() -> Digest {
    Digest::of(b"both")
}

/// The names of the pods that have not confirmed.
fn missing(pods: &[Value], reports: &[Arrived]) -> Vec<String> {
    let pods: Vec<LivePod> = pods.iter().map(|pod| serde_json::from_value(pod.clone()).unwrap()).collect();
    let anchors = anchors();
    let confirmed = reports.iter().flat_map(|report| confirmed_by(report, &anchors, NOW)).collect();
    unconfirmed(&pods, &confirmed, SIGNER, NOW).into_iter().collect()
}

/// A report that arrived five minutes after the publication.
fn report(own: Option<Digest>, callers: &[(&str, Digest, u64)]) -> Arrived {
    let callers = callers.iter().map(|(address, anchors, seconds_ago)| CallerAnchors {
        address: address.parse().unwrap(),
        anchors: anchors.clone(),
        seconds_ago: *seconds_ago,
    });
    let report = AnchorsReport { anchors: own, callers: callers.collect() };
    Arrived { address: "10.0.0.1".parse().unwrap(), report, at: NOW + 300 }
}

#[test]
fn pods_confirm_by_their_own_report_or_as_callers_with_the_anchors_of_the_step() {
    let pods = [pod("movies-1", "10.0.0.1"), pod("web-1", "10.0.0.2"), pod("web-2", "fd00::2")];
    assert_eq!(missing(&pods, &[]), ["shop/movies-1", "shop/web-1", "shop/web-2"]);
    let callers = [("10.0.0.2", anchors(), 300), ("fd00:0::2", anchors(), 0)];
    assert_eq!(missing(&pods, &[report(Some(anchors()), &callers)]), Vec::<String>::new());
    let old = Digest::of(b"old");
    // Other anchors, no report of the own ones, and a caller that was seen before the publication.
    let callers = [("10.0.0.2", old.clone(), 0), ("fd00::2", anchors(), 301)];
    assert_eq!(missing(&pods, &[report(None, &callers)]), ["shop/movies-1", "shop/web-1", "shop/web-2"]);
    // Of several serving pods, one has seen the caller.
    let seen = report(Some(old), &[("10.0.0.2", anchors(), 1)]);
    assert_eq!(missing(&pods, &[report(Some(anchors()), &callers), seen]), ["shop/web-2"]);
}

#[test]
fn only_running_pods_with_certificates_that_are_older_than_the_publication_are_waited_for() {
    let changed = |pointer: &str, value: Value| {
        let mut pod = pod("web-1", "10.0.0.2");
        *pod.pointer_mut(pointer).unwrap() = value;
        missing(&[pod], &[])
    };
    assert_eq!(changed("/status/startTime", json!(at(120))), ["shop/web-1"]);
    assert_eq!(changed("/status/startTime", json!(at(121))), Vec::<String>::new());
    assert_eq!(changed("/status/phase", json!("Succeeded")), Vec::<String>::new());
    assert_eq!(changed("/spec/volumes", json!([])), Vec::<String>::new());
    let other = json!([{"projected": {"sources": [{"podCertificate": {"signerName": "example.com/other"}}]}}]);
    assert_eq!(changed("/spec/volumes", other), Vec::<String>::new());
    assert_eq!(changed("/status/podIP", Value::Null), ["shop/web-1"], "a pod without an address cannot confirm");
}

#[test]
fn many_pods_are_named_in_part() {
    let names = |count: usize| (0..count).map(|number| format!("shop/web-{number:02}")).collect();
    assert_eq!(describe(&names(0)), None);
    assert_eq!(describe(&names(1)).as_deref(), Some("1: shop/web-00"));
    let many = describe(&names(25)).unwrap();
    assert!(many.starts_with("25: shop/web-00, shop/web-01") && many.ends_with("shop/web-19 and 5 others"), "{many}");
}
