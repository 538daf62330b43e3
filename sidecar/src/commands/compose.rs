//! `recmesh-sidecar compose`: answers with the lists of other Recommenders until SIGTERM or Ctrl-C.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use sidecar_contract::paths;

use crate::{
    app::{App, ModelSource, MutualTlsSettings, Settings},
    args::ComposeArgs,
    composition::CompositionPaths,
    termination::Termination,
};

/// Answers until a termination signal.
///
/// # Errors
/// A port that is in use.
pub async fn run(args: ComposeArgs) -> Result<()> {
    crate::open_files::raise_limit();
    let termination = Termination::listen()?;
    let source = ModelSource::Compose(CompositionPaths {
        config_file: args.config_dir.join(paths::COMPOSITION_FILE),
        config_poll: Duration::from_millis(args.config_poll_ms),
    });
    let mesh_listen = SocketAddr::new(args.listen.ip(), args.mesh_port);
    let mutual_tls = args.identity.settings().map(|identity| MutualTlsSettings { listen: mesh_listen, identity });
    let settings =
        Settings { listen: args.listen, admin_listen: args.admin_listen, source, cache_bytes: 0, mutual_tls };
    let app = App::start(settings).await?;
    termination.wait().await;
    tracing::info!("draining");
    app.stop().await;
    Ok(())
}
