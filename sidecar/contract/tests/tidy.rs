//! The architecture's arrows in words, and a few habits. Cargo enforces the arrows; this says which one is broken and why it
//! is there.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may fail loudly.

use std::path::{Path, PathBuf};

/// Longest Rust file, in lines: beyond it, a file rarely holds one idea.
const LINES_MAX: usize = 700;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Names under `[dependencies]` of a package.
fn dependencies(package: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap();
    let section = text.split("\n[").find(|section| section.starts_with("dependencies]")).unwrap();
    section
        .lines()
        .skip(1)
        .filter_map(|line| Some(line.split(['.', '=']).next()?.trim().to_owned()))
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn arrows_point_one_way() {
    let cases: &[(&str, &[&str], &str)] = &[
        (
            "sidecar/factorization",
            &["tokio", "hyper", "serde", "prometheus", "object_store", "tracing", "sidecar-contract"],
            "the mathematics is a library by itself: no runtime, HTTP, clock, logging, metrics or files",
        ),
        ("sidecar/contract", &["tokio", "kube", "ndarray", "hyper"], "the contract is data that both sides can read"),
        (
            "sidecar/snapshot",
            &["recommender-trainer", "tokio", "kube"],
            "the reader of snapshots knows nothing of the trainer",
        ),
        (
            "sidecar/trainer",
            &["kube", "recommender-crds", "hyper"],
            "training runs without Kubernetes and without HTTP doors",
        ),
        ("sidecar", &["kube", "k8s-openapi", "recommender-crds"], "the sidecar runs without Kubernetes"),
        ("crds", &["tokio", "hyper"], "the API is types; it has no client"),
        (
            "operator",
            &["factorization", "model-snapshot", "recommender-trainer"],
            "the operator never touches ratings or factors",
        ),
        (
            "tests",
            &["recommender-operator", "recommender-sidecar", "recommender-store"],
            "end-to-end tests speak to processes",
        ),
    ];
    for (package, forbidden, why) in cases {
        for name in dependencies(package) {
            assert!(!forbidden.contains(&name.as_str()), "{package} depends on {name}: {why}");
        }
    }
}

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_file_says_what_it_owns_and_stays_readable() {
    let mut files = Vec::new();
    rust_files(&root(), &mut files);
    assert!(files.len() > 50, "the walk found only {} files", files.len());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(root()).unwrap().display();
        assert!(text.starts_with("//!"), "{name}: the first line says what the file owns (//! …)");
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{name}: {lines} lines; split it at its second idea");
    }
}
