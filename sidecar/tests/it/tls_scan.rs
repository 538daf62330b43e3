//! The scanner sslyze against the port for mutual TLS, and what it does not test: whether a
//! session of TLS 1.3 is resumed.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use rustls::HandshakeKind;
use serde_json::{Value, json};
use test_certificates::{Authority, Leaf};

use crate::{
    mesh_peer::{Client, connect_with, id, now, recommend_over},
    mutual_tls::serving_pod,
};

/// Python with sslyze, in a virtual environment below target/.
fn python() -> PathBuf {
    python_venv::python(
        &Path::new(env!("CARGO_TARGET_TMPDIR")).join("sslyze-venv"),
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls_scan/requirements.txt"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn sslyze_finds_tls_1_3_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("anchor", now());
    let (_pod, port) = serving_pod(directory.path(), &authority).await;
    let issued = authority.issue(&Leaf::valid(&id("shop", "web"), now()));
    let (key, certificate) = issued.pem.split_at(issued.pem.find("-----BEGIN CERTIFICATE").unwrap());
    let file = |name: &str, content: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let (certificate, key) = (file("scan.pem", certificate), file("scan.key", key));
    let scan = move || {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls_scan/scan.py");
        Command::new(python()).arg(script).arg(port.to_string()).args([certificate, key]).output().unwrap()
    };
    let output = tokio::task::spawn_blocking(scan).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let suites = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
    let expected = json!({
        "highest": "TLS_1_3",
        "ssl_2_0_cipher_suites": [], "ssl_3_0_cipher_suites": [],
        "tls_1_0_cipher_suites": [], "tls_1_1_cipher_suites": [], "tls_1_2_cipher_suites": [],
        "tls_1_3_cipher_suites": suites,
        "tls_compression": false,
        "session_resumption": ["SERVER_IS_TLS_1_3_ONLY", "SERVER_IS_TLS_1_3_ONLY"],
        "session_renegotiation": [true, false],
        "heartbleed": false,
        "openssl_ccs_injection": false,
        "robot": "NOT_VULNERABLE_RSA_NOT_SUPPORTED",
        "elliptic_curves": ["X25519", "secp256r1", "secp384r1"],
    });
    assert_eq!(found, expected, "{found:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_session_can_be_resumed() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("anchor", now());
    let (_pod, port) = serving_pod(directory.path(), &authority).await;
    // The configuration keeps sessions, as that of rustls does by default. Early data needs one.
    let client = Client::new(&authority.issue(&Leaf::valid(&id("shop", "web"), now())));
    let config = client.config();
    for _ in 0..3 {
        let stream = connect_with(Arc::clone(&config), port).await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(recommend_over(stream).await.unwrap(), 200);
    }
}
