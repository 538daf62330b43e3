//! Tests the store with boto3: every operation that clients need, and 403 for every operation
//! outside the prefix of the credentials.

use std::{path::Path, process::Command};

use sidecar_contract::credentials::Role;

use crate::process::{Process, key, prefix};

/// Python with boto3, in a virtual environment below target/.
fn python() -> std::path::PathBuf {
    python_venv::python(
        &Path::new(env!("CARGO_TARGET_TMPDIR")).join("s3-client-venv"),
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/requirements.txt"),
    )
}

#[test]
fn boto3_works_within_its_prefix_and_is_denied_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let store = Process::start(directory.path());
    let keys = [Role::Train, Role::Serve, Role::Operator].map(key);
    let output = Command::new(python())
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/s3_client.py"))
        .args([&store.endpoint, &prefix()])
        .args(keys.iter().flat_map(|(id, secret)| [id, secret]))
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.ends_with("ok all\n"), "{stdout}\n{stderr}");
}
