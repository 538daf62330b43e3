//! The pod's own copies of snapshots, and markers of those that are being loaded.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use sidecar_contract::Digest;

use super::LoadError;

const SNAPSHOT_SUFFIX: &str = ".safetensors";
const MARKER_PREFIX: &str = "loading-";

/// A directory of verified snapshots that outlives the process (an emptyDir).
#[derive(Clone, Debug)]
pub struct Cache {
    directory: PathBuf,
}

impl Cache {
    /// A cache in this directory.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Makes the directory.
    pub fn prepare(&self) -> Result<(), LoadError> {
        fs::create_dir_all(&self.directory).map_err(|source| LoadError::Cache { path: self.directory.clone(), source })
    }

    /// Where a snapshot is, or will be.
    pub fn snapshot(&self, digest: &Digest) -> PathBuf {
        self.directory.join(format!("{digest}{SNAPSHOT_SUFFIX}"))
    }

    /// Notes that a snapshot is being loaded; the note is found if the process dies of it.
    pub fn mark(&self, digest: &Digest) -> Result<(), LoadError> {
        let path = self.marker(digest);
        fs::write(&path, b"").map_err(|source| LoadError::Cache { path, source })
    }

    /// Takes the note back.
    pub fn unmark(&self, digest: &Digest) {
        remove(&self.marker(digest));
    }

    /// Snapshots whose loading killed an earlier process.
    pub fn markers(&self) -> BTreeSet<Digest> {
        let digest = |name: String| Digest::try_from(name.strip_prefix(MARKER_PREFIX)?.to_owned()).ok();
        self.names().into_iter().filter_map(digest).collect()
    }

    /// Forgets a snapshot.
    pub fn discard(&self, digest: &Digest) {
        remove(&self.snapshot(digest));
    }

    /// Removes snapshots and notes that nobody wants any more. A mapped file may be removed: the mapping stays.
    pub fn keep_only(&self, wanted: &BTreeSet<Digest>) {
        for name in self.names() {
            let digest = name.strip_suffix(SNAPSHOT_SUFFIX).or_else(|| name.strip_prefix(MARKER_PREFIX));
            let digest = digest.and_then(|digest| Digest::try_from(digest.to_owned()).ok());
            if digest.is_some_and(|digest| !wanted.contains(&digest)) {
                remove(&self.directory.join(name));
            }
        }
    }

    fn marker(&self, digest: &Digest) -> PathBuf {
        self.directory.join(format!("{MARKER_PREFIX}{digest}"))
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(file = %path.display(), %error, "a cached file cannot be removed");
    }
}
