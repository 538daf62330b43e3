//! Options of the commands that serve, and of the config that they follow.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use sidecar_contract::{ServingLimits, paths, ports};

use super::{identity::IdentityArgs, values::cache_mib};
use crate::{follower::Paths, limits::CACHE_MIB_DEFAULT};

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Model file to serve without a cluster.
    #[arg(long)]
    pub model: Option<PathBuf>,
    /// Catalogue file of that model: titles, availability and columns that requests can filter by;
    /// default: the one beside it, if there is one (model.catalogue for model.safetensors).
    #[arg(long, requires = "model")]
    pub catalogue: Option<PathBuf>,
    /// Address of the application port.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Address of the admin port, which serves probes and metrics.
    #[arg(long, default_value = "127.0.0.1:9090")]
    pub admin_listen: SocketAddr,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened arguments are documented one by one")]
    pub follow: FollowArgs,
    /// Latency budget in milliseconds: a request whose expected wait exceeds it gets 503. Without a
    /// model file the serving config states it.
    #[arg(long, requires = "model", default_value_t = ServingLimits::default().latency_budget_milliseconds, value_parser = clap::value_parser!(u32).range(1..=2000))]
    pub latency_budget_ms: u32,
    /// Memory for lists of known users, in MiB, which are kept until the next model; 0: none is
    /// kept.
    #[arg(long, default_value_t = CACHE_MIB_DEFAULT, value_parser = cache_mib)]
    pub cache_mib: usize,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened arguments are documented one by one")]
    pub identity: IdentityArgs,
    /// Port for mutual TLS, at the address of --listen.
    #[arg(long, default_value_t = ports::MESH, requires = "credentials")]
    pub mesh_port: u16,
    /// Name of this pod.
    #[arg(long, env = paths::POD_NAME_ENV, hide = true)]
    pub pod_name: Option<String>,
}

/// The files of a process that follows a serving config.
#[derive(Debug, Args)]
pub struct FollowArgs {
    /// Directory of the mounted serving config.
    #[arg(long, default_value = paths::SERVING_CONFIG_DIR)]
    pub config_dir: PathBuf,
    /// Directory of the mounted store credentials.
    #[arg(long, default_value = paths::STORE_CREDENTIALS_DIR)]
    pub credentials_dir: PathBuf,
    /// Cache directory for verified snapshots.
    #[arg(long, default_value = paths::CACHE_DIR)]
    pub cache_dir: PathBuf,
    /// Poll interval of the serving config, in milliseconds.
    #[arg(long, default_value_t = crate::limits::CONFIG_POLL_MS_DEFAULT, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub config_poll_ms: u64,
}

impl FollowArgs {
    /// The files; `pod_name` is the name of a serving pod.
    pub fn paths(self, pod_name: Option<String>) -> Paths {
        Paths {
            config_file: self.config_dir.join(paths::SERVING_CONFIG_FILE),
            credentials_dir: self.credentials_dir,
            cache_dir: self.cache_dir,
            pod_name,
            config_poll: Duration::from_millis(self.config_poll_ms),
        }
    }
}

/// Arguments of `compose`.
#[derive(Debug, Args)]
pub struct ComposeArgs {
    /// Address of the application port.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Address of the admin port, which serves probes and metrics.
    #[arg(long, default_value = "127.0.0.1:9090")]
    pub admin_listen: SocketAddr,
    /// Directory with the composition.
    #[arg(long, default_value = paths::SERVING_CONFIG_DIR)]
    pub config_dir: PathBuf,
    /// Poll interval of the composition, in milliseconds.
    #[arg(long, default_value_t = crate::limits::CONFIG_POLL_MS_DEFAULT, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub config_poll_ms: u64,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened arguments are documented one by one")]
    pub identity: IdentityArgs,
    /// Port for mutual TLS, at the address of --listen.
    #[arg(long, default_value_t = ports::MESH, requires = "credentials")]
    pub mesh_port: u16,
}
