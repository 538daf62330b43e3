//! Files of a crate import each other without cycles. A module and its children count as one place:
//! `a.rs` may import from `a/b.rs`, and `a/b.rs` from `a.rs`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// Source folders of all crates.
const CRATES: [&str; 16] = [
    "crds",
    "operator",
    "operator/store",
    "sidecar",
    "sidecar/algorithms",
    "sidecar/answering",
    "sidecar/catalogue",
    "sidecar/contract",
    "sidecar/factorization",
    "sidecar/mesh",
    "sidecar/report",
    "sidecar/scoring",
    "sidecar/snapshot",
    "sidecar/store-client",
    "sidecar/tensor-file",
    "sidecar/trainer",
];

type Module = Vec<String>;
type Imports = BTreeMap<Module, BTreeSet<Module>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Text of each module of a crate; the crate root has the empty name.
fn modules(source: &Path) -> BTreeMap<Module, String> {
    fn read(directory: &Path, prefix: &Module, found: &mut BTreeMap<Module, String>) {
        for entry in std::fs::read_dir(directory).unwrap().flatten() {
            let name = entry.path().file_stem().unwrap().to_str().unwrap().to_owned();
            let module: Module = prefix.iter().cloned().chain([name.clone()]).collect();
            if entry.path().is_dir() {
                read(&entry.path(), &module, found);
            } else if name == "lib" && prefix.is_empty() {
                found.insert(Vec::new(), std::fs::read_to_string(entry.path()).unwrap());
            } else if name != "main" && name != "tests" && entry.path().extension().is_some_and(|e| e == "rs") {
                found.insert(module, std::fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    read(source, &Vec::new(), &mut found);
    found
}

/// Paths in the code of a module that begin with `crate`, `super` or `self`, with the groups of
/// `use` declarations expanded, as absolute module paths.
fn paths(module: &Module, text: &str) -> Vec<Module> {
    let code = text.split("#[cfg(test)]").next().unwrap();
    let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                continue;
            }
            expand(&code[at..], &Vec::new(), &mut found);
        }
    }
    found.iter().filter_map(|path| absolute(module, path)).collect()
}

/// Adds the paths of the tree at the beginning of a text, and returns what follows it.
fn expand<'a>(text: &'a str, prefix: &Module, found: &mut Vec<Module>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = expand(rest, prefix, found).trim_start();
            rest = match rest.strip_prefix(',') {
                Some(more) if more.trim_start().starts_with('}') => return &more.trim_start()[1..],
                Some(more) => more,
                None => return rest.strip_prefix('}').unwrap_or(rest),
            };
        }
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let path: Module = prefix.iter().cloned().chain([name.to_owned()]).collect();
    match rest.strip_prefix("::") {
        Some(more) if !name.is_empty() => expand(more, &path, found),
        _ => {
            found.push(path);
            rest.trim_start().strip_prefix("as ").map_or(rest, |alias| {
                &alias[alias.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(alias.len())..]
            })
        }
    }
}

fn absolute(module: &Module, path: &Module) -> Option<Module> {
    let (first, rest) = path.split_first()?;
    let base = match first.as_str() {
        "crate" => Vec::new(),
        "self" => module.clone(),
        "super" => module.split_last()?.1.to_vec(),
        _ => return None,
    };
    let mut absolute = base;
    for name in rest {
        if name == "super" {
            absolute.pop();
        } else {
            absolute.push(name.clone());
        }
    }
    Some(absolute)
}

fn imports(source: &Path) -> Imports {
    let modules = modules(source);
    let file_of = |path: &Module| (0..=path.len()).rev().map(|n| path[..n].to_vec()).find(|m| modules.contains_key(m));
    let is_family = |x: &Module, y: &Module| x.starts_with(y) || y.starts_with(x);
    modules
        .iter()
        .map(|(module, text)| {
            let imported = paths(module, text).iter().filter_map(file_of).filter(|m| !is_family(m, module)).collect();
            (module.clone(), imported)
        })
        .collect()
}

/// A cycle, if there is one: a path from a module back to it.
fn cycle(imports: &Imports) -> Option<Vec<String>> {
    let name = |module: &Module| module.join("/");
    for start in imports.keys() {
        let (mut came_from, mut queue) = (BTreeMap::<&Module, &Module>::new(), vec![start]);
        while let Some(module) = queue.pop() {
            for next in imports.get(module).into_iter().flatten() {
                if next == start {
                    let mut path = vec![name(start)];
                    let mut at = module;
                    while at != start {
                        path.push(name(at));
                        at = came_from[at];
                    }
                    path.push(name(start));
                    path.reverse();
                    return Some(path);
                }
                if !came_from.contains_key(next) {
                    came_from.insert(next, module);
                    queue.push(next);
                }
            }
        }
    }
    None
}

#[test]
fn no_crate_has_an_import_cycle_between_files() {
    let cycle_of = |name: &&str| {
        let cycle = cycle(&imports(&root().join(name).join("src")))?;
        Some(format!("{name}/src: {}", cycle.join(" → ")))
    };
    let cycles: Vec<String> = CRATES.iter().filter_map(cycle_of).collect();
    assert!(cycles.is_empty(), "move what both files need into a file of its own:\n{}", cycles.join("\n"));
}

#[test]
fn nested_groups_are_expanded_and_cycles_are_found() {
    let module = |name: &str| name.split('/').map(str::to_owned).collect::<Module>();
    let text = "use super::{b::{C, d::{E as F, G}}, h};\nfn f() { crate::x::y(); $crate::no() }\n// crate::comment";
    let mut found = paths(&module("p/q"), text);
    found.sort();
    assert_eq!(found, ["p/b/C", "p/b/d/E", "p/b/d/G", "p/h", "x/y"].map(module));
    let graph = |edges: &[(&str, &str)]| {
        let mut imports = Imports::new();
        for (from, to) in edges {
            imports.entry(module(from)).or_default().insert(module(to));
            imports.entry(module(to)).or_default();
        }
        imports
    };
    assert_eq!(cycle(&graph(&[("a", "b"), ("b", "c"), ("a", "c")])), None);
    assert_eq!(cycle(&graph(&[("a", "b"), ("b", "c"), ("c", "b")])).unwrap().len(), 3);
}
