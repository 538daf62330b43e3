//! The app of crds/examples/flask-shop with the real binary as serving sidecar and as its own.

use std::{path::Path, process::Command};

#[test]
fn the_film_shop_shows_what_its_sidecar_answers() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/examples/flask-shop");
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("flask-shop-venv");
    let output = Command::new(python_venv::python(&venv, &example.join("requirements.txt")))
        .args(["-B", "test_app.py"]) // Without byte code in the source tree.
        .env("RECMESH_SIDECAR", env!("CARGO_BIN_EXE_recmesh-sidecar"))
        .current_dir(&example)
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}");
    assert!(report.contains("Ran 4 tests"), "{report}");
}
