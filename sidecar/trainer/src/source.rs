//! Where rows come from: one file or many, on a volume or in a bucket; and the version that says whether they moved.

mod file;
mod object;

use std::{io::Read, path::Path, sync::Arc};

use bytes::Bytes;
use sidecar_contract::{Digest, Source as SourceConfig};
use store_client::{BucketSecret, Scheme};

use crate::failure::{FailureReason, Stop};

/// Most files of one source.
pub(crate) const FILES_MAX: usize = 100_000;

/// Places below which there is a table in a form of its own: reading all of its files would read rows that it has deleted.
const TABLES: [(&str, &str); 2] = [("_delta_log", "Delta"), (".hoodie", "Hudi")];

/// A source that was found to be of a kind that is read.
pub(crate) struct Source {
    place: Place,
    /// In the user's own words.
    pub(crate) described_as: String,
}

enum Place {
    Files(file::FileSource),
    Objects(object::ObjectSource),
}

/// What stat says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Changes when the data changes.
    pub(crate) version: Digest,
    pub(crate) size_bytes: u64,
    /// What there is to read, in this order.
    pub(crate) parts: Vec<Part>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Path or key.
    pub(crate) name: String,
    /// What to call it in messages.
    pub(crate) described_as: String,
    pub(crate) size_bytes: u64,
}

/// A file that is read at any place. Calls block.
pub(crate) trait ReadAt: Send + Sync {
    fn size_bytes(&self) -> u64;
    /// Exactly `length` bytes; they are inside the file.
    fn read_at(&self, start: u64, length: usize) -> Result<Bytes, Stop>;
}

impl Source {
    /// `spec_field` is what the user would change; files below `data_dir` are mounted by Kubernetes.
    pub(crate) fn new(
        config: &SourceConfig,
        spec_field: &'static str,
        data_dir: &Path,
        secret: Option<&BucketSecret>,
    ) -> Result<Self, Stop> {
        let SourceConfig { url, described_as } = config;
        let described_as = if described_as.is_empty() { url.clone() } else { described_as.clone() };
        let place = if let Some(path) = url.strip_prefix("file://") {
            Place::Files(file::FileSource::new(path, data_dir, spec_field))
        } else if let Some(scheme) = Scheme::of(url) {
            Place::Objects(object::ObjectSource::new(scheme, url, &described_as, spec_field, secret)?)
        } else {
            return Err(Stop::failed(
                FailureReason::NotSupported,
                format!("{spec_field}.url is {url:?}: expected s3://, gs://, az://, https:// or http://"),
            ));
        };
        Ok(Self { place, described_as })
    }

    pub(crate) async fn stat(&self) -> Result<Stat, Stop> {
        match &self.place {
            Place::Files(files) => files.stat(&self.described_as),
            Place::Objects(objects) => objects.stat(&self.described_as).await,
        }
    }

    /// The bytes of a part in order. Reading blocks; an error of the source holds a [`Stop`].
    pub(crate) fn open(&self, part: &Part) -> Result<Box<dyn Read>, Stop> {
        match &self.place {
            Place::Files(files) => files.open(part),
            Place::Objects(objects) => objects.open(part),
        }
    }

    /// A part at any place.
    pub(crate) fn open_at(&self, part: &Part) -> Result<Arc<dyn ReadAt>, Stop> {
        match &self.place {
            Place::Files(files) => files.open_at(part),
            Place::Objects(objects) => Ok(objects.open_at(part)),
        }
    }
}

/// Whether a file below a prefix or directory is data: not marked hidden in any part of its path, as Spark and Hive mark
/// what is none, and not empty. `path` is relative. A partition (`_day=1`) is data.
fn is_data(path: &str, size_bytes: u64) -> bool {
    let hidden = |part: &str| part.starts_with('.') || (part.starts_with('_') && !part.contains('='));
    size_bytes > 0 && !path.split('/').any(hidden)
}

/// Says which table a path belongs to that must not be read file by file.
fn refuse_tables(path: &str, described_as: &str) -> Result<(), Stop> {
    match TABLES.iter().find(|(mark, _)| path.split('/').any(|part| part == *mark)) {
        None => Ok(()),
        Some((mark, what)) => Err(Stop::bad_data(format!(
            "{described_as} is a {what} table ({mark} is there): its files also hold rows that the table has deleted. Export it as \
             plain Parquet, and name that"
        ))),
    }
}

fn too_many_files(described_as: &str) -> Stop {
    Stop::failed(
        FailureReason::CapacityInsufficient,
        format!(
            "{described_as} holds more than {FILES_MAX} files, the most that one source takes. Write fewer, larger ones"
        ),
    )
}

fn no_files(described_as: &str) -> Stop {
    not_found(format!(
        "there is no data below {described_as}: files that are empty, or whose path has a part that starts with _ or a dot, do \
         not count"
    ))
}

fn not_found(message: String) -> Stop {
    Stop::failed(FailureReason::SourceNotFound, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_spark_writes_beside_the_data_is_no_data() {
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
        ] {
            assert!(!is_data(name, 1), "{name}");
        }
        assert!(!is_data("part-0000.csv", 0));
        assert!(refuse_tables("part-0000.parquet", "it").is_ok());
        assert!(refuse_tables("_delta_log/0000.json", "it").unwrap_err().to_string().contains("Delta"));
    }
}
