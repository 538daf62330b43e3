//! Start and stop order of the serving process. No other file knows it.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use answering::Answerer;
use anyhow::{Context, Result};
use http::Request;
use mesh::{
    LogPace,
    identity::{Admission, Identity, IdentitySettings, Purpose, ServerTls},
};
use sidecar_contract::{ServingLimits, ports::listen_candidates};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::{
    admin::{Admin, AnchorsSource, Report},
    api::Api,
    composition::{CompositionPaths, Followed, follow},
    cpus::available_cpus,
    engine::{Engine, measure_io_delay},
    follower::{Follower, Paths},
    limits::{
        ADMIN_CONNECTIONS_MAX, CONNECTIONS_MAX, DRAIN_GRACE, HTTP2_CONNECTIONS_MAX, HTTP2_PLAINTEXT_CONNECTIONS_MAX,
    },
    loading,
    mesh_access::MeshAccess,
    metrics::{Metrics, identity::IdentityMetrics},
    seen_anchors::SeenAnchors,
    server::{ConnectionLimits, MutualTls, RequestBody, ShutdownSignals, serve, serve_mutual_tls},
    serving::{Serving, describe},
};

/// Source of the model.
#[derive(Clone, Debug)]
pub enum ModelSource {
    /// One file, loaded at start.
    File {
        /// The model.
        model: PathBuf,
        /// Its catalogue, unless it is beside the model or there is none.
        catalogue: Option<PathBuf>,
        /// What one request may ask for.
        limits: ServingLimits,
    },
    /// The mounted serving config.
    Follow(Paths),
    /// The mounted composition: other Recommenders answer.
    Compose(CompositionPaths),
}

/// Settings of a serving process.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Application port.
    pub listen: SocketAddr,
    /// Admin port.
    pub admin_listen: SocketAddr,
    /// Source of the model.
    pub source: ModelSource,
    /// Size of the cache of lists; 0 turns it off.
    pub cache_bytes: usize,
    /// Mutual TLS, if the pod has an identity.
    pub mutual_tls: Option<MutualTlsSettings>,
}

/// The port for callers with a certificate.
#[derive(Clone, Debug)]
pub struct MutualTlsSettings {
    /// Address.
    pub listen: SocketAddr,
    /// The identity of the pod.
    pub identity: IdentitySettings,
}

/// A started process.
#[derive(Debug)]
pub struct App {
    /// Bound address of the application port.
    pub address: SocketAddr,
    /// Bound address of the admin port.
    pub admin_address: SocketAddr,
    /// Bound address of the port for mutual TLS.
    pub mesh_address: Option<SocketAddr>,
    drain: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    stop_admin: watch::Sender<bool>,
    serving: JoinSet<()>,
    admin: JoinHandle<()>,
    /// Tasks that have no end.
    background: JoinSet<()>,
}

impl App {
    /// Binds the ports and starts.
    ///
    /// # Errors
    /// A port that is in use, or a model file that cannot serve.
    pub async fn start(settings: Settings) -> Result<Self> {
        store_client::install_tls_provider();
        let engine = Arc::new(Engine::new(available_cpus(), settings.cache_bytes));
        measure_io_delay(&Arc::downgrade(&engine));
        let metrics = Arc::new(Metrics::new()?);
        let report = Arc::new(Report::default());
        let (drain, draining) = watch::channel(false);
        let (stop, stopped) = watch::channel(false);
        let (stop_admin, admin_stopped) = watch::channel(false);
        let mut serving = JoinSet::new();
        let mut background = JoinSet::new();
        let identity = settings.mutual_tls.as_ref();
        let identity = identity.map(|mutual_tls| open_identity(&mutual_tls.identity, &metrics, &mut background));
        match settings.source {
            ModelSource::File { model, catalogue, limits } => {
                let local = Arc::new(loading::open_with_catalogue(&model, catalogue.as_deref())?);
                metrics.set_model(&describe(&local));
                metrics.catalogue.set(local.catalogue().map(AsRef::as_ref));
                report.update(|report| report.loaded = Some(describe(&local)));
                engine.publish(Serving::of(Answerer::Local(local), limits));
            }
            ModelSource::Follow(paths) => {
                let follower = Follower::new(paths, Arc::clone(&engine), Arc::clone(&metrics), Arc::clone(&report));
                serving.spawn(follower.run(stopped.clone()));
            }
            ModelSource::Compose(paths) => {
                let followed = Followed {
                    engine: Arc::clone(&engine),
                    metrics: Arc::clone(&metrics),
                    report: Arc::clone(&report),
                    identity: identity.clone(),
                };
                serving.spawn(follow(paths, followed, stopped.clone()));
            }
        }
        let bind = async |address: SocketAddr| {
            let listener = TcpListener::bind(&*listen_candidates(address)).await;
            listener.with_context(|| format!("cannot listen on {address}"))
        };
        let (listener, admin_listener) = (bind(settings.listen).await?, bind(settings.admin_listen).await?);
        let (address, admin_address) = (listener.local_addr()?, admin_listener.local_addr()?);
        let api = Arc::new(Api::new(Arc::clone(&engine), Arc::clone(&metrics)));
        let signals = ShutdownSignals { draining: draining.clone(), stopped };
        let (mut mesh_address, mut anchors) = (None, None);
        let is_mutual_tls = settings.mutual_tls.is_some();
        if let (Some(MutualTlsSettings { listen, .. }), Some(identity)) = (settings.mutual_tls, identity) {
            let seen = Arc::<SeenAnchors>::default();
            anchors = Some(AnchorsSource { own: Arc::clone(&identity), seen: Arc::clone(&seen) });
            let admission: Arc<dyn Admission> = Arc::new(MeshAccess(Arc::clone(&engine)));
            let mutual_tls = MutualTls {
                tls: ServerTls::new(identity, Arc::clone(&admission))?,
                admission,
                metrics: Arc::clone(&metrics.identity),
                counters: metrics.connections.listener("mesh"),
                open: metrics.mesh_connections.clone(),
                log_pace: LogPace::default(),
                seen,
            };
            let listener = bind(listen).await?;
            mesh_address = Some(listener.local_addr()?);
            let api = Arc::clone(&api);
            serving.spawn(serve_mutual_tls(
                listener,
                mutual_tls,
                signals.clone(),
                move |request: Request<RequestBody>| {
                    let api = Arc::clone(&api);
                    async move { api.handle(request).await }
                },
            ));
        }
        let limits = ConnectionLimits {
            connections_max: CONNECTIONS_MAX,
            http2_connections_max: if is_mutual_tls { HTTP2_PLAINTEXT_CONNECTIONS_MAX } else { HTTP2_CONNECTIONS_MAX },
            counters: metrics.connections.listener("app"),
        };
        serving.spawn(serve(listener, limits, signals, move |client| {
            let (api, client) = (Arc::clone(&api), client.ip());
            move |request: Request<RequestBody>| {
                let api = Arc::clone(&api);
                async move { api.handle_plaintext(request, client).await }
            }
        }));
        let limits = ConnectionLimits {
            connections_max: ADMIN_CONNECTIONS_MAX,
            http2_connections_max: ADMIN_CONNECTIONS_MAX,
            counters: metrics.connections.listener("admin"),
        };
        let admin = Arc::new(Admin::new(engine, metrics, report, draining.clone(), anchors));
        let signals = ShutdownSignals { draining, stopped: admin_stopped };
        let admin = tokio::spawn(serve(admin_listener, limits, signals, move |_| {
            let admin = Arc::clone(&admin);
            move |request: Request<RequestBody>| {
                let admin = Arc::clone(&admin);
                async move { admin.handle(&request).await }
            }
        }));
        tracing::info!(%address, %admin_address, mesh_address = mesh_address.map(|address| address.to_string()), "listening");
        Ok(Self { address, admin_address, mesh_address, drain, stop, stop_admin, serving, admin, background })
    }

    /// Stops in order. First the pod is unready and each answer closes its connection. When the
    /// endpoints no longer list the pod, new connections are refused. Then requests in flight end.
    /// The admin port reports the pod as draining until the last of them.
    pub async fn stop(mut self) {
        self.drain.send_replace(true);
        tokio::time::sleep(DRAIN_GRACE).await;
        self.stop.send_replace(true);
        while self.serving.join_next().await.is_some() {}
        self.stop_admin.send_replace(true);
        let _ = self.admin.await;
        self.background.abort_all();
    }
}

/// Opens the identity of the pod, and follows its files.
fn open_identity(settings: &IdentitySettings, metrics: &Metrics, background: &mut JoinSet<()>) -> Arc<Identity> {
    let observer = Arc::<IdentityMetrics>::clone(&metrics.identity);
    let identity = Identity::open(settings.clone(), Purpose::Server, observer);
    background.spawn(Arc::clone(&identity).run(settings.interval));
    identity
}
