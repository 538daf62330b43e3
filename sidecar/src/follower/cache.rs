//! The pod's own copies of snapshots, with a note for each copy that was opened and a marker for
//! each load that has begun.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use model_snapshot::{PrivateDirectory, PrivateFile};
use sidecar_contract::Digest;

use super::load_error::LoadError;
use crate::limits::{CRASH_PAUSE_MAX, CRASH_PAUSE_MIN};

/// Directory of this process in that of the cache, which is the mount of a volume and may belong to
/// another user.
const PRIVATE_DIRECTORY: &str = "snapshots";
const SNAPSHOT_SUFFIX: &str = ".safetensors";
const CATALOGUE_SUFFIX: &str = ".catalogue";
const OPENED_SUFFIX: &str = ".opened";
const MARKER_PREFIX: &str = "loading-";

/// A directory of snapshots that outlives the process (an emptyDir).
#[derive(Clone, Debug)]
pub struct Cache {
    directory: PathBuf,
}

/// Loads of one revision during which the process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// How many there were in a row.
    pub loads: u32,
    /// When the last of them began.
    pub since: SystemTime,
}

impl Crash {
    /// How long the revision is not loaded again: [`CRASH_PAUSE_MIN`] after the first crash, twice
    /// as long after each further one, at most [`CRASH_PAUSE_MAX`].
    pub fn remaining_pause(&self, now: SystemTime) -> Duration {
        let doublings = self.loads.saturating_sub(1).min(u32::BITS - 1);
        let pause = CRASH_PAUSE_MIN.saturating_mul(1 << doublings).min(CRASH_PAUSE_MAX);
        // A clock that was set back must not prolong the pause.
        pause.saturating_sub(now.duration_since(self.since).unwrap_or_default())
    }
}

impl Cache {
    /// A cache in this directory.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.join(PRIVATE_DIRECTORY) }
    }

    /// Creates the directory; returns the file of a snapshot, present or not.
    pub fn prepare(&self, digest: &Digest) -> Result<PrivateFile, LoadError> {
        self.prepare_file(&name(digest))
    }

    /// As [`Self::prepare`], for a catalogue.
    pub fn prepare_catalogue(&self, digest: &Digest) -> Result<PrivateFile, LoadError> {
        self.prepare_file(&format!("{digest}{CATALOGUE_SUFFIX}"))
    }

    fn prepare_file(&self, name: &str) -> Result<PrivateFile, LoadError> {
        let failed = |source| LoadError::Cache { path: self.directory.clone(), source };
        let directory = PrivateDirectory::create(&self.directory).map_err(failed)?;
        directory.file(name).ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))
    }

    fn snapshot(&self, digest: &Digest) -> PathBuf {
        self.directory.join(name(digest))
    }

    /// Whether the snapshot is in the cache.
    pub fn has(&self, digest: &Digest) -> bool {
        self.snapshot(digest).exists()
    }

    /// Writes a marker that a load has begun. It is found if the process ends before
    /// [`Self::unmark`]. `earlier` is the number of loads during which the process ended before.
    pub fn mark(&self, digest: &Digest, earlier: u32) -> Result<(), LoadError> {
        let path = self.marker(digest);
        let loads = earlier.saturating_add(1).to_string();
        fs::write(&path, loads).map_err(|source| LoadError::Cache { path, source })
    }

    /// Removes the marker.
    pub fn unmark(&self, digest: &Digest) {
        remove(&self.marker(digest));
    }

    /// Loads during which an earlier process ended.
    pub fn crashes(&self) -> BTreeMap<Digest, Crash> {
        let crash = |name: String| {
            let digest = Digest::try_from(name.strip_prefix(MARKER_PREFIX)?.to_owned()).ok()?;
            let path = self.directory.join(&name);
            let since = fs::metadata(&path).and_then(|metadata| metadata.modified()).ok()?;
            let loads = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1);
            Some((digest, Crash { loads, since }))
        };
        self.names().into_iter().filter_map(crash).collect()
    }

    /// Notes that the snapshot's bytes hash to its digest, and that it has passed the checks of
    /// this release.
    pub fn note_opened(&self, digest: &Digest) {
        let written = identity(&self.snapshot(digest)).and_then(|identity| fs::write(self.opened(digest), identity));
        if let Err(error) = written {
            tracing::warn!(revision = digest.revision(), %error, "an opened snapshot is not noted; the next start checks it again");
        }
    }

    /// Whether this release has opened the snapshot before, and the file has not changed since.
    pub fn was_opened(&self, digest: &Digest) -> bool {
        let noted = fs::read_to_string(self.opened(digest));
        matches!((noted, identity(&self.snapshot(digest))), (Ok(noted), Ok(found)) if noted == found)
    }

    /// Removes a snapshot.
    pub fn discard(&self, digest: &Digest) {
        remove(&self.snapshot(digest));
        remove(&self.opened(digest));
    }

    /// Removes a catalogue.
    pub fn discard_catalogue(&self, digest: &Digest) {
        remove(&self.directory.join(format!("{digest}{CATALOGUE_SUFFIX}")));
    }

    /// Removes the files of all other revisions and catalogues. A mapped file may be removed: the
    /// mapping stays.
    pub fn retain(&self, kept: &BTreeSet<Digest>) {
        for name in self.names() {
            let digest = name
                .strip_suffix(SNAPSHOT_SUFFIX)
                .or_else(|| name.strip_suffix(OPENED_SUFFIX))
                .or_else(|| name.strip_suffix(CATALOGUE_SUFFIX))
                .or_else(|| name.strip_prefix(MARKER_PREFIX));
            let digest = digest.and_then(|digest| Digest::try_from(digest.to_owned()).ok());
            if digest.is_some_and(|digest| !kept.contains(&digest)) {
                remove(&self.directory.join(name));
            }
        }
    }

    fn marker(&self, digest: &Digest) -> PathBuf {
        self.directory.join(format!("{MARKER_PREFIX}{digest}"))
    }

    fn opened(&self, digest: &Digest) -> PathBuf {
        self.directory.join(format!("{digest}{OPENED_SUFFIX}"))
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }
}

fn name(digest: &Digest) -> String {
    format!("{digest}{SNAPSHOT_SUFFIX}")
}

/// What changes when a file is replaced or written to, or is opened by another release, which may
/// have other checks.
fn identity(path: &Path) -> io::Result<String> {
    let metadata = fs::metadata(path)?;
    let (inode, size) = (metadata.ino(), metadata.size());
    let (seconds, nanoseconds) = (metadata.ctime(), metadata.ctime_nsec());
    Ok(format!("{inode} {size} {seconds}.{nanoseconds} {}", env!("CARGO_PKG_VERSION")))
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(file = %path.display(), %error, "a cached file cannot be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (tempfile::TempDir, Cache, Digest) {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(&directory.path().join("cache"));
        cache.prepare(&Digest::of(b"a")).unwrap();
        (directory, cache, Digest::of(b"a"))
    }

    #[test]
    fn an_opened_file_counts_as_opened_until_it_changes() {
        let (_directory, cache, digest) = cache();
        assert!(!cache.was_opened(&digest));
        fs::write(cache.snapshot(&digest), "content").unwrap();
        assert!(!cache.was_opened(&digest));
        cache.note_opened(&digest);
        assert!(cache.was_opened(&digest));
        fs::write(cache.snapshot(&digest), "another").unwrap();
        assert!(!cache.was_opened(&digest));
        cache.note_opened(&digest);
        cache.discard(&digest);
        assert!(!cache.was_opened(&digest) && cache.names().is_empty());
    }

    #[test]
    fn markers_count_crashes_and_their_pause_grows_to_a_limit() {
        let (_directory, cache, digest) = cache();
        cache.mark(&digest, 0).unwrap();
        assert_eq!(cache.crashes()[&digest].loads, 1);
        cache.mark(&digest, 1).unwrap();
        let crash = cache.crashes()[&digest];
        assert_eq!(crash.loads, 2);
        let after = |loads, seconds| {
            Crash { loads, ..crash }.remaining_pause(crash.since + Duration::from_secs(seconds)).as_secs()
        };
        let minimum = CRASH_PAUSE_MIN.as_secs();
        assert_eq!([after(1, 0), after(2, 0), after(3, 0)], [minimum, 2 * minimum, 4 * minimum]);
        assert_eq!([after(1, minimum - 1), after(1, minimum), after(1, 1 << 40)], [1, 0, 0]);
        assert_eq!(after(u32::MAX, 0), CRASH_PAUSE_MAX.as_secs());
        assert_eq!(Crash { loads: 1, ..crash }.remaining_pause(SystemTime::UNIX_EPOCH), CRASH_PAUSE_MIN);
        cache.unmark(&digest);
        assert!(cache.crashes().is_empty());
    }
}
