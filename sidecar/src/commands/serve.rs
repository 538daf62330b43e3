//! `recmesh-sidecar serve`: serves until SIGTERM or Ctrl-C.

use std::net::SocketAddr;

use anyhow::Result;
use sidecar_contract::ServingLimits;

use crate::{
    app::{App, ModelSource, MutualTlsSettings, Settings},
    args::ServeArgs,
    termination::Termination,
};

/// Serves until a termination signal.
///
/// # Errors
/// A port that is in use, or a model file that cannot be loaded.
pub async fn run(args: ServeArgs) -> Result<()> {
    let source = match args.model {
        Some(model) => {
            let latency_budget_milliseconds = args.latency_budget_ms;
            let limits = ServingLimits { latency_budget_milliseconds, ..ServingLimits::default() };
            ModelSource::File { model, catalogue: args.catalogue, limits }
        }
        None => ModelSource::Follow(args.follow.paths(args.pod_name)),
    };
    crate::open_files::raise_limit();
    let termination = Termination::listen()?;
    let cache_bytes = args.cache_mib << 20;
    let mesh_listen = SocketAddr::new(args.listen.ip(), args.mesh_port);
    let mutual_tls = args.identity.settings().map(|identity| MutualTlsSettings { listen: mesh_listen, identity });
    let settings = Settings { listen: args.listen, admin_listen: args.admin_listen, source, cache_bytes, mutual_tls };
    let app = App::start(settings).await?;
    termination.wait().await;
    tracing::info!("draining");
    app.stop().await;
    Ok(())
}
