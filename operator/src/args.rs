//! Command line. The Helm chart sets the arguments.

use std::{net::SocketAddr, time::Duration};

use clap::{Args, Parser, Subcommand};

/// The operator of Recmesh.
#[derive(Debug, Parser)]
#[command(name = "recmesh-operator", version, about)]
pub struct Cli {
    /// Log filter: error, warn, info, debug, or tracing directives.
    #[arg(long, env = "RECMESH_LOG", default_value = "info", global = true)]
    pub log: String,
    /// Subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "parsed once")]
pub enum Command {
    /// Reconcile Recommenders.
    Run(Settings),
    /// Succeed if a URL returns a 2xx status; used by `helm test` because the image has no shell.
    Check {
        /// URL to request.
        #[arg(long)]
        url: String,
    },
}

/// Command-line settings of the operator.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Namespace of the operator and the store.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: String,
    /// Name of this pod, used as the holder identity of the lease.
    #[arg(long, env = "POD_NAME", default_value = "recmesh-operator")]
    pub pod_name: String,
    /// Image of the trainer and serving pods.
    #[arg(long, env = "RECMESH_SIDECAR_IMAGE")]
    pub sidecar_image: String,
    /// Pull policy of that image.
    #[arg(long, default_value = "IfNotPresent")]
    pub image_pull_policy: String,
    /// Endpoint of the embedded store: `http://recmesh-store.recmesh-system.svc:9000`.
    #[arg(long, env = "RECMESH_STORE_ENDPOINT")]
    pub store_endpoint: String,
    /// Store URL that replaces S3, for example `file:///tmp/store`; for tests.
    #[arg(long, hide = true)]
    pub store_url: Option<String>,
    /// Namespaces whose Recommenders are watched; all if not set.
    #[arg(long, value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// Buckets (`s3://bucket/path`) that Recommenders may name in `spec.store` without a Secret:
    /// the operator opens them with its own identity.
    #[arg(long, value_delimiter = ',')]
    pub workload_identity_stores: Vec<String>,
    /// Namespaces whose pods may scrape the admin ports, in addition to the operator's own.
    #[arg(long, value_delimiter = ',')]
    pub monitoring_namespaces: Vec<String>,
    /// Listen address of probes and metrics.
    #[arg(long, default_value = "0.0.0.0:9090")]
    pub admin_listen: SocketAddr,
    /// Resync interval in seconds.
    #[arg(long, default_value_t = 300)]
    pub resync_seconds: u64,
    /// Delay in seconds before a failed run is retried; doubles with each failure.
    #[arg(long, default_value_t = 30)]
    pub retry_seconds_min: u64,
    /// Maximum retry delay in seconds.
    #[arg(long, default_value_t = 3600)]
    pub retry_seconds_max: u64,
    /// Recommenders reconciled concurrently.
    #[arg(long, default_value_t = 4)]
    pub concurrency: u16,
    /// Recommenders that may roll out a new model or pod template concurrently.
    #[arg(long, default_value_t = 10)]
    pub rollouts_max: usize,
    /// Recommenders that may train concurrently; the others are queued.
    #[arg(long, default_value_t = 20)]
    pub trainings_max: usize,
    /// Default interval in seconds between checks for changed data; 0 disables the checks.
    #[arg(long, default_value_t = 3600)]
    pub data_check_seconds: u64,
    /// Elect a leader; required with more than one replica.
    #[arg(long)]
    pub leader_election: bool,
}

impl Settings {
    /// [`Self::resync_seconds`] as a duration.
    pub fn resync(&self) -> Duration {
        Duration::from_secs(self.resync_seconds)
    }
}
