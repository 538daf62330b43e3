//! `recmesh-sidecar proxy`: runs alongside an app until SIGTERM or Ctrl-C.

use std::time::Duration;

use anyhow::Result;
use mesh::Target;
use sidecar_contract::ports;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    args::ProxyArgs,
    proxy::{Proxy, ProxySettings},
};

/// Forwards until a termination signal.
///
/// # Errors
/// A port that is in use.
pub async fn run(args: ProxyArgs) -> Result<()> {
    let upstreams =
        if args.upstream.is_empty() { vec![serving_pods(&args.recommender, &args.namespace)] } else { args.upstream };
    let settings = ProxySettings {
        listen: args.listen,
        admin_listen: args.admin_listen,
        upstreams,
        timeout: Duration::from_millis(args.timeout_ms),
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tracing::info!(recommender = args.recommender, namespace = args.namespace, "proxy starting");
    let proxy = Proxy::start(settings).await?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    proxy.stop().await;
    Ok(())
}

/// The Service without an address of its own, whose name resolves to all serving pods.
fn serving_pods(recommender: &str, namespace: &str) -> Target {
    Target::new(format!("{}.{namespace}.svc", sidecar_contract::pods_service(recommender)), ports::APP)
}
