//! A snapshot is a standard safetensors file: Python opens it, and numpy computes the scores that the binary answers with.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::model::train;

/// Python with numpy and safetensors, in a virtual environment below target/.
fn python() -> PathBuf {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("safetensors-venv");
    let python = venv.join("bin/python");
    let run = |command: &mut Command| {
        let output = command.output().expect("python3 is needed for this test");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    if !venv.join("complete").exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
        let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/requirements.txt");
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r"]).arg(requirements));
        std::fs::write(venv.join("complete"), "").unwrap();
    }
    python
}

#[tokio::test(flavor = "multi_thread")]
async fn numpy_computes_the_scores_that_are_answered() {
    let directory = tempfile::tempdir().unwrap();
    let model = train(directory.path(), 7).await;
    let answer = Command::new(env!("CARGO_BIN_EXE_recmesh-sidecar"))
        .args(["recommend", "--user", "user6", "-n", "5", "--json", "--model"])
        .arg(&model)
        .output()
        .unwrap();
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    let file = directory.path().join("answer.json");
    std::fs::write(&file, answer.stdout).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scores.py");
    let output = Command::new(python()).arg(script).arg(&model).arg("user6").arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
