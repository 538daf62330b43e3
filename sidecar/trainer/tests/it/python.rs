//! Python with pandas and pyarrow, in a virtual environment below target/.

use std::{ffi::OsStr, path::Path, process::Command};

/// Runs a script of `tests/`, which has to succeed.
pub fn python(script: &str, arguments: &[&OsStr]) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let python = python_venv::python(
        &Path::new(env!("CARGO_TARGET_TMPDIR")).join("tables-venv"),
        &tests.join("requirements.txt"),
    );
    let output = Command::new(python).arg(tests.join(script)).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
