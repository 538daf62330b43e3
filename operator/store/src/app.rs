//! The one place that knows in which order the process starts and stops.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use s3s::{
    config::{S3Config, StaticConfigProvider},
    service::S3ServiceBuilder,
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{
    access::{DerivedKeys, Policy},
    admin::Admin,
    args::Args,
    disk::Disk,
    gate::Gate,
    limits::{UPLOAD_SWEEP_INTERVAL, XML_BYTES_MAX},
    metrics::Metrics,
    protocol::Protocol,
    server, uploads,
};

/// A running store.
pub struct App {
    /// Where S3's protocol is served.
    pub address: SocketAddr,
    /// Where probes and metrics are served.
    pub admin_address: SocketAddr,
    stop: watch::Sender<bool>,
    store: JoinHandle<()>,
    admin: JoinHandle<()>,
    sweeper: JoinHandle<()>,
}

impl App {
    /// Starts: settings, directory, listeners.
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
        let mut builder = S3ServiceBuilder::new(Protocol::new(Arc::clone(&disk), metrics.clone()));
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        builder.set_auth(DerivedKeys::new(root_key));
        builder.set_access(Policy::new(installation_id));
        let gate = Gate::new(builder.build(), metrics.clone());
        let admin = Admin { metrics, disk: Arc::clone(&disk), stop: stopped.clone() };

        let sweeper = tokio::spawn(sweep(disk));
        let store =
            tokio::spawn(server::serve("s3", listener, stopped.clone(), move |request| gate.clone().answer(request)));
        let admin =
            tokio::spawn(server::serve("admin", admin_listener, stopped, move |request| admin.clone().answer(request)));
        Ok(Self { address, admin_address, stop, store, admin, sweeper })
    }

    /// Stops accepting, lets requests at work finish, and returns.
    pub async fn stop(self) {
        self.sweeper.abort();
        // Err means that both servers have ended already.
        let _ = self.stop.send(true);
        for ended in [self.store.await, self.admin.await] {
            if let Err(error) = ended {
                tracing::error!(%error, "a server ended early");
            }
        }
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

async fn sweep(disk: Arc<Disk>) {
    let mut ticks = tokio::time::interval(UPLOAD_SWEEP_INTERVAL);
    loop {
        ticks.tick().await;
        let disk = Arc::clone(&disk);
        match tokio::task::spawn_blocking(move || uploads::sweep(&disk)).await {
            Ok(Ok(0)) => {}
            Ok(Ok(removed)) => tracing::info!(removed, "removed abandoned uploads"),
            Ok(Err(error)) => tracing::warn!(%error, "cannot look for abandoned uploads"),
            Err(error) => tracing::warn!(%error, "the sweep was lost"),
        }
    }
}
