//! Options of `proxy`.

use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;
use mesh::{Target, identity::Workload, limits::TIMEOUT_MILLISECONDS_MAX};
use sidecar_contract::{
    paths,
    ports::{self, any_address},
};

use super::{identity::IdentityArgs, serve::FollowArgs};
use crate::limits::PROXY_TIMEOUT_MS_DEFAULT;

/// Arguments of `proxy`.
#[derive(Debug, Args)]
pub struct ProxyArgs {
    /// Name of the Recommender.
    #[arg(long)]
    pub recommender: String,
    /// Namespace of the Recommender.
    #[arg(long, env = paths::NAMESPACE_ENV)]
    pub namespace: String,
    /// Address of serving pods instead of those of the Recommender's Service; may be repeated. All
    /// addresses of a host name are used.
    #[arg(long, value_name = "HOST:PORT")]
    pub upstream: Vec<Target>,
    /// Address of the application port.
    #[arg(long, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::PROXY)))]
    pub listen: SocketAddr,
    /// Address of the admin port, which serves probes and metrics.
    #[arg(long, default_value_t = any_address(ports::PROXY_ADMIN))]
    pub admin_listen: SocketAddr,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened arguments are documented one by one")]
    pub identity: IdentityArgs,
    /// ServiceAccount of the serving pods, the only one that is accepted; default: the namespace
    /// and the name of the Recommender.
    #[arg(long, value_name = "NAMESPACE/SERVICEACCOUNT", requires = "credentials")]
    pub server_identity: Option<Workload>,
    /// Connect without TLS, even if credentials are given.
    #[arg(long)]
    pub plaintext: bool,
    /// Hold the model as well, and answer from it: follow the serving config in --config-dir. The
    /// serving pods get requests until the model is loaded, and those that it cannot answer.
    #[arg(long)]
    pub local: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened arguments are documented one by one")]
    pub follow: FollowArgs,
    /// Time for a request in milliseconds, if header x-request-timeout-ms states none.
    #[arg(long, default_value_t = PROXY_TIMEOUT_MS_DEFAULT, value_parser = clap::value_parser!(u64).range(1..=TIMEOUT_MILLISECONDS_MAX))]
    pub timeout_ms: u64,
}
