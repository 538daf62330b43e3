//! `--algorithm auto` on the command line: the model file serves the algorithm that was chosen.

use std::{fmt::Write as _, path::Path, process::Command};

use model_snapshot::Snapshot;
use sidecar_contract::{Algorithm, ExitCode, canonical_json};

/// Runs the binary in a directory; returns exit code, standard output and standard error.
fn run(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_recmesh-sidecar"))
        .current_dir(directory)
        .args(["--log", "error"])
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// 120 users of four groups, each with seven of ten items of the group.
fn write_visits(directory: &Path) {
    let mut visits = "user_id,item_id\n".to_owned();
    for user in 0..120_u32 {
        for item in (0..20).filter(|item| (item * 3 + user / 4) % 10 < 7) {
            writeln!(visits, "user{user},item{}", user % 4 * 20 + item).unwrap();
        }
    }
    std::fs::write(directory.join("visits.csv"), visits).unwrap();
}

const AUTO: [&str; 5] = ["visits.csv", "--algorithm=auto", "--fits=9", "--factors-max=8", "--budget=600"];

#[test]
fn a_chosen_model_is_trained_reported_and_served() {
    let directory = tempfile::tempdir().unwrap();
    write_visits(directory.path());
    let arguments = [&["train"][..], &AUTO, &["--output=model.safetensors", "--report=run.html"]].concat();
    let (code, out, error) = run(directory.path(), &arguments);
    assert_eq!(code, Some(0), "{error}");
    let snapshot = Snapshot::read(&directory.path().join("model.safetensors")).unwrap();
    let algorithm = &snapshot.metadata().algorithm;
    assert!(Algorithm::NAMES.contains(&algorithm.name()), "{algorithm:?}");
    // Three with defaults; of three draws one advances twice, and a fourth would exceed the budget.
    let line = format!("chosen in 8 fits: {}", canonical_json(algorithm));
    assert!(out.lines().any(|found| found == line), "{line} is not in {out}");
    let report = std::fs::read_to_string(directory.path().join("run.html")).unwrap();
    assert!(report.contains("sets of parameters in 8 fits, best first"), "{report}");
    let (code, items, error) = run(directory.path(), &["recommend", "--user=user1", "-n", "3", "--json"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(items.contains("item"), "{items}");
    // The table of the same search marks the same choice, and the resource states it.
    let (code, table, error) = run(directory.path(), &[&["tune"][..], &AUTO].concat());
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(table.lines().filter(|line| line.ends_with("  chosen")).count(), 1, "{table}");
    assert!(table.contains(&format!("  algorithm:\n    {}:\n", algorithm.name())), "{table}");
}

#[test]
fn a_model_that_is_too_large_for_any_algorithm_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut visits = "user_id,item_id\n".to_owned();
    // 30,000 users with 8 factors of 4 bytes, and their ids, are more than 1 MiB.
    for user in 0..30_000 {
        writeln!(visits, "user{user},item{}", user % 50).unwrap();
    }
    std::fs::write(directory.path().join("visits.csv"), visits).unwrap();
    let arguments = [&["train"][..], &AUTO, &["--model-mib-max=1"]].concat();
    let (code, _, error) = run(directory.path(), &arguments);
    assert_eq!(code, Some(i32::from(ExitCode::OutOfCapacity.code())), "{error}");
    assert!(error.contains("spec.algorithm.auto can try no algorithm, even with 8 factors"), "{error}");
    assert!(!directory.path().join("model.safetensors").exists());
}
