//! Python virtual environments for tests that compare with Python packages. They are created once,
//! below target/.
#![allow(clippy::panic)] // Only tests use this crate; without Python they must fail.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

/// Returns the Python interpreter of the environment in `directory`, with the packages of a
/// requirements file. The first caller, in any process, creates the environment; concurrent callers
/// wait.
///
/// # Panics
/// If python3 is missing or the packages cannot be installed.
pub fn python(directory: &Path, requirements: &Path) -> PathBuf {
    let python = directory.join("bin/python");
    let complete = directory.join("complete");
    let lock = File::create(directory.with_extension("lock")).expect("the parent of the environment is writable");
    lock.lock().expect("the file system supports locks");
    if !complete.exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(directory));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r"]).arg(requirements));
        File::create(complete).expect("the parent of the environment is writable");
    }
    python
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; this test requires python3"));
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
