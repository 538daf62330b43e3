//! Imports between the files of `src`: none goes in a circle, and pure files import pure files
//! only. A module and its own children may import each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Pure files, with the files below them: no client, no store, no clock, no wait. They get what
/// they need as arguments.
const PURE: [&str; 19] = [
    "applied",
    "args",
    "child_kind",
    "decide",
    "desired",
    "error",
    "finalizer",
    "identity",
    "inject",
    "installation",
    "memory_quantity",
    "names",
    "notice",
    "observed",
    "received",
    "schedule",
    "status",
    "store_scope",
    "validate",
];

/// Words that a pure file must not contain.
const IO: [&str; 9] = ["await", "async", "tokio", "reqwest", "store_client", "runtime", "Api<", "Client", "now()"];

/// Source texts by module: `decide::due`, or an empty string for the crate root.
type Sources = BTreeMap<String, String>;

#[test]
fn no_imports_go_in_a_circle() {
    assert_eq!(circle(&sources()), None);
}

#[test]
fn pure_files_import_pure_files_only() {
    let sources = sources();
    for pure in PURE {
        assert!(sources.contains_key(pure), "{pure} does not exist");
    }
    assert_eq!(impurities(&sources), [""; 0]);
}

#[test]
fn circles_are_found_through_children_and_reexports() {
    let sources =
        |files: &[(&str, &str)]| files.iter().map(|(m, text)| ((*m).to_owned(), (*text).to_owned())).collect();
    let plain: Sources = sources(&[("a", "use crate::b::B;"), ("b", "use crate::{c, a::A};"), ("c", "")]);
    assert_eq!(circle(&plain).unwrap(), ["a", "b", "a"]);
    let inline: Sources = sources(&[("a", "fn f() { crate::b::g() }"), ("b", "use crate::a;")]);
    assert_eq!(circle(&inline).unwrap(), ["a", "b", "a"]);
    let below: Sources = sources(&[("a", ""), ("a::x", "use crate::b::B;"), ("b", ""), ("b::y", "use crate::a::A;")]);
    assert_eq!(circle(&below).unwrap(), ["a", "b", "a"]);
    let siblings: Sources = sources(&[
        ("a", "mod x; mod y; pub use self::{x::X, y::{Y, z}};"),
        ("a::x", "use super::Y;"),
        ("a::y", "use super::{A, X};"),
    ]);
    assert_eq!(circle(&siblings).unwrap(), ["a::x", "a::y", "a::x"]);
    let family: Sources = sources(&[("a", "use self::x::X;"), ("a::x", "use super::A;"), ("b", "// use crate::a\n")]);
    assert_eq!(circle(&family), None);
}

#[test]
fn impurities_are_found() {
    let text = "use crate::{context::Context, names};\nfn f() { let now = Timestamp::now(); }\n";
    let sources = [("decide::due", text), ("context", ""), ("names", "")];
    let sources: Sources = sources.iter().map(|(m, text)| ((*m).to_owned(), (*text).to_owned())).collect();
    assert_eq!(impurities(&sources), ["decide::due imports context", "decide::due contains now()"]);
}

/// The sources of the operator without its unit tests.
fn sources() -> Sources {
    fn read(directory: &Path, module: &str, sources: &mut Sources) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            let child = if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") };
            if path.is_dir() {
                read(&path, &child, sources);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let child = if child == "lib" { String::new() } else { child };
                sources.insert(child, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut sources = Sources::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut sources);
    sources.retain(|module, _| !module.split("::").any(|name| name == "tests"));
    // `main` is another crate: the program around the library.
    sources.remove("main");
    sources.into_iter().map(|(module, text)| (module, code(&text))).collect()
}

/// The text without comments, and without the unit tests at its end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// What pure files import or contain that is not pure.
fn impurities(sources: &Sources) -> Vec<String> {
    let is_pure = |module: &str| PURE.contains(&module.split("::").next().unwrap());
    let mut impurities = Vec::new();
    for (module, text) in sources.iter().filter(|(module, _)| is_pure(module)) {
        let imported = imports(sources, module).into_iter().filter(|imported| !is_pure(imported));
        impurities.extend(imported.map(|imported| format!("{module} imports {imported}")));
        let found = IO.iter().filter(|word| contains_word(text, word));
        impurities.extend(found.map(|io| format!("{module} contains {io}")));
    }
    impurities
}

fn contains_word(text: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(start, _)| {
        let (before, after) = (text[..start].chars().next_back(), text[start + word.len()..].chars().next());
        !before.is_some_and(is_name) && !after.is_some_and(is_name)
    })
}

/// A circle of imports. An import counts between the two siblings that contain its ends, so that
/// there is none between a module and its own children.
fn circle(sources: &Sources) -> Option<Vec<String>> {
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for module in sources.keys() {
        for imported in imports(sources, module) {
            if let Some((from, to)) = siblings(module, &imported) {
                edges.entry(from).or_default().insert(to);
            }
        }
    }
    let mut done = BTreeSet::new();
    edges.keys().find_map(|start| search(&edges, start, &mut Vec::new(), &mut done))
}

fn search(
    edges: &BTreeMap<String, BTreeSet<String>>,
    module: &str,
    path: &mut Vec<String>,
    done: &mut BTreeSet<String>,
) -> Option<Vec<String>> {
    if let Some(position) = path.iter().position(|before| before == module) {
        let mut circle = path[position..].to_vec();
        circle.push(module.to_owned());
        return Some(circle);
    }
    if done.contains(module) {
        return None;
    }
    path.push(module.to_owned());
    let found = edges.get(module).into_iter().flatten().find_map(|next| search(edges, next, path, done));
    path.pop();
    done.insert(module.to_owned());
    found
}

/// The ancestors of two modules that have the same parent; `None` if one contains the other.
fn siblings(from: &str, to: &str) -> Option<(String, String)> {
    let (from, to): (Vec<&str>, Vec<&str>) = (from.split("::").collect(), to.split("::").collect());
    let common = from.iter().zip(&to).take_while(|(x, y)| x == y).count();
    let is_inside = common == from.len() || common == to.len();
    (!is_inside).then(|| (from[..=common].join("::"), to[..=common].join("::")))
}

/// The modules that a module imports.
fn imports(sources: &Sources, module: &str) -> BTreeSet<String> {
    let text = code(&sources[module]);
    let mut paths = used_paths(&text);
    paths.extend(inline_paths(&text));
    let targets = paths.iter().filter_map(|path| resolve(sources, module, path, 0));
    targets.filter(|target| target != module && !target.is_empty()).collect()
}

/// The module in which the last name of a path is defined; `None` for another crate.
fn resolve(sources: &Sources, module: &str, path: &[String], depth: usize) -> Option<String> {
    let mut current = module.to_owned();
    let mut rest = path;
    match path.first().map(String::as_str)? {
        "crate" => current = String::new(),
        "self" => {}
        "super" => current = parent(&current),
        first if sources.contains_key(&join(&current, first)) => current = join(&current, first),
        _ => return None,
    }
    rest = &rest[1..];
    while let Some((name, after)) = rest.split_first() {
        if name == "super" {
            current = parent(&current);
        } else if sources.contains_key(&join(&current, name)) {
            current = join(&current, name);
        } else {
            // An item: defined here, or imported from another module.
            let reexported = used_paths(&code(&sources[&current])).into_iter().find(|path| path.last() == Some(name));
            let reexported = reexported.filter(|_| depth < 8 && current != module);
            let target = reexported.and_then(|path| resolve(sources, &current, &path, depth + 1));
            return Some(target.unwrap_or(current));
        }
        rest = after;
    }
    Some(current)
}

fn join(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}

fn parent(module: &str) -> String {
    module.rsplit_once("::").map(|(parent, _)| parent.to_owned()).unwrap_or_default()
}

/// The paths of all `use` declarations.
fn used_paths(text: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for declaration in text.split(';') {
        let start = declaration.rfind("use ").filter(|start| {
            let before = declaration[..*start].trim_end();
            before.is_empty() || before.ends_with(['}', ']', ')', '{']) || before.ends_with("pub")
        });
        if let Some(start) = start {
            expand(&mut Vec::new(), declaration[start + 4..].trim(), &mut paths);
        }
    }
    paths
}

/// Expands a use tree: `a::{b, c::d}` to `a::b` and `a::c::d`.
fn expand(prefix: &mut Vec<String>, tree: &str, paths: &mut Vec<Vec<String>>) {
    let length = prefix.len();
    let (head, group) = match tree.split_once('{') {
        Some((head, group)) => (head.trim_end_matches("::"), Some(group.trim_end().trim_end_matches('}'))),
        None => (tree, None),
    };
    let names = head.split("::").map(|name| name.split(" as ").next().unwrap_or_default().trim());
    prefix.extend(names.filter(|name| !name.is_empty()).map(str::to_owned));
    match group {
        Some(group) => split_group(group).into_iter().for_each(|tree| expand(prefix, tree, paths)),
        None => paths.push(prefix.iter().filter(|name| *name != "*").cloned().collect()),
    }
    prefix.truncate(length);
}

/// Splits at the commas that are outside of inner groups.
fn split_group(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0_usize, 0, Vec::new());
    for (index, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&group[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[start..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// Paths in expressions and types that begin with `crate::` or `super::`.
fn inline_paths(text: &str) -> Vec<Vec<String>> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words =
        text.split(|c: char| !is_name(c)).filter(|word| word.starts_with("crate::") || word.starts_with("super::"));
    words.map(|word| word.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect()).collect()
}
