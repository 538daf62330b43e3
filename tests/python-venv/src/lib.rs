//! Python for tests that compare with it: a virtual environment below target/, made once.
#![allow(clippy::panic)] // Only tests call this, and a test that cannot have its peer has failed.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

/// The interpreter of the environment `directory`, with what the file of requirements names. Made by the first that asks, in
/// this process or another; the others wait.
///
/// # Panics
/// Without python3 or its packages.
pub fn python(directory: &Path, requirements: &Path) -> PathBuf {
    let python = directory.join("bin/python");
    let complete = directory.join("complete");
    let lock = File::create(directory.with_extension("lock")).expect("the directory of tests is writable");
    lock.lock().expect("files can be locked");
    if !complete.exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(directory));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r"]).arg(requirements));
        File::create(complete).expect("the directory of tests is writable");
    }
    python
}

fn run(command: &mut Command) {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; python3 is needed for this test"));
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
