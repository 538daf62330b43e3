//! Dependency rules between packages, and rules for source files. Cargo enforces that dependencies
//! are acyclic; these tests report a forbidden dependency with the reason for the rule.

#![allow(clippy::unwrap_used, clippy::panic)] // Tests may panic.

use std::path::{Path, PathBuf};

/// Max lines of a Rust file; a longer file rarely has a single purpose.
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
fn packages_have_no_forbidden_dependencies() {
    let cases: &[(&str, &[&str], &str)] = &[
        (
            "sidecar/factorization",
            &["tokio", "hyper", "serde", "prometheus", "object_store", "tracing", "sidecar-contract"],
            "factorization is a standalone math library without runtime, HTTP, clock, logging, metrics or files",
        ),
        ("sidecar/contract", &["tokio", "kube", "ndarray", "hyper"], "the contract contains only data types"),
        (
            "sidecar/algorithms",
            &["recommender-trainer", "model-snapshot", "tokio", "hyper"],
            "trainer and serving share the definitions, which contain no I/O",
        ),
        (
            "sidecar/scoring",
            &["recommender-trainer", "answering", "tokio", "hyper"],
            "trainer and serving share what makes a scorer",
        ),
        (
            "sidecar/answering",
            &["recommender-trainer", "tokio", "hyper", "kube"],
            "an answer depends on neither HTTP nor Kubernetes",
        ),
        (
            "sidecar/snapshot",
            &["recommender-trainer", "tokio", "kube"],
            "the snapshot reader does not depend on the trainer",
        ),
        (
            "sidecar/tensor-file",
            &["recommender-trainer", "model-snapshot", "catalogue", "tokio", "kube"],
            "the container does not know what its tensors mean",
        ),
        (
            "sidecar/catalogue",
            &["recommender-trainer", "model-snapshot", "answering", "tokio", "kube"],
            "trainer and serving share the catalogue, which depends on neither",
        ),
        (
            "sidecar/mesh",
            &["answering", "model-snapshot", "factorization", "kube", "k8s-openapi", "prometheus"],
            "the mesh knows neither models nor Kubernetes",
        ),
        (
            "sidecar/trainer",
            &["kube", "recommender-crds", "hyper"],
            "training runs without Kubernetes and without an HTTP server",
        ),
        ("sidecar", &["kube", "k8s-openapi", "recommender-crds"], "the sidecar runs without Kubernetes"),
        ("crds", &["tokio", "hyper"], "the API consists of types and has no client"),
        (
            "operator",
            &["factorization", "model-snapshot", "recommender-trainer"],
            "the operator never accesses ratings or factors",
        ),
        (
            "tests",
            &["recommender-operator", "recommender-sidecar", "recommender-store"],
            "end-to-end tests run the binaries",
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
fn source_files_have_module_docs_and_bounded_length() {
    let mut files = Vec::new();
    rust_files(&root(), &mut files);
    assert!(files.len() > 50, "found only {} files", files.len());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(root()).unwrap().display();
        assert!(text.starts_with("//!"), "{name}: expected module docs (//! …) in the first line");
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{name} has {lines} lines; split it, the maximum is {LINES_MAX}");
    }
}
