//! Errors of writing and opening snapshots.

use std::path::PathBuf;

use sidecar_contract::Digest;
use tensor_file::TensorFileError;

use crate::capability::{Capability, FORMAT_VERSION};

/// Error of writing or opening a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file could not be read.
    #[error("cannot read snapshot {path}")]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// The snapshot could not be written.
    #[error("cannot write the snapshot")]
    Write(#[source] std::io::Error),
    /// The file is not a safetensors file, or does not contain a model of Recmesh.
    #[error("not a Recmesh snapshot: {0}")]
    NotASnapshot(String),
    /// The file has the container of another release.
    #[error(
        "snapshot format version {found} is not supported (this build reads version {FORMAT_VERSION}): retrain, or use \
         a release that supports this version"
    )]
    UnknownVersion {
        /// Format version of the file.
        found: u64,
    },
    /// The model needs something of its reader that this build does not have.
    #[error(
        "the snapshot requires the capability {name:?}, which this build does not have (it has {}): use an image at \
         least as new as the trainer's, or retrain without the feature",
        Capability::ALL.map(Capability::name).join(", ")
    )]
    UnknownCapability {
        /// Name of the capability.
        name: String,
    },
    /// A tensor is missing or not valid.
    #[error("snapshot is corrupt: {tensor}: {problem}")]
    Corrupt {
        /// Name of the tensor.
        tensor: String,
        /// Problem of the tensor.
        problem: String,
    },
    /// The content does not match the digest.
    #[error("snapshot is corrupt: its SHA-256 is {found}, expected {expected}")]
    WrongDigest {
        /// Expected digest.
        expected: Digest,
        /// Digest of the content.
        found: Digest,
    },
}

impl SnapshotError {
    pub(crate) fn corrupt(tensor: &str, problem: impl Into<String>) -> Self {
        Self::Corrupt { tensor: tensor.to_owned(), problem: problem.into() }
    }
}

impl From<TensorFileError> for SnapshotError {
    fn from(error: TensorFileError) -> Self {
        match error {
            TensorFileError::Container(problem) => Self::NotASnapshot(problem),
            TensorFileError::Corrupt { tensor, problem } => Self::Corrupt { tensor, problem },
        }
    }
}
