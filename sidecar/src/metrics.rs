//! All metrics of the serving process; `connections` and `identity` are also those of an app's
//! sidecar. Label values come from closed sets: routes, status codes, sources, reasons, and the few
//! revisions of the serving config. User and item ids are never label values.

pub mod catalogue;
pub mod composition;
pub mod connections;
pub mod identity;
mod resolved;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use ::catalogue::Catalogue;
use answering::{POPULARITY, Source};
use arc_swap::ArcSwap;
use http::StatusCode;
use prometheus::{
    Counter, Encoder, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};
use sidecar_contract::{LoadedModel, RevisionRef, ServingMode};

use self::{
    catalogue::CatalogueMetrics, composition::CompositionMetrics, connections::ConnectionMetrics,
    identity::IdentityMetrics, resolved::Resolved,
};
use crate::{
    engine::{CacheUsage, Usage},
    model_observer::ModelObserver,
};

/// Buckets in seconds: a local response takes well below a millisecond, an overloaded one about a
/// second.
const DURATION_BUCKETS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];
/// Label value `code` of a request whose client left before the response, as proxies log it. It is not
/// sent, and does not count as an error of the server.
pub const ABANDONED_CODE: &str = "499";
/// Label value of responses without a model.
const NO_REVISION: &str = "none";
/// Label value of responses from a revision that was swapped out and removed while they were
/// computed.
const RETIRED_REVISION: &str = "retired";

/// The metrics of the sidecar, with their own registry.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Revisions that may be label values. The lock is held while a series with such a label is
    /// created, so that a late response cannot recreate a removed series.
    known_revisions: RwLock<BTreeSet<String>>,
    /// Counters of successful requests by route and revision, for the known revisions.
    succeeded: ArcSwap<Vec<(String, Resolved<IntCounter>)>>,
    durations_by_route: Resolved<Histogram>,
    recommendations_by_source: Resolved<IntCounter>,
    requests: IntCounterVec,
    durations: HistogramVec,
    in_flight: IntGauge,
    compute_seconds: Counter,
    compute_threads: IntGauge,
    compute_queued: IntGauge,
    cache_lookups: IntCounterVec,
    cache_bytes: IntGauge,
    recommendations: IntCounterVec,
    load_failures: IntCounterVec,
    model_info: IntGaugeVec,
    trained_at: IntGaugeVec,
    loaded_at: IntGaugeVec,
    users: IntGaugeVec,
    items: IntGaugeVec,
    ndcg: GaugeVec,
    recall: GaugeVec,
    rmse: GaugeVec,
    /// Connections beyond the limits.
    pub connections: ConnectionMetrics,
    /// Open connections of callers with mutual TLS.
    pub mesh_connections: IntGauge,
    /// The identity of the pod, and refused callers.
    pub identity: Arc<IdentityMetrics>,
    /// The catalogue that serves, and loads of catalogues.
    pub catalogue: CatalogueMetrics,
    /// Answers of the parts of a composition.
    pub composition: CompositionMetrics,
}

/// Guard that counts one request as in flight until it is dropped.
#[derive(Debug)]
pub struct InFlight<'a>(&'a IntGauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The histogram of the time that requests take, not registered.
fn request_durations() -> Result<HistogramVec, prometheus::Error> {
    let options = HistogramOpts::new(
        "recommender_http_request_duration_seconds",
        "Time from the request head to the response, in seconds.",
    );
    HistogramVec::new(options.buckets(DURATION_BUCKETS.to_vec()), &["route"])
}

impl Metrics {
    /// Creates and registers all metrics.
    ///
    /// # Errors
    /// Only if two metrics have the same name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| -> Result<IntGaugeVec, prometheus::Error> {
            let metric = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let ratio = |name: &str, help: &str, labels: &[&str]| -> Result<GaugeVec, prometheus::Error> {
            let metric = GaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let durations = request_durations()?;
        registry.register(Box::new(durations.clone()))?;
        let in_flight = IntGauge::new("recommender_http_requests_in_flight", "Requests in flight.")?;
        registry.register(Box::new(in_flight.clone()))?;
        let compute_seconds =
            Counter::new("recommender_compute_seconds_total", "Total compute time of recommendations, in seconds.")?;
        registry.register(Box::new(compute_seconds.clone()))?;
        let plain = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let metric = IntGauge::new(name, help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let compute_threads = plain("recommender_compute_threads", "Compute threads.")?;
        let compute_queued = plain("recommender_compute_queued", "Computations that wait for a compute thread.")?;
        let cache_bytes = plain(
            "recommender_cache_bytes",
            "Memory of the lists and of the items of filters in the caches, in bytes.",
        )?;
        let mesh_connections = plain("recommender_mesh_connections", "Open connections of callers with mutual TLS.")?;
        let build = gauge("recommender_build_info", "Version of the sidecar.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self {
            requests: counter(
                "recommender_http_requests_total",
                "Requests by route, status code and serving revision.",
                &["route", "code", "revision"],
            )?,
            cache_lookups: counter(
                "recommender_cache_lookups_total",
                "Lists of known users that were looked up in the cache, by result.",
                &["result"],
            )?,
            recommendations: counter("recommender_recommendations_total", "Recommended items by source.", &["source"])?,
            load_failures: counter(
                "recommender_model_load_failures_total",
                "Failed attempts to load a revision, by reason.",
                &["reason"],
            )?,
            model_info: gauge("recommender_model_info", "The model that serves.", &["revision", "algorithm"])?,
            trained_at: gauge(
                "recommender_model_trained_timestamp_seconds",
                "End of the revision's training run, in seconds since 1970.",
                &["revision"],
            )?,
            loaded_at: gauge(
                "recommender_model_loaded_timestamp_seconds",
                "Time at which the revision was loaded, in seconds since 1970.",
                &["revision"],
            )?,
            users: gauge("recommender_model_users", "Users in the model.", &["revision"])?,
            items: gauge("recommender_model_items", "Items in the model.", &["revision"])?,
            ndcg: ratio(
                "recommender_evaluation_ndcg",
                "NDCG@k of the revision on the held-out set, for the model and its baseline.",
                &["revision", "subject", "k"],
            )?,
            recall: ratio(
                "recommender_evaluation_recall",
                "Recall@k of the revision on the held-out set, for the model and its baseline.",
                &["revision", "subject", "k"],
            )?,
            rmse: ratio(
                "recommender_evaluation_rmse",
                "Root mean squared error of the revision on the held-out set, for the model and its baseline; explicit data only.",
                &["revision", "subject"],
            )?,
            connections: ConnectionMetrics::register(&registry)?,
            mesh_connections,
            identity: Arc::new(IdentityMetrics::register(&registry)?),
            catalogue: CatalogueMetrics::register(&registry)?,
            composition: CompositionMetrics::register(&registry)?,
            registry,
            known_revisions: RwLock::default(),
            succeeded: ArcSwap::from_pointee(series_of(&BTreeSet::new())),
            durations_by_route: Resolved::default(),
            recommendations_by_source: Resolved::default(),
            durations,
            in_flight,
            compute_seconds,
            compute_threads,
            compute_queued,
            cache_bytes,
        })
    }

    /// Counts a request as in flight until the guard is dropped.
    pub fn in_flight(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }

    /// Records a response.
    pub fn observe_request(&self, route: &'static str, code: StatusCode, revision: Option<&str>, took: Duration) {
        let find = || self.durations.with_label_values(&[route]);
        self.durations_by_route.update(route, find, |duration| duration.observe(took.as_secs_f64()));
        let succeeded = self.succeeded.load();
        let series = revision
            .filter(|_| code == StatusCode::OK)
            .and_then(|revision| succeeded.iter().find(|(known, _)| known == revision).map(|(_, routes)| routes));
        if let Some(counter) = series.and_then(|routes| routes.find(route)) {
            counter.inc();
            return;
        }
        let known = self.known_revisions.read().unwrap_or_else(PoisonError::into_inner);
        let revision = match revision {
            Some(revision) if known.contains(revision) || revision == POPULARITY => revision,
            Some(_) => RETIRED_REVISION,
            None => NO_REVISION,
        };
        let counter = self.requests.with_label_values(&[route, code.as_str(), revision]);
        counter.inc();
        // Under the lock: a counter of a removed series is not resolved again.
        if let Some(routes) = series.filter(|_| revision != RETIRED_REVISION) {
            routes.keep(route, counter);
        }
        drop(known);
    }

    /// Records a request without a response: its client left.
    pub fn observe_abandoned(&self, route: &'static str, took: Duration) {
        self.durations.with_label_values(&[route]).observe(took.as_secs_f64());
        self.requests.with_label_values(&[route, ABANDONED_CODE, NO_REVISION]).inc();
    }

    /// Counts recommended items by source.
    pub fn count_recommendations(&self, source: Source, items: u64) {
        let source = source.as_str();
        let find = || self.recommendations.with_label_values(&[source]);
        self.recommendations_by_source.update(source, find, |counter| counter.inc_by(items));
    }

    /// Updates the metrics of the serving model after a swap.
    pub fn set_model(&self, loaded: &LoadedModel) {
        let is_personalized = loaded.serving_mode == ServingMode::Personalized;
        let revision = if is_personalized { loaded.digest.revision() } else { POPULARITY };
        let mut known = self.known_revisions.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(revision.to_owned());
        self.succeeded.store(Arc::new(series_of(&known)));
        self.model_info.reset();
        self.model_info.with_label_values(&[revision, &loaded.algorithm]).set(1);
        self.loaded_at.with_label_values(&[revision]).set(loaded.loaded_at);
        self.users.with_label_values(&[revision]).set(i64::try_from(loaded.users).unwrap_or(i64::MAX));
        self.items.with_label_values(&[revision]).set(i64::try_from(loaded.items).unwrap_or(i64::MAX));
        if is_personalized {
            for gauge in [&self.loaded_at, &self.users, &self.items] {
                // The only error is that there is no such series.
                let _ = gauge.remove_label_values(&[POPULARITY]);
            }
        }
    }

    /// Sets the revision of a composition, the only one that is a label value.
    pub fn set_composition(&self, revision: &str) {
        self.set_revisions(&[], Some(revision));
    }

    /// Sets the metrics of the serving config's revisions, and removes the series of all other
    /// revisions.
    fn set_revisions(&self, revisions: &[RevisionRef], serving: Option<&str>) {
        // A model of which only the popularity ranking serves has no series of its own.
        for revision in revisions.iter().filter(|revision| revision.serving_mode == ServingMode::Personalized) {
            let name = revision.digest.revision();
            self.trained_at.with_label_values(&[name]).set(revision.trained_at);
            let Some(metrics) = &revision.metrics else { continue };
            let k = metrics.k.to_string();
            for (subject, measured) in [("model", &metrics.model), ("baseline", &metrics.baseline)] {
                if let Some(rmse) = measured.rmse {
                    self.rmse.with_label_values(&[name, subject]).set(rmse);
                }
                for (gauge, value) in [(&self.ndcg, measured.ndcg), (&self.recall, measured.recall)] {
                    if let Some(value) = value {
                        gauge.with_label_values(&[name, subject, &k]).set(value);
                    }
                }
            }
        }
        let mut labels = self.known_revisions.write().unwrap_or_else(PoisonError::into_inner);
        *labels = revisions.iter().map(|r| r.digest.revision()).chain(serving).map(str::to_owned).collect();
        self.succeeded.store(Arc::new(series_of(&labels)));
        let is_known = |revision: &str| {
            [NO_REVISION, RETIRED_REVISION, POPULARITY].contains(&revision) || labels.contains(revision)
        };
        remove_stale(&self.requests, &is_known, |labels| self.requests.remove(labels));
        for gauge in [&self.trained_at, &self.loaded_at, &self.users, &self.items] {
            remove_stale(gauge, &is_known, |labels| gauge.remove(labels));
        }
        for gauge in [&self.ndcg, &self.recall, &self.rmse] {
            remove_stale(gauge, &is_known, |labels| gauge.remove(labels));
        }
    }

    /// Encodes all metrics in the text format, including the usage of the compute threads and of
    /// the cache.
    ///
    /// # Errors
    /// A metric that cannot be encoded.
    pub fn encode(&self, usage: Option<(Usage, CacheUsage)>) -> Result<Vec<u8>, prometheus::Error> {
        if let Some((Usage { threads, queued, computed }, CacheUsage { hits, misses, bytes })) = usage {
            // Concurrent scrapes may read the usage in one order and update the counter in another.
            self.compute_seconds.inc_by((computed.as_secs_f64() - self.compute_seconds.get()).max(0.0));
            self.compute_threads.set(i64::try_from(threads).unwrap_or(i64::MAX));
            self.compute_queued.set(i64::try_from(queued).unwrap_or(i64::MAX));
            for (result, lookups) in [("hit", hits), ("miss", misses)] {
                let counter = self.cache_lookups.with_label_values(&[result]);
                counter.inc_by(lookups.saturating_sub(counter.get()));
            }
            self.cache_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

impl ModelObserver for Metrics {
    fn serves(&self, model: Option<&LoadedModel>, catalogue: Option<&Catalogue>, revisions: &[RevisionRef]) {
        if let Some(model) = model {
            self.set_model(model);
        }
        self.catalogue.set(catalogue);
        self.set_revisions(revisions, model.map(|model| model.digest.revision()));
    }

    fn load_failed(&self, reason: &'static str) {
        self.load_failures.with_label_values(&[reason]).inc();
    }

    fn catalogue_swapped(&self) {
        self.catalogue.count_swap();
    }

    fn catalogue_load_failed(&self, reason: &'static str) {
        self.catalogue.count_failure(reason);
    }
}

/// No series yet of these revisions, nor of the popularity ranking alone.
fn series_of(revisions: &BTreeSet<String>) -> Vec<(String, Resolved<IntCounter>)> {
    let names = revisions.iter().map(String::as_str).chain([POPULARITY]);
    names.map(|name| (name.to_owned(), Resolved::default())).collect()
}

/// Removes the series of unknown revisions.
fn remove_stale<C: Collector>(
    metric: &C,
    is_known: &dyn Fn(&str) -> bool,
    remove: impl Fn(&HashMap<&str, &str>) -> prometheus::Result<()>,
) {
    for family in metric.collect() {
        for series in family.get_metric() {
            let labels: HashMap<&str, &str> = series.get_label().iter().map(|l| (l.name(), l.value())).collect();
            if labels.get("revision").is_some_and(|revision| !is_known(revision)) {
                // The only error is that the series does not exist any more.
                let _ = remove(&labels);
            }
        }
    }
}
