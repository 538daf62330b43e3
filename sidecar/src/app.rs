//! The one place that knows in which order the serving process starts and stops.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::{
    admin::{Admin, Report},
    api::Api,
    engine::Engine,
    follower::{Follower, Places},
    limits::{ADMIN_CONNECTIONS_MAX, CONNECTIONS_MAX, DRAIN_GRACE},
    loading,
    metrics::Metrics,
    server::{Ends, serve},
};

/// Where the model comes from.
#[derive(Clone, Debug)]
pub enum ModelSource {
    /// One file, loaded at start.
    File(PathBuf),
    /// The mounted serving config.
    Follow(Places),
}

/// What a serving process is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Application port.
    pub listen: SocketAddr,
    /// Admin port.
    pub admin_listen: SocketAddr,
    /// The model.
    pub source: ModelSource,
}

/// A started process.
#[derive(Debug)]
pub struct App {
    /// Where the application port listens.
    pub address: SocketAddr,
    /// Where the admin port listens.
    pub admin_address: SocketAddr,
    drain: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    stop_admin: watch::Sender<bool>,
    serving: JoinSet<()>,
    admin: JoinHandle<()>,
}

impl App {
    /// Binds both ports and starts.
    ///
    /// # Errors
    /// A port that is taken, or a model file that cannot serve.
    pub async fn start(settings: Settings) -> Result<Self> {
        store_client::install_tls_provider();
        let engine = Arc::new(Engine::default());
        let metrics = Arc::new(Metrics::new()?);
        let report = Arc::new(Report::default());
        let (drain, draining) = watch::channel(false);
        let (stop, stopped) = watch::channel(false);
        let (stop_admin, admin_stopped) = watch::channel(false);
        let mut serving = JoinSet::new();
        match settings.source {
            ModelSource::File(path) => {
                let model = loading::open(&path, None)?;
                metrics.set_model(&model.describe());
                report.update(|report| report.loaded = Some(model.describe()));
                engine.swap(Arc::new(model));
            }
            ModelSource::Follow(places) => {
                let follower = Follower::new(places, Arc::clone(&engine), Arc::clone(&metrics), Arc::clone(&report));
                serving.spawn(follower.run(stopped.clone()));
            }
        }
        let bind = async |address: SocketAddr| {
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
        };
        let (listener, admin_listener) = (bind(settings.listen).await?, bind(settings.admin_listen).await?);
        let (address, admin_address) = (listener.local_addr()?, admin_listener.local_addr()?);
        let api = Arc::new(Api::new(Arc::clone(&engine), Arc::clone(&metrics)));
        let ends = Ends { draining: draining.clone(), stopped };
        serving.spawn(serve(listener, CONNECTIONS_MAX, ends, move |request| {
            let api = Arc::clone(&api);
            async move { api.handle(request).await }
        }));
        let admin = Arc::new(Admin::new(engine, metrics, report, draining.clone()));
        let ends = Ends { draining, stopped: admin_stopped };
        let admin = tokio::spawn(serve(admin_listener, ADMIN_CONNECTIONS_MAX, ends, move |request| {
            let admin = Arc::clone(&admin);
            async move { admin.handle(&request).await }
        }));
        tracing::info!(%address, %admin_address, "listening");
        Ok(Self { address, admin_address, drain, stop, stop_admin, serving, admin })
    }

    /// Stops in order: unready first, and each answer closes its connection; once the endpoints have forgotten the pod, no
    /// new connections; then requests in flight end. The admin port says so until the last of them.
    pub async fn stop(mut self) {
        self.drain.send_replace(true);
        tokio::time::sleep(DRAIN_GRACE).await;
        self.stop.send_replace(true);
        while self.serving.join_next().await.is_some() {}
        self.stop_admin.send_replace(true);
        let _ = self.admin.await;
    }
}
