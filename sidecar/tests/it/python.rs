//! A snapshot is a standard safetensors file: Python opens it, and numpy computes the scores that
//! the binary returns.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use sidecar_contract::{Algorithm, AlsConfig};

use crate::model::{train, train_ratings};

/// Python with numpy and safetensors, in a virtual environment below target/.
fn python() -> PathBuf {
    python_venv::python(
        &Path::new(env!("CARGO_TARGET_TMPDIR")).join("safetensors-venv"),
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/requirements.txt"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn numpy_computes_the_recommended_scores() {
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
    run_script("scores.py", &[model.as_os_str(), "user6".as_ref(), file.as_os_str()]);
}

fn run_script(name: &str, arguments: &[&std::ffi::OsStr]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    let output = Command::new(python()).arg(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn numpy_reproduces_an_iteration_of_explicit_als() {
    let directory = tempfile::tempdir().unwrap();
    let als = AlsConfig {
        factors: 5,
        iterations: 1,
        regularization: Some(0.06),
        regularization_exponent: 0.9,
        ..AlsConfig::WIRE_DEFAULT
    };
    let (model, trained) = train_ratings(directory.path(), Algorithm::Als(als)).await;
    let objective = format!("{:?}", trained.trained.objective[0]);
    run_script(
        "explicit_als.py",
        &[directory.path().join("ratings.csv").as_os_str(), model.as_os_str(), objective.as_ref()],
    );
}
