//! Which pods a rotation waits for.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use sidecar_contract::{AnchorsReport, CallerAnchors, Digest};

use super::NOW;
use crate::identity::{
    confirmation::{Arrived, Confirmations, PodsByAddress, describe},
    live_pod::LivePod,
};

const SIGNER: &str = "recmesh.dev/recmesh";

/// A running pod with a certificate, which was started an hour before the publication. Those named
/// `movies-…` serve the Recommender `movies`, which all others call.
fn pod(name: &str, address: &str) -> Value {
    let labels = if name.starts_with("movies-") {
        json!({"recmesh.dev/recommender": "movies", "app.kubernetes.io/component": "serving"})
    } else {
        json!({"recmesh.dev/inject": "movies"})
    };
    json!({
        "metadata": {"namespace": "shop", "name": name, "uid": name, "labels": labels},
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

fn live(pods: &[Value]) -> Vec<LivePod> {
    pods.iter().map(|pod| serde_json::from_value(pod.clone()).unwrap()).collect()
}

/// The names of the pods that have not confirmed.
fn missing(pods: &[Value], reports: &[Arrived]) -> Vec<String> {
    let pods = live(pods);
    let mut confirmations = Confirmations::new(anchors(), NOW);
    let by_address = PodsByAddress::new(&pods);
    for report in reports {
        confirmations.add(&by_address, report);
    }
    confirmations.missing(&pods, SIGNER).into_iter().collect()
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
fn a_serving_pod_reports_about_callers_of_its_recommender_only() {
    let changed = |change: &dyn Fn(&mut [Value])| {
        let mut pods = [pod("movies-1", "10.0.0.1"), pod("web-1", "10.0.0.2")];
        change(&mut pods);
        missing(&pods, &[report(Some(anchors()), &[("10.0.0.2", anchors(), 0)])])
    };
    let unconfirmed = ["shop/web-1"].map(str::to_owned).to_vec();
    assert_eq!(changed(&|_| ()), Vec::<String>::new());
    // The serving pod is of another namespace, or of another Recommender.
    assert_eq!(changed(&|pods| pods[0]["metadata"]["namespace"] = json!("other")), unconfirmed);
    assert_eq!(changed(&|pods| pods[0]["metadata"]["labels"]["recmesh.dev/recommender"] = json!("x")), unconfirmed);
    // Its component is another one.
    let component = "app.kubernetes.io/component";
    assert_eq!(changed(&|pods| pods[0]["metadata"]["labels"][component] = json!("trainer")), unconfirmed);
    // The caller names the other namespace.
    let called = changed(&|pods| {
        pods[0]["metadata"]["namespace"] = json!("other");
        pods[1]["metadata"]["labels"]["recmesh.dev/namespace"] = json!("other");
    });
    assert_eq!(called, Vec::<String>::new());
    // A serving pod confirms by its own report only.
    assert_eq!(changed(&|pods| pods[1] = pod("movies-2", "10.0.0.2")), ["shop/movies-2"]);
}

#[test]
fn confirmations_are_kept_between_passes_and_a_pass_begins_after_the_pods_that_were_asked() {
    let mut pods = live(&[pod("movies-1", "10.0.0.1"), pod("movies-2", "10.0.0.2")]);
    let mut confirmations = Confirmations::new(anchors(), NOW);
    let order = |confirmations: &Confirmations| {
        let mut pods = [1, 2, 3, 4, 5];
        confirmations.order(&mut pods);
        pods
    };
    assert_eq!(order(&confirmations), [1, 2, 3, 4, 5]);
    confirmations.add(&PodsByAddress::new(&pods), &report(Some(anchors()), &[]));
    confirmations.add_asked(3);
    assert_eq!(order(&confirmations), [4, 5, 1, 2, 3]);
    confirmations.add_asked(4);
    assert_eq!(order(&confirmations), [3, 4, 5, 1, 2]);
    assert!(confirmations.are_of(&anchors(), NOW));
    assert!(!confirmations.are_of(&anchors(), NOW + 1) && !confirmations.are_of(&Digest::of(b"old"), NOW));
    assert_eq!(confirmations.missing(&pods, SIGNER).into_iter().collect::<Vec<_>>(), ["shop/movies-2"]);
    // A pod that takes the name and the address of a deleted one has another uid.
    pods[0].metadata.uid = Some("another".to_owned());
    assert_eq!(confirmations.missing(&pods, SIGNER).len(), 2);
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
