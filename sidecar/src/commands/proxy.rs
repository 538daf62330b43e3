//! `recmesh-sidecar proxy`: runs alongside an app until SIGTERM or Ctrl-C.

use std::time::Duration;

use anyhow::Result;
use mesh::{Target, identity::Workload};
use sidecar_contract::ports;

use crate::{
    args::ProxyArgs,
    proxy::{Proxy, ProxySettings, ProxyTlsSettings},
    termination::Termination,
};

/// Forwards until a termination signal.
///
/// # Errors
/// A port that is in use.
pub async fn run(args: ProxyArgs) -> Result<()> {
    let mutual_tls = match args.identity.settings() {
        Some(identity) if !args.plaintext => {
            let server = args.server_identity.unwrap_or_else(|| Workload {
                namespace: args.namespace.clone(),
                service_account: args.recommender.clone(),
            });
            tracing::info!(%server, "serving pods must have this identity");
            Some(ProxyTlsSettings { identity, server })
        }
        _ => None,
    };
    let port = if mutual_tls.is_some() { ports::MESH } else { ports::APP };
    let upstreams = if args.upstream.is_empty() {
        vec![serving_pods(&args.recommender, &args.namespace, port)]
    } else {
        args.upstream
    };
    let settings = ProxySettings {
        listen: args.listen,
        admin_listen: args.admin_listen,
        upstreams,
        timeout: Duration::from_millis(args.timeout_ms),
        mutual_tls,
        local: args.local.then(|| args.follow.paths(None)),
    };
    let termination = Termination::listen()?;
    tracing::info!(recommender = args.recommender, namespace = args.namespace, local = args.local, "proxy starting");
    let proxy = Proxy::start(settings).await?;
    termination.wait().await;
    proxy.stop().await;
    Ok(())
}

/// The Service without an address of its own, whose name resolves to all serving pods.
fn serving_pods(recommender: &str, namespace: &str, port: u16) -> Target {
    Target::new(format!("{}.{namespace}.svc", sidecar_contract::pods_service(recommender)), port)
}
