//! The sidecar alongside an app: it forwards the app's requests to the serving pods, and answers
//! itself when none of them does. In local mode it holds the model and answers from it.
//!
//! ```text
//!  app ─► forward ─► local: own copy of the model, in local mode, once it is loaded
//!             │ no answer
//!             ├─► timeout, headers ─► mesh: choose, try, retry ─► serving pod
//!             │                                                        │ answer
//!             │ no answer                                              ▼
//!             └─► fallback ◄── last answer of the user ◄───────────── kept
//!                          ◄── popular items ◄── asked for every minute
//! ```
//!
//! This file knows the order of start and stop; no other one does.

mod admin;
mod fallback;
mod forward;
mod kept_answers;
mod local;
mod metrics;
mod popular;

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use http::Request;
use mesh::{
    Discovery, EndpointSet, Observer, Target, Transport, Upstream,
    identity::{ClientTls, Identity, IdentitySettings, Purpose, Workload},
};
use sidecar_contract::ports::listen_candidates;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use self::{admin::ProxyAdmin, forward::Forward, local::LocalModel, metrics::ProxyMetrics, popular::Popular};
use crate::{
    api::body::Budget,
    follower::Paths,
    limits::{ADMIN_CONNECTIONS_MAX, CONNECTIONS_MAX, HTTP2_CONNECTIONS_MAX, PROXY_DRAIN_TIMEOUT},
    metrics::identity::IdentityMetrics,
    server::{ConnectionLimits, RequestBody, ShutdownSignals, serve},
};

pub use forward::{ANSWERED_BY_HEADER, FALLBACK_HEADER};

/// Settings of an app's sidecar.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// Application port.
    pub listen: SocketAddr,
    /// Admin port.
    pub admin_listen: SocketAddr,
    /// Where the serving pods are.
    pub upstreams: Vec<Target>,
    /// Time for a request that does not state one.
    pub timeout: Duration,
    /// Mutual TLS; `None`: plaintext.
    pub mutual_tls: Option<ProxyTlsSettings>,
    /// Local mode: what the own copy of the model follows.
    pub local: Option<Paths>,
}

/// Mutual TLS with serving pods.
#[derive(Clone, Debug)]
pub struct ProxyTlsSettings {
    /// The identity of the app's pod.
    pub identity: IdentitySettings,
    /// The ServiceAccount of the serving pods.
    pub server: Workload,
}

/// A started sidecar of an app.
#[derive(Debug)]
pub struct Proxy {
    /// Bound address of the application port.
    pub address: SocketAddr,
    /// Bound address of the admin port.
    pub admin_address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinSet<()>,
    /// Tasks that have no end.
    background: JoinSet<()>,
}

impl Proxy {
    /// Binds both ports and starts. It waits for no serving pod: the app starts without one.
    ///
    /// # Errors
    /// A port that is in use.
    pub async fn start(settings: ProxySettings) -> Result<Self> {
        let bind = async |address: SocketAddr| {
            let listener = TcpListener::bind(&*listen_candidates(address)).await;
            listener.with_context(|| format!("cannot listen on {address}"))
        };
        let (listener, admin_listener) = (bind(settings.listen).await?, bind(settings.admin_listen).await?);
        let (address, admin_address) = (listener.local_addr()?, admin_listener.local_addr()?);

        let metrics = Arc::new(ProxyMetrics::new()?);
        let mut background = JoinSet::new();
        let transport = match settings.mutual_tls {
            None => Transport::Plaintext,
            Some(ProxyTlsSettings { identity, server }) => {
                let interval = identity.interval;
                let identity =
                    Identity::open(identity, Purpose::Client, Arc::<IdentityMetrics>::clone(&metrics.identity));
                background.spawn(Arc::clone(&identity).run(interval));
                Transport::MutualTls(ClientTls::new(identity, server)?)
            }
        };
        let endpoints = Arc::new(EndpointSet::new(transport));
        let authority = settings.upstreams.first().map(ToString::to_string).context("no serving pods are named")?;
        let discovery = Arc::new(Discovery::new(settings.upstreams, Arc::clone(&endpoints)));
        let observer: Arc<dyn Observer> = Arc::<ProxyMetrics>::clone(&metrics);
        let upstream = Arc::new(Upstream::new(Arc::clone(&endpoints), Arc::clone(&discovery), observer, authority));
        let popular = Arc::new(Popular::default());
        background.spawn({
            let (discovery, metrics) = (Arc::clone(&discovery), Arc::clone(&metrics));
            async move { discovery.run(&*metrics).await }
        });
        let (stop, stopped) = watch::channel(false);
        let budget: Arc<Budget> = Arc::default();
        let follow = |paths| {
            let (metrics, budget) = (Arc::clone(&metrics.local), Arc::clone(&budget));
            Arc::new(LocalModel::follow(paths, metrics, budget, stopped.clone(), &mut background))
        };
        let local = settings.local.map(follow);
        background.spawn(popular::learn(Arc::clone(&popular), Arc::clone(&upstream), local.clone()));

        let signals = ShutdownSignals { draining: stopped.clone(), stopped };
        let mut serving = JoinSet::new();
        let forward = Arc::new(Forward::new(upstream, local, Arc::clone(&metrics), popular, budget, settings.timeout));
        let limits = ConnectionLimits {
            connections_max: CONNECTIONS_MAX,
            http2_connections_max: HTTP2_CONNECTIONS_MAX,
            counters: metrics.connections.listener("app"),
        };
        serving.spawn(serve(listener, limits, signals.clone(), move |_| {
            let forward = Arc::clone(&forward);
            move |request: Request<RequestBody>| {
                let forward = Arc::clone(&forward);
                async move { forward.handle(request).await }
            }
        }));
        let limits = ConnectionLimits {
            connections_max: ADMIN_CONNECTIONS_MAX,
            http2_connections_max: ADMIN_CONNECTIONS_MAX,
            counters: metrics.connections.listener("admin"),
        };
        let admin = Arc::new(ProxyAdmin::new(metrics, endpoints, discovery));
        serving.spawn(serve(admin_listener, limits, signals, move |_| {
            let admin = Arc::clone(&admin);
            move |request: Request<RequestBody>| {
                let admin = Arc::clone(&admin);
                async move { Ok::<_, Infallible>(admin.handle(&request)) }
            }
        }));
        tracing::info!(%address, %admin_address, "listening");
        Ok(Self { address, admin_address, stop, serving, background })
    }

    /// Stops: no new requests, and a short time for those in flight.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let drained = async { while self.serving.join_next().await.is_some() {} };
        if tokio::time::timeout(PROXY_DRAIN_TIMEOUT, drained).await.is_err() {
            tracing::info!("requests in flight are aborted");
        }
        self.serving.abort_all();
        self.background.abort_all();
    }
}
