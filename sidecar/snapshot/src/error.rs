//! What can be wrong with a snapshot.

use std::path::PathBuf;

use sidecar_contract::Digest;

use crate::metadata::{FORMAT_VERSION, FORMAT_VERSION_WITH_BIASES};

/// Why a snapshot was not written or not opened.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file could not be read.
    #[error("cannot read snapshot {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The bytes could not be written.
    #[error("cannot write the snapshot")]
    Write(#[source] std::io::Error),
    /// Not a safetensors file, or not one of ours.
    #[error("not a recmesh snapshot: {0}")]
    NotASnapshot(String),
    /// Written by another release.
    #[error(
        "snapshot format version {found} is not known here (this build reads {FORMAT_VERSION} to \
         {FORMAT_VERSION_WITH_BIASES}): train again, or use a release that writes and reads the same version"
    )]
    UnknownVersion {
        /// The version in the file.
        found: u64,
    },
    /// A tensor is missing, or says something that cannot be.
    #[error("snapshot is corrupt: {tensor}: {problem}")]
    Corrupt {
        /// Which tensor.
        tensor: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The content is not what its name says.
    #[error("snapshot is corrupt: its SHA-256 is {found}, expected {expected}")]
    WrongDigest {
        /// The name.
        expected: Digest,
        /// The content's.
        found: Digest,
    },
}

impl SnapshotError {
    pub(crate) fn corrupt(tensor: &str, problem: impl Into<String>) -> Self {
        Self::Corrupt { tensor: tensor.to_owned(), problem: problem.into() }
    }
}
