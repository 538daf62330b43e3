//! Startup and shutdown of the process; no other module depends on their order.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use s3s::{
    config::{S3Config, StaticConfigProvider},
    service::S3ServiceBuilder,
};
use sidecar_contract::ports::listen_candidates;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{
    access::{DerivedKeys, Policy},
    admin::Admin,
    args::Args,
    disk::Disk,
    front::Front,
    limits::{ADMIN_CONNECTIONS_MAX, CONNECTIONS_MAX, UPLOAD_SWEEP_INTERVAL, XML_BYTES_MAX},
    metrics::Metrics,
    protocol::Protocol,
    server::{self, Port},
    uploads,
};

/// Handle of a running store.
pub struct App {
    /// Address of the S3 listener.
    pub address: SocketAddr,
    /// Address of the listener for probes and metrics.
    pub admin_address: SocketAddr,
    stop: watch::Sender<bool>,
    store: JoinHandle<()>,
    admin: JoinHandle<()>,
    sweeper: JoinHandle<()>,
}

impl App {
    /// Validates the settings, opens the data directory, then starts the listeners.
    pub async fn start(args: &Args) -> anyhow::Result<Self> {
        let root_key = args.root_key()?;
        let installation_id = args.installation_id()?;
        let data_dir = args.data_dir.clone();
        let disk = tokio::task::spawn_blocking(move || Disk::open(&data_dir))
            .await?
            .context("cannot open the data directory")?;
        let disk = Arc::new(disk);
        let metrics = Metrics::new()?;
        let listener = bind(args.listen).await?;
        let admin_listener = bind(args.admin_listen).await?;
        let (address, admin_address) = (listener.local_addr()?, admin_listener.local_addr()?);
        let (stop, stopped) = watch::channel(false);

        let mut config = S3Config::default();
        config.xml_max_body_size = XML_BYTES_MAX;
        // Forms are refused before the library sees them.
        config.post_object_max_file_size = 0;
        (config.form_max_fields_size, config.form_max_parts) = (0, 0);
        let mut builder = S3ServiceBuilder::new(Protocol::new(Arc::clone(&disk), metrics.clone()));
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        builder.set_auth(DerivedKeys::new(root_key));
        builder.set_access(Policy::new(installation_id));
        let front = Front::new(builder.build(), metrics.clone());
        let admin = Admin { metrics, disk: Arc::clone(&disk), stop: stopped.clone() };

        let sweeper = tokio::spawn(sweep(disk));
        let port = Port { name: "s3", listener, connections_max: CONNECTIONS_MAX };
        let admin_port = Port { name: "admin", listener: admin_listener, connections_max: ADMIN_CONNECTIONS_MAX };
        let store = tokio::spawn(server::serve(port, stopped.clone(), move |request| front.clone().handle(request)));
        let admin = tokio::spawn(server::serve(admin_port, stopped, move |request| admin.clone().handle(request)));
        Ok(Self { address, admin_address, stop, store, admin, sweeper })
    }

    /// Stops accepting connections and returns when the requests in flight are done.
    pub async fn stop(self) {
        self.sweeper.abort();
        // Err: both servers have already stopped.
        let _ = self.stop.send(true);
        for ended in [self.store.await, self.admin.await] {
            if let Err(error) = ended {
                tracing::error!(%error, "a server task failed");
            }
        }
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(&*listen_candidates(address)).await.with_context(|| format!("cannot listen on {address}"))
}

async fn sweep(disk: Arc<Disk>) {
    let mut ticks = tokio::time::interval(UPLOAD_SWEEP_INTERVAL);
    loop {
        ticks.tick().await;
        let disk = Arc::clone(&disk);
        match tokio::task::spawn_blocking(move || uploads::sweep(&disk)).await {
            Ok(Ok(0)) => {}
            Ok(Ok(removed)) => tracing::info!(removed, "removed abandoned uploads"),
            Ok(Err(error)) => tracing::warn!(%error, "cannot list uploads to remove abandoned ones"),
            Err(error) => tracing::warn!(%error, "the upload sweep task failed"),
        }
    }
}
