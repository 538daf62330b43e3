//! A file: on a volume, from a ConfigMap, or given on the command line.

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::{Bytes, BytesMut};
use sidecar_contract::{Digest, canonical_json};
use tokio::{fs::File, io::AsyncReadExt};

use super::{CHUNK_BYTES, Stat, not_found};
use crate::failure::Stop;

/// Mounted files up to this size are known by their content: a ConfigMap (at most 1 MiB) is mounted anew, with new
/// times, in every pod.
const KNOWN_BY_CONTENT_BYTES_MAX: u64 = 1 << 20;

pub(super) struct FileSource {
    path: PathBuf,
    mounted: bool,
}

pub(crate) struct FileChunks {
    file: File,
    described_as: String,
}

impl FileSource {
    pub(super) fn new(path: &str, data_dir: &Path) -> Self {
        let path = PathBuf::from(path);
        let mounted = path.starts_with(data_dir);
        Self { path, mounted }
    }

    pub(super) async fn stat(&self, described_as: &str) -> Result<Stat, Stop> {
        let failed = |error| self.failed(described_as, &error);
        let metadata = tokio::fs::metadata(&self.path).await.map_err(failed)?;
        if !metadata.is_file() {
            return Err(not_found(format!(
                "{described_as} ({}) is not a file: this version reads one file, not a directory",
                self.path.display()
            )));
        }
        let size_bytes = metadata.len();
        let known_by = if self.mounted && size_bytes <= KNOWN_BY_CONTENT_BYTES_MAX {
            let content = tokio::fs::read(&self.path).await.map_err(failed)?;
            serde_json::json!({ "content": Digest::of(&content) })
        } else {
            let modified = metadata.modified().map_err(failed)?;
            let since_1970 = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            serde_json::json!({
                "path": self.path.to_string_lossy(),
                "sizeBytes": size_bytes,
                "modifiedSeconds": since_1970.as_secs(),
                "modifiedNanos": since_1970.subsec_nanos(),
            })
        };
        Ok(Stat { version: Digest::of(canonical_json(&known_by).as_bytes()), size_bytes })
    }

    pub(super) async fn read(&self, described_as: &str) -> Result<FileChunks, Stop> {
        let file = File::open(&self.path).await.map_err(|error| self.failed(described_as, &error))?;
        Ok(FileChunks { file, described_as: described_as.to_owned() })
    }

    fn failed(&self, described_as: &str, error: &io::Error) -> Stop {
        let path = self.path.display();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                not_found(format!("{described_as} is not there: no file {path}. Check spec.data.source"))
            }
            io::ErrorKind::PermissionDenied => {
                not_found(format!("{described_as} may not be read: {path} is not readable by this pod's user"))
            }
            _ => Stop::retry(format!("cannot read {described_as} ({path}): {error}")),
        }
    }
}

impl FileChunks {
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Stop> {
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
        let read = self.file.read_buf(&mut chunk).await;
        let read = read.map_err(|error| Stop::retry(format!("cannot read on in {}: {error}", self.described_as)))?;
        Ok((read > 0).then(|| chunk.freeze()))
    }
}
