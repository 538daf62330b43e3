//! The OpenAPI document against the real binary: schemathesis sends valid and invalid requests
//! according to the document, and compares the responses with it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use recommender_sidecar::api::route::ROUTES;

use crate::{
    catalogue::write_catalogue,
    model::train,
    process::{start_with, wait_for},
};

/// Directory of the settings and hooks of schemathesis.
fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis")
}

/// Python with schemathesis, in a virtual environment below target/.
fn python() -> PathBuf {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schemathesis-venv");
    python_venv::python(&venv, &directory().join("requirements.txt"))
}

/// The environment variable, or a default.
fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_behaves_as_its_openapi_document_states() {
    let at = tempfile::tempdir().unwrap();
    let model = train(at.path(), 6).await;
    let catalogue = at.path().join("catalogue");
    write_catalogue(&model, &catalogue, "v1");
    let files = ["--model", model.to_str().unwrap(), "--catalogue", catalogue.to_str().unwrap()];
    let process = start_with(at.path(), &files);
    wait_for("readiness", || process.is_ready());
    let output = Command::new(python())
        .args(["-m", "schemathesis.cli", "--no-color", "--config-file"])
        .arg(directory().join("config.toml"))
        .args(["run", &format!("http://127.0.0.1:{}/openapi.json", process.port), "--checks", "all"])
        .args(["--seed", &setting("RECMESH_SEED", "1")])
        .args(["--max-examples", &setting("RECMESH_API_EXAMPLES", "100")])
        .env("SCHEMATHESIS_HOOKS", directory().join("hooks.py"))
        .current_dir(at.path()) // For the files that it writes.
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}\n{}", String::from_utf8_lossy(&output.stderr));
    // Without a single request the run would succeed, too. The document itself is not tested.
    assert!(report.contains(&format!("Tested: {}", ROUTES.len() - 1)), "{report}");
}
