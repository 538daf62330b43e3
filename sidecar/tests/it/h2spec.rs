//! The conformance test h2spec against the port for mutual TLS. It has no client certificate, so
//! that a tunnel encrypts its bytes. (The application port answers an invalid preface of HTTP/2 as
//! HTTP/1.1, which one of the cases forbids.)

use std::{path::Path, process::Command};

use test_certificates::{Authority, Leaf};
use tokio::net::TcpListener;

use crate::{
    mesh_peer::{Client, id, identity_files, now},
    model::train,
    process::{start_with_mesh_port, wait_for},
};

/// Runs h2spec against a port that speaks HTTP/2 without TLS; returns its report.
fn h2spec(port: u16) -> String {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/h2spec");
    let port = port.to_string();
    let arguments = ["tool", "h2spec", "-h", "127.0.0.1", "-p", &port, "-P", "/model", "-o", "10"];
    let output = Command::new("go").args(arguments).current_dir(module).output().expect("this test needs Go");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Accepts connections and passes their bytes over mutual TLS.
async fn tunnel(client: Client, to: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut plain, _)) = listener.accept().await {
            let client = client.clone();
            tokio::spawn(async move {
                let Ok(mut encrypted) = client.connect(to).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut plain, &mut encrypted).await;
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_for_mutual_tls_passes_the_conformance_test_of_http2() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("anchor", now());
    let model = train(directory.path(), 4).await;
    let files = identity_files(directory.path(), "server", &authority, &Leaf::valid(&id("shop", "movies"), now()));
    let mut arguments = vec!["--model", model.to_str().unwrap()];
    arguments.extend(files.iter().map(String::as_str));
    let (pod, mesh_port) = start_with_mesh_port(directory.path(), &arguments);
    wait_for("readiness", || pod.is_ready());
    let client = Client::new(&authority.issue(&Leaf::valid(&id("shop", "web"), now())));
    let tunnel = tunnel(client, mesh_port).await;
    let report = tokio::task::spawn_blocking(move || h2spec(tunnel)).await.unwrap();
    let summary = report.lines().rev().find(|line| line.contains("passed")).unwrap_or_default();
    assert!(summary.contains(" 0 failed"), "{report}");
    drop(pod);
}
