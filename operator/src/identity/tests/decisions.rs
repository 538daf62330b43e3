//! Decisions on requests.

use k8s_openapi::ByteString;
use serde_json::json;

use super::{p256_request, request};
use crate::identity::{
    ClusterTrustBundle, PodCertificateRequest,
    cluster_trust_bundle::{self, name},
    decide::{Decision, Denial, Waiting, decide, is_watched},
    live_pod::LivePod,
};

const SIGNER: &str = "recmesh.dev/recmesh";

/// A request as the API server stores it, and the pod that it names.
fn consistent() -> (PodCertificateRequest, LivePod) {
    let csr = serde_json::to_value(ByteString(p256_request())).unwrap();
    let request = json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "PodCertificateRequest",
        "metadata": {"name": "req-x", "namespace": "shop"},
        "spec": {
            "signerName": SIGNER, "podName": "web-1", "podUID": "u1", "serviceAccountName": "web",
            "serviceAccountUID": "u2", "nodeName": "n1", "nodeUID": "u3", "maxExpirationSeconds": 86400,
            "stubPKCS10Request": csr,
        },
    });
    let pod = json!({
        "metadata": {"name": "web-1", "namespace": "shop", "uid": "u1"},
        "spec": {
            "serviceAccountName": "web", "nodeName": "n1", "containers": [{"name": "app"}],
            "volumes": [
                {"name": "tmp", "emptyDir": {}},
                {"name": "a", "projected": {"sources": [
                    {"serviceAccountToken": {"path": "token"}},
                    {"podCertificate": {"signerName": SIGNER, "keyType": "ECDSAP256"}},
                ]}},
            ],
        },
    });
    (serde_json::from_value(request).unwrap(), serde_json::from_value(pod).unwrap())
}

#[test]
fn a_request_that_agrees_with_its_pod_is_signed() {
    let (request, pod) = consistent();
    assert!(matches!(decide(&request, Some(&pod)), Decision::Sign(_)));
    assert!(!request.is_answered());
}

#[test]
fn a_request_that_differs_from_its_pod_stays_pending() {
    type Change = fn(&mut PodCertificateRequest, &mut LivePod);
    let cases: [(Waiting, Change); 8] = [
        (Waiting::PodReplaced, |request, _| request.spec.pod_uid = "u9".to_owned()),
        (Waiting::PodReplaced, |_, pod| pod.metadata.uid = None),
        (Waiting::OtherAccount, |request, _| request.spec.service_account_name = "admin".to_owned()),
        (Waiting::OtherNode, |request, _| request.spec.node_name = "n2".to_owned()),
        (Waiting::OtherNode, |request, pod| {
            request.spec.node_name.clear();
            pod.spec.node_name.clear();
        }),
        (Waiting::NoVolume, |_, pod| pod.spec.volumes.clear()),
        (Waiting::NoVolume, |request, _| request.spec.signer_name = "recmesh.dev/other".to_owned()),
        (Waiting::Malformed, |request, _| request.spec.stub_pkcs10_request.0.truncate(20)),
    ];
    for (waiting, change) in cases {
        let (mut request, mut pod) = consistent();
        change(&mut request, &mut pod);
        assert_eq!(decide(&request, Some(&pod)), Decision::Wait(waiting));
    }
    assert_eq!(decide(&consistent().0, None), Decision::Wait(Waiting::PodMissing));
}

#[test]
fn only_key_types_and_annotations_are_refused_for_good() {
    let (mut by_key, pod) = consistent();
    by_key.spec.stub_pkcs10_request = ByteString(request(&["ed25519"]));
    assert_eq!(decide(&by_key, Some(&pod)), Decision::Deny(Denial::KeyType));
    assert_eq!(Denial::KeyType.reason(), "UnsupportedKeyType");
    assert!(Denial::KeyType.message().contains("ECDSAP256"));
    let (mut by_annotation, pod) = consistent();
    by_annotation.spec.unverified_user_annotations.insert("example.com/a".to_owned(), "b".to_owned());
    assert_eq!(decide(&by_annotation, Some(&pod)), Decision::Deny(Denial::UserAnnotations));
}

#[test]
fn an_answered_request_is_recognised() {
    for type_ in ["Issued", "Denied", "Failed"] {
        let (request, _) = consistent();
        let mut value = serde_json::to_value(&request).unwrap();
        value["status"] = json!({"conditions": [{
            "type": type_, "status": "True", "reason": "A", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]});
        assert!(serde_json::from_value::<PodCertificateRequest>(value).unwrap().is_answered(), "{type_}");
    }
}

#[test]
fn namespaces_that_are_not_watched_are_left_alone() {
    let watched = ["shop".to_owned()];
    assert!(is_watched("shop", &watched) && !is_watched("media", &watched) && is_watched("media", &[]));
}

#[test]
fn a_bundle_of_another_installation_is_recognised() {
    assert_eq!(name(SIGNER), "recmesh.dev:recmesh:anchors");
    let manifest = cluster_trust_bundle::manifest(SIGNER, "a", "PEM");
    let bundle: ClusterTrustBundle = serde_json::from_value(manifest).unwrap();
    assert_eq!((bundle.spec.signer_name.as_str(), bundle.spec.trust_bundle.as_str()), (SIGNER, "PEM"));
    assert_eq!((bundle.other_installation("a"), bundle.other_installation("b")), (None, Some("a")));
}
