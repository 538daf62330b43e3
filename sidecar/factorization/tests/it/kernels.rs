//! Fused multiply-add stays inside kernels. Outside of a function that is compiled for an
//! instruction set with it, `mul_add` is a call of the C library, twenty times slower than a
//! product and a sum.

use std::path::{Path, PathBuf};

/// Functions that are not inlined into a kernel: the form of a kernel of intrinsics for processors
/// without them.
const EXCEPTIONS: [(&str, &str); 1] = [("top_k/kernel.rs", "scalar")];

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Name of a function that begins in this line.
fn function(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let is_declaration = before.split_whitespace().all(|word| {
        word.starts_with("pub")
            || matches!(word, "const" | "unsafe" | "in" | "super)" | "crate)")
            || word.ends_with(')')
    });
    is_declaration.then(|| after.split(['(', '<']).next().unwrap_or(after))
}

/// Functions that call `mul_add` but are not `#[inline(always)]`, as all parts of a kernel are. The
/// tests at the end of a file do not count.
fn calls_outside_kernels(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
    let (mut name, mut is_inlined, mut attributes, mut found) = (String::new(), false, false, Vec::new());
    for line in code.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        if let Some(function) = function(line) {
            (name, is_inlined) = (function.to_owned(), attributes);
        }
        attributes = line == "#[inline(always)]" || (attributes && line.starts_with("#["));
        if line.contains(".mul_add(") && !is_inlined && !found.contains(&name) {
            found.push(name.clone());
        }
    }
    found
}

#[test]
fn mul_add_is_called_in_kernels_only() {
    let sidecar = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for crate_directory in std::fs::read_dir(sidecar).unwrap().map(|entry| entry.unwrap().path()) {
        let sources = if crate_directory.ends_with("src") { crate_directory } else { crate_directory.join("src") };
        if sources.is_dir() {
            rust_files(&sources, &mut files);
        }
    }
    assert!(files.iter().any(|file| file.ends_with("factorization/src/lanes.rs")));
    let mut outside = Vec::new();
    for file in files {
        let functions = calls_outside_kernels(&std::fs::read_to_string(&file).unwrap());
        let is_exception =
            |name: &str| EXCEPTIONS.iter().any(|(path, function)| file.ends_with(path) && name == *function);
        outside.extend(
            functions.iter().filter(|name| !is_exception(name)).map(|name| format!("{}: {name}", file.display())),
        );
    }
    assert!(outside.is_empty(), "write a * b + c, or make it a kernel (simd.rs): {outside:#?}");
}

#[test]
fn calls_outside_kernels_are_found() {
    let text = "
impl Kernel for Sum {
    #[inline(always)]
    #[expect(clippy::x)]
    fn run(self) {
        y.mul_add(x, z);
    }
}
pub(crate) fn slow<T>(x: f64) -> f64 {
    // never.mul_add(
    x.mul_add(x, x)
}
#[cfg(test)]
mod tests {
    fn test() { x.mul_add(x, x) }
}
";
    assert_eq!(calls_outside_kernels(text), ["slow"]);
}
