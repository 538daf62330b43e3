//! Sources of rows: one or more files on a volume or in a bucket, with a version that changes when
//! the data changes.

mod file;
mod object;

use std::{io::Read, path::Path, sync::Arc};

use bytes::Bytes;
use sidecar_contract::{Digest, Source as SourceConfig};
use store_client::{BucketSecret, Scheme};

use crate::failure::{FailureReason, RunError};

/// Maximum number of files in one source.
pub(crate) const FILES_MAX: usize = 100_000;

/// Directories that mark a table format with its own metadata: its files also contain deleted rows.
const TABLES: [(&str, &str); 2] = [("_delta_log", "Delta"), (".hoodie", "Hudi")];

/// A source of a supported type.
pub(crate) struct Source {
    backend: SourceBackend,
    /// Name of the source in messages, in the user's terms.
    pub(crate) described_as: String,
}

enum SourceBackend {
    Files(file::FileSource),
    Objects(object::ObjectSource),
}

/// Result of a stat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Digest that changes when the data changes.
    pub(crate) version: Digest,
    pub(crate) size_bytes: u64,
    /// The files, in reading order.
    pub(crate) parts: Vec<Part>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Path or key.
    pub(crate) name: String,
    /// Name of the file in messages.
    pub(crate) described_as: String,
    pub(crate) size_bytes: u64,
}

/// Random access to a file. Calls block.
pub(crate) trait ReadAt: Send + Sync {
    fn size_bytes(&self) -> u64;
    /// Returns exactly `length` bytes; the range must be inside the file.
    fn read_at(&self, start: u64, length: usize) -> Result<Bytes, RunError>;
}

impl Source {
    /// `spec_field` is the field of the resource that sets the source. Files below `data_dir` are
    /// mounted by Kubernetes.
    pub(crate) fn new(
        config: &SourceConfig,
        spec_field: &'static str,
        data_dir: &Path,
        secret: Option<&BucketSecret>,
    ) -> Result<Self, RunError> {
        let SourceConfig { url, described_as } = config;
        let described_as = if described_as.is_empty() { url.clone() } else { described_as.clone() };
        let backend = if let Some(path) = url.strip_prefix("file://") {
            SourceBackend::Files(file::FileSource::new(path, data_dir, spec_field))
        } else if let Some(scheme) = Scheme::of(url) {
            SourceBackend::Objects(object::ObjectSource::new(scheme, url, &described_as, spec_field, secret)?)
        } else {
            return Err(RunError::permanent(
                FailureReason::NotSupported,
                format!("{spec_field}.url is {url:?}: expected s3://, gs://, az://, https:// or http://"),
            ));
        };
        Ok(Self { backend, described_as })
    }

    pub(crate) async fn stat(&self) -> Result<Stat, RunError> {
        match &self.backend {
            SourceBackend::Files(files) => files.stat(&self.described_as),
            SourceBackend::Objects(objects) => objects.stat(&self.described_as).await,
        }
    }

    /// Opens a part for sequential reads. Reads block; an error of the source wraps a [`RunError`].
    pub(crate) fn open(&self, part: &Part) -> Result<Box<dyn Read>, RunError> {
        match &self.backend {
            SourceBackend::Files(files) => files.open(part),
            SourceBackend::Objects(objects) => objects.open(part),
        }
    }

    /// Opens a part for random access.
    pub(crate) fn open_at(&self, part: &Part) -> Result<Arc<dyn ReadAt>, RunError> {
        match &self.backend {
            SourceBackend::Files(files) => files.open_at(part),
            SourceBackend::Objects(objects) => Ok(objects.open_at(part)),
        }
    }
}

/// Whether a file below a prefix or directory is data: it is not empty, and no segment of its path
/// is marked as hidden. Spark and Hive mark auxiliary files this way. `path` is relative. A
/// partition (`_day=1`) is data; the list of files that Redshift writes (`manifest`,
/// `visits_manifest`) is not.
fn is_data(path: &str, size_bytes: u64) -> bool {
    let hidden = |part: &str| part.starts_with('.') || (part.starts_with('_') && !part.contains('='));
    let is_manifest = path.rsplit(['/', '_', '.']).next() == Some("manifest");
    size_bytes > 0 && !is_manifest && !path.split('/').any(hidden)
}

/// Rejects a path that belongs to a table that must not be read file by file.
fn reject_tables(path: &str, described_as: &str) -> Result<(), RunError> {
    match TABLES.iter().find(|(mark, _)| path.split('/').any(|part| part == *mark)) {
        None => Ok(()),
        Some((mark, what)) => Err(RunError::bad_data(format!(
            "{described_as} is a {what} table (it contains {mark}): its files also contain rows that were deleted from the table. \
             Export it as plain Parquet and read the export"
        ))),
    }
}

fn too_many_files(described_as: &str) -> RunError {
    RunError::permanent(
        FailureReason::CapacityInsufficient,
        format!(
            "{described_as} has more than {FILES_MAX} files, the maximum for one source. Write fewer, larger files"
        ),
    )
}

fn no_files(described_as: &str) -> RunError {
    not_found(format!(
        "there is no data below {described_as}: empty files and manifests are ignored, and so are paths with a segment that starts \
         with _ or a dot"
    ))
}

fn not_found(message: String) -> RunError {
    RunError::permanent(FailureReason::SourceNotFound, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auxiliary_files_of_spark_are_not_data() {
        for name in ["part-0000.csv", "day=1/part-0000.parquet", "_day=1/part-0000.parquet", "a b/ü.csv"] {
            assert!(is_data(name, 1), "{name}");
        }
        for name in [
            "_SUCCESS",
            "_temporary/0/part-0000.csv",
            ".part-0000.csv.crc",
            "_metadata",
            "day=1/_committed_1",
            "a/.b/c.csv",
            "manifest",
            "2024/visits_manifest",
        ] {
            assert!(!is_data(name, 1), "{name}");
        }
        assert!(!is_data("part-0000.csv", 0));
        assert!(reject_tables("part-0000.parquet", "it").is_ok());
        assert!(reject_tables("_delta_log/0000.json", "it").unwrap_err().to_string().contains("Delta"));
    }
}
