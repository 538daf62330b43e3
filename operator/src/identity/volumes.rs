//! The volumes with the certificate and the anchors, for serving pods and for the sidecars of apps.
//!
//! They are two: the kubelet writes all files of a volume or none, and a certificate that is not
//! renewed must not delay new anchors.

use serde_json::{Value, json};
use sidecar_contract::paths;

use super::public_key::KEY_TYPE;
use crate::names::ANCHORS_LABEL;

/// A volume with the private key and the certificate of the pod.
pub fn certificate(volume: &str, signer: &str) -> Value {
    let source = json!({
        "signerName": signer, "keyType": KEY_TYPE, "credentialBundlePath": paths::CREDENTIALS_FILE,
    });
    json!({"name": volume, "projected": {"sources": [{"podCertificate": source}]}})
}

/// A volume with the anchors. It selects the bundle by its signer: a name could be that of a bundle
/// of another signer.
pub fn anchors(volume: &str, signer: &str) -> Value {
    let source = json!({
        "signerName": signer, "labelSelector": {"matchLabels": {ANCHORS_LABEL: "true"}}, "path": paths::ANCHORS_FILE,
    });
    json!({"name": volume, "projected": {"sources": [{"clusterTrustBundle": source}]}})
}

/// The mounts of both.
pub fn mounts(certificate: &str, anchors: &str) -> [Value; 2] {
    let mount = |name: &str, path: &str| json!({"name": name, "mountPath": path, "readOnly": true});
    [mount(certificate, paths::IDENTITY_DIR), mount(anchors, paths::ANCHORS_DIR)]
}

/// The arguments of the sidecar with the paths of the files.
pub fn arguments() -> [String; 2] {
    [
        format!("--credentials={}/{}", paths::IDENTITY_DIR, paths::CREDENTIALS_FILE),
        format!("--anchors={}/{}", paths::ANCHORS_DIR, paths::ANCHORS_FILE),
    ]
}
