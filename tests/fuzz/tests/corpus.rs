//! Runs every target on its seeds. An input that broke a target is kept as a seed.

#![allow(clippy::unwrap_used)] // Tests may panic.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use fuzz::TARGETS;

fn paths(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

#[test]
fn every_target_passes_on_its_seeds() {
    for (name, target) in TARGETS {
        let seeds = paths(&corpus().join(name));
        let accepted = seeds.iter().filter(|seed| {
            println!("{}", seed.display()); // Shown if the target fails.
            target(&std::fs::read(seed).unwrap())
        });
        // From rejected seeds alone, the code behind the parser is hardly found.
        assert!(accepted.count() > 0, "{name}: no seed is accepted");
    }
}

#[test]
fn targets_have_an_entry_point_and_a_corpus_each() {
    let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let stems = |directory: &Path| -> BTreeSet<String> {
        paths(directory).iter().map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(stems(&corpus()), names);
    assert_eq!(stems(&Path::new(env!("CARGO_MANIFEST_DIR")).join("targets")), names);
}
