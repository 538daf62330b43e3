//! Resources of a run: limits, threads, directories and credentials.

use std::{num::NonZeroUsize, path::PathBuf};

use sidecar_contract::paths;
use store_client::BucketSecret;

use crate::limits::Limits;

/// Resources that a run may use.
#[derive(Clone, Debug)]
pub struct Options {
    /// Input limits.
    pub limits: Limits,
    /// Threads of the fit; absent: all CPUs that are available to the process.
    pub threads: Option<NonZeroUsize>,
    /// Directory for the snapshot before it is stored; absent: the system's temporary directory.
    pub work_dir: Option<PathBuf>,
    /// File of the model for the config's warm start; supported for local files only.
    pub warm_start: Option<PathBuf>,
    /// Directory in which Kubernetes mounts sources.
    pub data_dir: PathBuf,
    /// Credentials for the user's buckets; absent: the process's own identity.
    pub secrets: Secrets,
}

/// The user's Secrets, one per source.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// Secret for the interactions.
    pub source: Option<BucketSecret>,
    /// Secret for the item table.
    pub items: Option<BucketSecret>,
}

impl Secrets {
    /// Reads the Secrets from environment variables; the operator sets them with a prefix per
    /// source.
    pub fn from_env() -> Self {
        let secret = |prefix| BucketSecret::from_env(prefix, std::env::vars());
        Self { source: secret(paths::SOURCE_SECRET_ENV_PREFIX), items: secret(paths::ITEMS_SECRET_ENV_PREFIX) }
    }
}

impl Default for Options {
    fn default() -> Self {
        let work_dir = PathBuf::from(paths::WORK_DIR);
        Self {
            limits: Limits::default(),
            threads: None,
            work_dir: work_dir.is_dir().then_some(work_dir),
            warm_start: None,
            data_dir: PathBuf::from(paths::DATA_DIR),
            secrets: Secrets::default(),
        }
    }
}
