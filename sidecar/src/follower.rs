//! Follows the serving config: fetch ► verify ► headroom ► marker ► open ► warm up ► swap. Whatever fails, the model that
//! answers now goes on answering, and the report says what failed.

mod cache;

use std::{
    collections::BTreeSet,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use model_snapshot::SnapshotError;
use sidecar_contract::{Digest, LoadFailure, RevisionRef, RevisionRole, ServingConfig};
use store_client::{Store, StoreCredentials, StoreError};
use tokio::{sync::watch, time::Instant};

use self::cache::Cache;
use crate::{
    admin::Report,
    answer::POPULAR,
    engine::Engine,
    headroom,
    limits::{CONFIG_BYTES_MAX, LOAD_RETRY_MAX, LOAD_RETRY_MIN},
    loading,
    metrics::Metrics,
    model::{ModelError, ServingModel},
    server::told,
};

/// Where the follower finds things.
#[derive(Clone, Debug)]
pub struct Places {
    /// The mounted serving config.
    pub config_file: PathBuf,
    /// The mounted store credential.
    pub credentials_dir: PathBuf,
    /// Verified snapshots and markers.
    pub cache_dir: PathBuf,
    /// This pod, for `loadsFirst`.
    pub pod_name: Option<String>,
    /// How often the config is looked at.
    pub config_poll: Duration,
}

/// Why a revision could not be loaded.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Model(#[from] ModelError),
    #[error(
        "the snapshot needs {missing} bytes more than the container's memory limit leaves; raise spec.serving.resources.limits.memory by at least that"
    )]
    Capacity { missing: u64 },
    #[error(
        "the process ended while it loaded this revision the last time; raise spec.serving.resources.limits.memory if it was killed for memory"
    )]
    Crashed,
    #[error("{path}: {source}")]
    Cache { path: PathBuf, source: std::io::Error },
}

impl LoadError {
    /// From the closed set of the contract.
    fn reason(&self) -> &'static str {
        match self {
            Self::Store(StoreError::NotFound { .. }) => "NotFound",
            Self::Store(StoreError::TooLarge { .. }) | Self::Capacity { .. } => "CapacityInsufficient",
            Self::Store(StoreError::Corrupt { .. })
            | Self::Model(ModelError::Snapshot(SnapshotError::WrongDigest { .. })) => "DigestMismatch",
            Self::Store(_) => "StoreUnreachable",
            Self::Model(ModelError::Snapshot(SnapshotError::UnknownVersion { .. }) | ModelError::Algorithm(_)) => {
                "FormatUnknown"
            }
            Self::Model(_) => "Corrupt",
            Self::Crashed => "CrashedWhileLoading",
            Self::Cache { .. } => "CacheUnwritable",
        }
    }
}

/// The follower's own state; the model itself lives in the engine.
#[derive(Debug)]
pub struct Follower {
    places: Places,
    cache: Cache,
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
    report: Arc<Report>,
    config: Option<ServingConfig>,
    config_text: String,
    /// Revisions whose loading killed an earlier process.
    crashed: BTreeSet<Digest>,
    next_try: Instant,
    pause: Duration,
}

impl Follower {
    /// A follower that has seen nothing yet.
    pub fn new(places: Places, engine: Arc<Engine>, metrics: Arc<Metrics>, report: Arc<Report>) -> Self {
        let cache = Cache::new(places.cache_dir.clone());
        let crashed = cache.markers();
        Self {
            places,
            cache,
            engine,
            metrics,
            report,
            config: None,
            config_text: String::new(),
            crashed,
            next_try: Instant::now(),
            pause: LOAD_RETRY_MIN,
        }
    }

    /// Follows until `stop` turns true.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            // A store that does not answer must not hold up the shutdown.
            tokio::select! {
                () = self.step() => {}
                () = told(&mut stop) => return,
            }
            tokio::select! {
                () = tokio::time::sleep(self.places.config_poll) => {}
                () = told(&mut stop) => {}
            }
        }
    }

    /// Looks at the config once and loads what it asks for.
    pub async fn step(&mut self) {
        self.read_config();
        let Some(config) = self.config.clone() else { return };
        self.change_what_answers(&config);
        let due = Instant::now() >= self.next_try;
        let serving = self.engine.model().map(|model| model.digest.clone());
        let desired = config.revision(RevisionRole::Desired);
        let last_good = config.revision(RevisionRole::LastGood);
        let mine = config.loads_first.is_none() || config.loads_first == self.places.pod_name;
        if let Some(desired) = desired.filter(|revision| mine && Some(&revision.digest) != serving.as_ref())
            && due
        {
            match self.load(&config, desired, last_good.is_some()).await {
                Ok(model) => self.swap(model, &config),
                Err(error) => self.failed(desired, &error),
            }
        }
        // Something must answer: the last good one, when the desired one is not there (yet).
        if self.engine.model().is_none()
            && due
            && let Some(last_good) = last_good
        {
            match self.load(&config, last_good, false).await {
                Ok(model) => self.swap(model, &config),
                Err(error) => {
                    tracing::error!(revision = last_good.digest.revision(), %error, "the last good revision cannot be loaded");
                    self.metrics.count_load_failure(error.reason());
                    self.retry_later();
                }
            }
        }
    }

    fn read_config(&mut self) {
        let text = match read_limited(&self.places.config_file) {
            Ok(text) => text,
            Err(error) => {
                if self.config.is_none() {
                    tracing::warn!(file = %self.places.config_file.display(), %error, "no serving config yet");
                }
                return;
            }
        };
        if text == self.config_text {
            return;
        }
        match serde_json::from_str::<ServingConfig>(&text) {
            Ok(config) => {
                let serving = self.engine.model().map(|model| model.digest.revision().to_owned());
                self.metrics.set_revisions(&config.revisions, serving.as_deref());
                self.engine.set_limits(config.limits.clone());
                for source in config.fallback.iter().filter(|source| *source != POPULAR) {
                    tracing::warn!(source, "a fallback that this build does not know is passed over");
                }
                let hash = config.hash();
                tracing::info!(config = hash.revision(), revisions = config.revisions.len(), "took a serving config");
                self.report.set_store(config.store.clone(), self.places.credentials_dir.clone());
                self.report.update(|report| {
                    report.config_hash = Some(hash);
                    // A failure of a revision that is not wanted any more is history.
                    report.failure.take_if(|f| !config.revisions.iter().any(|r| r.digest == f.digest));
                });
                self.config = Some(config);
                self.next_try = Instant::now();
                self.pause = LOAD_RETRY_MIN;
            }
            Err(error) => tracing::error!(%error, "the serving config is not readable; the last one stays in force"),
        }
        self.config_text = text;
    }

    /// The revision that serves may answer with more or less of it than before; nothing is loaded for that.
    fn change_what_answers(&self, config: &ServingConfig) {
        let Some(model) = self.engine.model() else { return };
        let Some(wanted) = config.revisions.iter().find(|revision| revision.digest == model.digest) else { return };
        if wanted.answers != model.answers {
            let changed = model.answering(wanted.answers);
            tracing::info!(revision = changed.digest.revision(), answers = ?wanted.answers, "changed what answers");
            self.report.update(|report| report.loaded = Some(changed.describe()));
            self.engine.swap(Arc::new(changed));
        }
    }

    async fn load(
        &mut self,
        config: &ServingConfig,
        revision: &RevisionRef,
        has_other: bool,
    ) -> Result<ServingModel, LoadError> {
        let digest = &revision.digest;
        // Without another model to serve, trying again beats serving nothing; kubelet's back-off bounds the crashes.
        if has_other && self.crashed.contains(digest) {
            return Err(LoadError::Crashed);
        }
        if let Some(missing) = headroom::missing_bytes(revision.snapshot_bytes, headroom::headroom_bytes()) {
            return Err(LoadError::Capacity { missing });
        }
        self.cache.prepare()?;
        let path = self.cache.snapshot(digest);
        if !path.exists() {
            let credentials = StoreCredentials::read(&self.places.credentials_dir)?;
            let store = Store::open(&config.store, credentials.as_ref())?;
            store.fetch_snapshot_to(digest, &path, revision.snapshot_bytes).await?;
        }
        self.cache.mark(digest)?;
        let opened = tokio::task::spawn_blocking({
            let (cache, digest, path) = (self.cache.clone(), digest.clone(), path.clone());
            move || {
                let opened = loading::open(&path, Some(&digest)).map_err(LoadError::from);
                // Here, and not after the await: a shutdown stops waiting, and is no crash.
                cache.unmark(&digest);
                opened
            }
        })
        .await
        .unwrap_or(Err(LoadError::Crashed));
        if let Err(error) = &opened {
            // A copy that does not verify is of no use; the next try fetches a new one.
            tracing::warn!(revision = digest.revision(), %error, "a cached snapshot is discarded");
            self.cache.discard(digest);
        }
        opened.map(|model| model.answering(revision.answers))
    }

    fn swap(&mut self, model: ServingModel, config: &ServingConfig) {
        let loaded = model.describe();
        let revision = loaded.digest.revision().to_owned();
        self.engine.swap(Arc::new(model));
        self.metrics.set_model(&loaded);
        self.metrics.set_revisions(&config.revisions, Some(&revision));
        tracing::info!(revision, users = loaded.users, items = loaded.items, "swapped a model in");
        self.report.update(|report| {
            report.failure.take_if(|failure| failure.digest == loaded.digest);
            report.loaded = Some(loaded);
        });
        let keep: BTreeSet<Digest> = config.revisions.iter().map(|r| r.digest.clone()).collect();
        self.cache.keep_only(&keep);
        self.crashed.retain(|digest| keep.contains(digest));
        self.pause = LOAD_RETRY_MIN;
    }

    fn failed(&mut self, revision: &RevisionRef, error: &LoadError) {
        let reason = error.reason();
        tracing::error!(revision = revision.digest.revision(), reason, %error, "a revision cannot be loaded");
        self.metrics.count_load_failure(reason);
        self.report.update(|report| {
            report.failure = Some(LoadFailure {
                digest: revision.digest.clone(),
                reason: reason.to_owned(),
                message: error.to_string(),
            });
        });
        self.retry_later();
    }

    fn retry_later(&mut self) {
        self.next_try = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LOAD_RETRY_MAX);
    }
}

fn read_limited(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(CONFIG_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}
