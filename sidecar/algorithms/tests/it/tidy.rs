//! The files that name an algorithm. All others must treat algorithms alike: a new algorithm is
//! then added in these files, and in files of its own. CONTRIBUTING.md has the steps.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Names that stand for all: they are no part of another word.
const NAMES: [&str; 2] = ["bpr", "svd"];

/// Production files that may name an algorithm, and why.
const ALLOWED: [(&str, &str); 9] = [
    ("crds/src/algorithm.rs", "fields of the resource"),
    ("crds/src/rules.rs", "admission rules"),
    ("sidecar/algorithms/src/lib.rs", "the list of definitions"),
    ("sidecar/algorithms/src/{name}.rs", "the definition"),
    ("sidecar/contract/src/algorithm.rs", "parameters on the wire, and their defaults"),
    ("sidecar/factorization/src/algorithm.rs", "the list of fits"),
    ("sidecar/factorization/src/algorithm/{name}.rs", "the fit"),
    ("sidecar/factorization/src/params.rs", "checked parameters"),
    ("sidecar/src/args/values.rs", "command-line options"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Adds the Rust files below a directory, except for tests, examples and benchmarks.
fn production_files(directory: &Path, found: &mut Vec<PathBuf>) {
    const SKIPPED: [&str; 4] = ["target", "tests", "examples", "benches"];
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() && !name.starts_with('.') && !SKIPPED.contains(&name.as_str()) {
            production_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

/// Whether a file has one of the names as a word. Documentation may use names as terms, and tests
/// at the end of a file may use any algorithm.
fn names_an_algorithm(text: &str) -> bool {
    let code = text.split("#[cfg(test)]\n").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut words = lines.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    words.any(|word| NAMES.contains(&word.to_ascii_lowercase().as_str()))
}

#[test]
fn only_listed_files_name_an_algorithm() {
    let allowed: BTreeSet<String> =
        ALLOWED.iter().flat_map(|(file, _)| NAMES.map(|name| file.replace("{name}", name))).collect();
    let mut files = Vec::new();
    production_files(&root(), &mut files);
    assert!(files.len() > 100, "found only {} files", files.len());
    let naming: BTreeSet<String> = files
        .into_iter()
        .filter(|file| names_an_algorithm(&std::fs::read_to_string(file).unwrap()))
        .map(|file| file.strip_prefix(root()).unwrap().to_string_lossy().into_owned())
        .collect();
    let unexpected: Vec<_> = naming.difference(&allowed).collect();
    assert!(
        unexpected.is_empty(),
        "{unexpected:?} name an algorithm: use algorithms::definition or a method of Algorithm, or list the file here and \
         in the recipe of CONTRIBUTING.md"
    );
    let stale: Vec<_> = allowed.difference(&naming).collect();
    assert!(stale.is_empty(), "{stale:?} name no algorithm any more: remove them from the list");
}

#[test]
fn names_are_found_in_code_and_not_in_comments_or_other_words() {
    for (text, found) in [
        ("Algorithm::Bpr(_) => 1,", true),
        ("const NAME: &str = \"svd\";", true),
        ("// Faster than svd.\nlet x = 1;", false),
        ("use factorization::BprParams;", false),
        ("let x = 1;\n#[cfg(test)]\nmod tests { fn svd() {} }", false),
    ] {
        assert_eq!(names_an_algorithm(text), found, "{text}");
    }
}
