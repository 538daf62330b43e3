//! Why a revision could not be loaded, with the name of the reason in the report.

use std::path::PathBuf;

use algorithms::AlgorithmError;
use answering::{ModelError, ScoringError};
use catalogue::CatalogueError;
use model_snapshot::SnapshotError;
use store_client::StoreError;

/// Why a revision could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Model(#[from] ModelError),
    #[error("{0}")]
    Catalogue(#[from] CatalogueError),
    #[error("serving mode {mode} is not supported by this image: use an image at least as new as the operator's")]
    ServingMode { mode: String },
    #[error(
        "the snapshot needs {missing} bytes more than the container's memory limit leaves; raise spec.serving.resources.limits.memory by that amount or more"
    )]
    Capacity { missing: u64 },
    #[error(
        "the process ended while it loaded this revision; raise spec.serving.resources.limits.memory if it was OOMKilled. The next attempt is in {retry_seconds} s"
    )]
    Crashed { retry_seconds: u64 },
    #[error("the load panicked; the log has the cause")]
    Panicked,
    #[error("{path}: {source}")]
    Cache { path: PathBuf, source: std::io::Error },
}

impl LoadError {
    /// Name from the closed set of the contract.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Store(StoreError::NotFound { .. }) => "NotFound",
            Self::Store(StoreError::TooLarge { .. }) | Self::Capacity { .. } => "CapacityInsufficient",
            Self::Store(StoreError::Corrupt { .. })
            | Self::Model(ModelError::Snapshot(SnapshotError::WrongDigest { .. }))
            | Self::Catalogue(CatalogueError::WrongDigest { .. }) => "DigestMismatch",
            Self::Store(_) => "StoreUnreachable",
            Self::ServingMode { .. }
            | Self::Catalogue(CatalogueError::UnknownVersion { .. })
            | Self::Model(
                ModelError::Snapshot(SnapshotError::UnknownVersion { .. } | SnapshotError::UnknownCapability { .. })
                | ModelError::Scoring(ScoringError::Algorithm(
                    AlgorithmError::Unknown { .. } | AlgorithmError::Signal { .. },
                )),
            ) => "FormatUnknown",
            Self::Model(_) | Self::Catalogue(_) => "Corrupt",
            Self::Crashed { .. } | Self::Panicked => "CrashedWhileLoading",
            Self::Cache { .. } => "CacheUnwritable",
        }
    }
}
