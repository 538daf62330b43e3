//! Where rows come from: stat, read in chunks, and the version that says whether the data moved.

mod file;
mod object;

use std::path::Path;

use bytes::Bytes;
use sidecar_contract::{Digest, Source as SourceConfig};

use crate::failure::{FailureReason, Stop};

/// Bytes that are read at once from a file.
const CHUNK_BYTES: usize = 1 << 20;

/// A source that was found to be of a kind that is read.
pub(crate) struct Source {
    place: Place,
    /// In the user's own words.
    pub(crate) described_as: String,
}

enum Place {
    File(file::FileSource),
    Object(object::ObjectSource),
}

/// What stat says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Changes when the data changes.
    pub(crate) version: Digest,
    pub(crate) size_bytes: u64,
}

/// The bytes, in order.
pub(crate) enum Chunks {
    File(file::FileChunks),
    Object(object::ObjectChunks),
}

impl Source {
    /// `spec_field` is what the user would change; files below `data_dir` are mounted by Kubernetes.
    pub(crate) fn new(config: &SourceConfig, spec_field: &str, data_dir: &Path) -> Result<Self, Stop> {
        let SourceConfig { url, described_as } = config;
        let described_as = if described_as.is_empty() { url.clone() } else { described_as.clone() };
        let place = if let Some(path) = url.strip_prefix("file://") {
            Place::File(file::FileSource::new(path, data_dir))
        } else if let Some(place) = url.strip_prefix("s3://") {
            Place::Object(object::ObjectSource::new(place, &described_as)?)
        } else {
            return Err(Stop::failed(
                FailureReason::NotSupported,
                format!(
                    "{spec_field}.url is {url:?}: this version reads file:// and s3:// only; gs://, az:// and others are not \
                     supported yet"
                ),
            ));
        };
        Ok(Self { place, described_as })
    }

    pub(crate) async fn stat(&self) -> Result<Stat, Stop> {
        match &self.place {
            Place::File(file) => file.stat(&self.described_as).await,
            Place::Object(object) => object.stat(&self.described_as).await,
        }
    }

    pub(crate) async fn read(&self) -> Result<Chunks, Stop> {
        match &self.place {
            Place::File(file) => file.read(&self.described_as).await.map(Chunks::File),
            Place::Object(object) => object.read(&self.described_as).await.map(Chunks::Object),
        }
    }
}

impl Chunks {
    /// The next bytes; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Stop> {
        match self {
            Self::File(chunks) => chunks.next().await,
            Self::Object(chunks) => chunks.next().await,
        }
    }
}

fn not_found(message: impl Into<String>) -> Stop {
    Stop::failed(FailureReason::SourceNotFound, message)
}
