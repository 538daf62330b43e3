//! The command line; the chart fills it.

use std::{net::SocketAddr, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::decide::{Backoff, Rhythm};

/// The operator of Recmesh.
#[derive(Debug, Parser)]
#[command(name = "recmesh-operator", version, about)]
pub struct Cli {
    /// Log filter: error, warn, info, debug, or tracing directives.
    #[arg(long, env = "RECMESH_LOG", default_value = "info", global = true)]
    pub log: String,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "parsed once")]
pub enum Command {
    /// Reconcile Recommenders.
    Run(Settings),
    /// Succeed if a URL answers 200; for `helm test`, since the image has no shell.
    Check {
        /// The URL.
        #[arg(long)]
        url: String,
    },
}

/// What a running operator believes.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Namespace of the operator and the store.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: String,
    /// This pod, as holder of the lease.
    #[arg(long, env = "POD_NAME", default_value = "recmesh-operator")]
    pub pod_name: String,
    /// Image of trainer and serving pods.
    #[arg(long, env = "RECMESH_SIDECAR_IMAGE")]
    pub sidecar_image: String,
    /// Pull policy of that image.
    #[arg(long, default_value = "IfNotPresent")]
    pub image_pull_policy: String,
    /// Endpoint of the embedded store: `http://recmesh-store.recmesh-system.svc:9000`.
    #[arg(long, env = "RECMESH_STORE_ENDPOINT")]
    pub store_endpoint: String,
    /// A store elsewhere than S3, e.g. `file:///tmp/store`, for tests.
    #[arg(long, hide = true)]
    pub store_url: Option<String>,
    /// Namespaces whose Recommenders are looked after; all when absent.
    #[arg(long, value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// Buckets (`s3://bucket/path`) that Recommenders may name in `spec.store` without a Secret: the operator opens them with
    /// its own identity.
    #[arg(long, value_delimiter = ',')]
    pub workload_identity_stores: Vec<String>,
    /// Namespaces whose pods may scrape the admin ports, beside the operator's own.
    #[arg(long, value_delimiter = ',')]
    pub monitoring_namespaces: Vec<String>,
    /// Probes and metrics.
    #[arg(long, default_value = "0.0.0.0:9090")]
    pub admin_listen: SocketAddr,
    /// Seconds between two looks at a Recommender that nothing happens to.
    #[arg(long, default_value_t = 300)]
    pub resync_seconds: u64,
    /// Seconds before a failed run is tried again; doubles with each failure.
    #[arg(long, default_value_t = 30)]
    pub retry_seconds_min: u64,
    /// Longest such pause.
    #[arg(long, default_value_t = 3600)]
    pub retry_seconds_max: u64,
    /// Recommenders reconciled at once.
    #[arg(long, default_value_t = 4)]
    pub concurrency: u16,
    /// Recommenders whose pods may change at once: a new model, or a new pod template.
    #[arg(long, default_value_t = 10)]
    pub rollouts_max: usize,
    /// Recommenders that may train at once; the others wait their turn.
    #[arg(long, default_value_t = 20)]
    pub trainings_max: usize,
    /// Seconds from one look at a Recommender's data to the next, where it says nothing else; 0 for never.
    #[arg(long, default_value_t = 3600)]
    pub data_check_seconds: u64,
    /// Elect a leader; needed with more than one replica.
    #[arg(long)]
    pub leader_election: bool,
}

impl Settings {
    /// When to train, as far as it is the operator's to say.
    pub fn rhythm(&self) -> Rhythm {
        let backoff = Backoff { min: self.retry_seconds_min, max: self.retry_seconds_max };
        Rhythm { backoff, data_check_seconds: self.data_check_seconds }
    }

    /// [`Self::resync_seconds`] as a duration.
    pub fn resync(&self) -> Duration {
        Duration::from_secs(self.resync_seconds)
    }
}
