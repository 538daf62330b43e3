//! Follows the serving config: watches the file, loads what it names, and swaps models. Whatever
//! fails, the current revision keeps serving and the report states what failed.
//!
//! The config is read while a model loads. A revision that the config no longer names is never
//! swapped in.

mod cache;
mod catalogue;
mod load;
mod load_error;
mod plan;
mod retired;

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use ::catalogue::Catalogue;
use answering::{Answerer, DEFAULT_VARIANT, Local, Model, Source};
use sidecar_contract::{CatalogueRef, Digest, LoadFailure, Reading, RevisionRef, RevisionRole, ServingConfig};
use tokio::{
    sync::watch,
    task::{self, AbortHandle, JoinError, JoinSet},
    time::Instant,
};

use self::{
    cache::{Cache, Crash},
    catalogue::Change,
    load::{Origin, load},
    load_error::LoadError,
    plan::{Plan, Situation},
    retired::Retired,
};
use crate::{
    admin::Report,
    config_file::ConfigFile,
    engine::Engine,
    limits::{LOAD_RETRY_MAX, LOAD_RETRY_MIN},
    model_observer::ModelObserver,
    server::wait_until_true,
    serving::{Serving, describe},
};

/// Files of the follower.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The mounted serving config.
    pub config_file: PathBuf,
    /// The mounted store credential.
    pub credentials_dir: PathBuf,
    /// Verified snapshots and markers.
    pub cache_dir: PathBuf,
    /// This pod, for `loadsFirst`.
    pub pod_name: Option<String>,
    /// Interval at which the config is read.
    pub config_poll: Duration,
}

/// When a revision whose load failed is loaded again.
#[derive(Clone, Copy, Debug)]
struct Retry {
    due: Instant,
    pause: Duration,
}

/// A revision with its catalogue, which is never served without.
#[derive(Debug)]
struct LoadedRevision {
    model: Arc<Model>,
    catalogue: Option<Arc<Catalogue>>,
}

type Loaded = (Digest, Result<LoadedRevision, LoadError>);

/// A catalogue for the revision that serves.
type LoadedCatalogue = (CatalogueRef, Result<Arc<Catalogue>, LoadError>);

/// The follower's own state. What serves is in the engine.
#[derive(Debug)]
pub struct Follower {
    paths: Paths,
    cache: Cache,
    engine: Arc<Engine>,
    observer: Arc<dyn ModelObserver>,
    report: Arc<Report>,
    config_file: ConfigFile<ServingConfig>,
    config: Option<Arc<ServingConfig>>,
    local: Option<Arc<Local>>,
    loads: JoinSet<Loaded>,
    /// One load for each digest.
    loading: HashMap<Digest, AbortHandle>,
    retries: BTreeMap<Digest, Retry>,
    /// Loads during which an earlier process ended.
    crashes: BTreeMap<Digest, Crash>,
    retired: Retired<Model>,
    catalogues: JoinSet<LoadedCatalogue>,
    /// Version of the catalogue that is being loaded.
    loading_catalogue: Option<(String, AbortHandle)>,
    /// Version of the catalogue whose load failed.
    failed_catalogue: Option<(String, Retry)>,
    retired_catalogues: Retired<Catalogue>,
}

impl Follower {
    /// A follower that has read nothing yet.
    pub fn new(
        paths: Paths,
        engine: Arc<Engine>,
        observer: Arc<impl ModelObserver + 'static>,
        report: Arc<Report>,
    ) -> Self {
        let cache = Cache::new(&paths.cache_dir);
        Self {
            crashes: cache.crashes(),
            config_file: ConfigFile::new(paths.config_file.clone()),
            paths,
            cache,
            engine,
            observer,
            report,
            config: None,
            local: None,
            loads: JoinSet::new(),
            loading: HashMap::new(),
            retries: BTreeMap::new(),
            retired: Retired::default(),
            catalogues: JoinSet::new(),
            loading_catalogue: None,
            failed_catalogue: None,
            retired_catalogues: Retired::default(),
        }
    }

    /// Follows until `stop` turns true. Loads that still run are aborted, so a store that does not
    /// answer does not delay the shutdown.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            self.observe();
            self.act();
            tokio::select! {
                () = wait_until_true(&mut stop) => return,
                Some(finished) = self.loads.join_next_with_id() => self.finish(finished),
                Some(finished) = self.catalogues.join_next() => self.finish_catalogue(finished),
                () = tokio::time::sleep(self.paths.config_poll) => {}
            }
        }
    }

    /// Reads the config once, loads what it names, and returns when no load runs.
    pub async fn step(&mut self) {
        self.observe();
        self.act();
        loop {
            tokio::select! {
                Some(finished) = self.loads.join_next_with_id() => self.finish(finished),
                Some(finished) = self.catalogues.join_next() => self.finish_catalogue(finished),
                else => return,
            }
            self.observe();
            self.act();
        }
    }

    /// Reads the config, and unmaps retired models.
    fn observe(&mut self) {
        self.retired.release();
        self.retired_catalogues.release();
        if let Some(reading) = self.config_file.read_new() {
            self.apply(reading);
        }
    }

    fn apply(&mut self, reading: Reading<ServingConfig>) {
        // The hash is that of the text: a field of a newer operator is part of it.
        let Reading { document: mut config, hash, ignored } = reading;
        let unknown: Vec<String> = config.unknown_values().into_iter().chain(ignored).collect();
        if !unknown.is_empty() {
            tracing::warn!(?unknown, "the serving config has values that this build does not know");
        }
        config.revisions.retain(|revision| revision.role.known().is_some());
        for source in config.fallback.iter().filter(|source| *source != Source::Popular.as_str()) {
            tracing::warn!(source, "ignored a fallback that this build does not know");
        }
        tracing::info!(config = hash.revision(), revisions = config.revisions.len(), "applied a serving config");
        self.report.set_config(config.clone(), self.paths.credentials_dir.clone());
        self.report.update(|report| {
            report.config_hash = Some(hash);
            report.unknown = unknown;
            // The failure of a revision that was withdrawn is history.
            report.failure.take_if(|f| !config.revisions.iter().any(|r| r.digest == f.digest));
        });
        self.retries.clear();
        self.failed_catalogue = None;
        if let Some(local) = &self.local {
            let digest = local.model().digest();
            let wanted = config.revisions.iter().find(|revision| revision.digest == *digest);
            // An unknown mode changes nothing; the report lists it.
            let mode = wanted.and_then(|revision| revision.serving_mode.known());
            if let Some(mode) = mode.filter(|mode| *mode != local.mode()) {
                tracing::info!(revision = digest.revision(), ?mode, "changed the serving mode");
                self.local = Some(Arc::new(local.with_mode(mode)));
            }
        }
        self.config = Some(Arc::new(config));
        self.publish();
    }

    /// Swaps in the current model with the current limits, and reports both.
    fn publish(&self) {
        let limits = self.config.as_ref().map(|config| config.limits.clone()).unwrap_or_default();
        let access = self.config.as_ref().map(|config| config.access.clone()).unwrap_or_default();
        let loaded = self.local.as_deref().map(describe);
        self.engine.publish(match &self.local {
            Some(local) => Serving { access, ..Serving::of(Answerer::Local(Arc::clone(local)), limits) },
            None => Serving { limits, access, ..Serving::default() },
        });
        let catalogue = self.local.as_ref().and_then(|local| local.catalogue()).map(AsRef::as_ref);
        let revisions = self.config.as_ref().map(|config| config.revisions.as_slice()).unwrap_or_default();
        self.observer.serves(loaded.as_ref(), catalogue, revisions);
        self.report.update(|report| {
            report.failure.take_if(|failure| loaded.as_ref().is_some_and(|loaded| failure.digest == loaded.digest));
            report.loaded = loaded;
        });
    }

    /// Aborts loads that are not needed and starts the next one.
    fn act(&mut self) {
        // A refused start changes the situation; each pass refuses another revision, so this ends.
        while let Some((revision, error, pause)) = self.start_next() {
            self.retries.insert(revision.digest.clone(), Retry { due: Instant::now() + pause, pause });
            self.report_failure(&revision, &error);
        }
        self.update_catalogue();
    }

    /// Starts to load the catalogue that the config names for the revision that serves.
    fn update_catalogue(&mut self) {
        let (Some(config), Some(local)) = (self.config.clone(), self.local.clone()) else { return };
        let loaded = local.catalogue().map(|catalogue| catalogue.version());
        let change = catalogue::change(&config, local.model().digest(), loaded);
        let wanted = if let Change::Load(wanted) = change { Some(wanted) } else { None };
        let is_loading = |(version, _): &mut (String, AbortHandle)| wanted.is_some_and(|w| w.version == *version);
        if let Some((_, load)) = self.loading_catalogue.take_if(|loading| !is_loading(loading)) {
            load.abort();
        }
        match change {
            Change::Nothing => {}
            Change::Remove => self.swap_catalogue(None),
            Change::Load(wanted) => {
                let is_paused =
                    |(version, retry): &(String, Retry)| *version == wanted.version && retry.due > Instant::now();
                if self.loading_catalogue.is_some() || self.failed_catalogue.as_ref().is_some_and(is_paused) {
                    return;
                }
                let (origin, wanted) = (self.origin(&config), wanted.clone());
                let version = wanted.version.clone();
                let load =
                    self.catalogues.spawn(async move { (wanted.clone(), catalogue::load(origin, wanted).await) });
                self.loading_catalogue = Some((version, load));
            }
        }
    }

    /// Handles the end of the load of a catalogue.
    fn finish_catalogue(&mut self, finished: Result<LoadedCatalogue, JoinError>) {
        let (wanted, outcome) = match finished {
            Ok(loaded) => loaded,
            Err(error) if error.is_cancelled() => return,
            Err(_) => {
                if let Some((version, _)) = self.loading_catalogue.take() {
                    self.fail_catalogue(&version, &LoadError::Panicked);
                }
                return;
            }
        };
        if self.loading_catalogue.take_if(|(version, _)| *version == wanted.version).is_none() {
            // The load was aborted, but the catalogue may have been complete by then.
            if let Ok(catalogue) = outcome {
                self.retired_catalogues.push(catalogue);
            }
            return;
        }
        match outcome {
            Ok(catalogue) => self.swap_catalogue(Some(catalogue)),
            Err(error) => self.fail_catalogue(&wanted.version, &error),
        }
    }

    /// Swaps in the catalogue of the revision that serves; the model stays.
    fn swap_catalogue(&mut self, catalogue: Option<Arc<Catalogue>>) {
        let Some(before) = self.local.clone() else { return };
        let version = catalogue.as_ref().map(|catalogue| catalogue.version().to_owned()).unwrap_or_default();
        match before.with_catalogue(catalogue) {
            Ok(local) => {
                self.local = Some(Arc::new(local));
                if let Some(catalogue) = before.catalogue() {
                    self.retired_catalogues.push(Arc::clone(catalogue));
                }
                self.publish();
                self.failed_catalogue = None;
                self.observer.catalogue_swapped();
                tracing::info!(revision = before.model().digest().revision(), version, "swapped in a catalogue");
                if let Some(config) = self.config.clone() {
                    self.remove_other_files(&config);
                }
            }
            // A catalogue of another revision.
            Err(error) => self.fail_catalogue(&version, &error.into()),
        }
    }

    fn fail_catalogue(&mut self, version: &str, error: &LoadError) {
        let last = self.failed_catalogue.as_ref().filter(|(failed, _)| failed == version);
        let pause = last.map_or(LOAD_RETRY_MIN, |(_, retry)| (retry.pause * 2).min(LOAD_RETRY_MAX));
        self.failed_catalogue = Some((version.to_owned(), Retry { due: Instant::now() + pause, pause }));
        let reason = error.reason();
        tracing::error!(version, reason, %error, "a catalogue cannot be loaded; the current one stays");
        self.observer.catalogue_load_failed(reason);
    }

    fn origin(&self, config: &ServingConfig) -> Origin {
        Origin {
            cache: self.cache.clone(),
            store: config.store.clone(),
            credentials_dir: self.paths.credentials_dir.clone(),
        }
    }

    /// Starts at most one load. Returns the revision that may not be loaded because its loads ended
    /// the process, and for how long.
    fn start_next(&mut self) -> Option<(RevisionRef, LoadError, Duration)> {
        let config = Arc::clone(self.config.as_ref()?);
        let Plan { start, abort } = self.situation(&config).plan();
        let start = start.cloned();
        for digest in abort {
            if let Some(load) = self.loading.remove(&digest) {
                tracing::info!(revision = digest.revision(), "aborted an unnecessary load");
                load.abort();
            }
        }
        let revision = start?;
        let crash = self.crashes.get(&revision.digest).copied();
        let pause = crash.map(|crash| crash.remaining_pause(SystemTime::now())).unwrap_or_default();
        // Without another model, another attempt is better than serving nothing; the kubelet's
        // back-off bounds the crashes.
        let last_good = config.revision(RevisionRole::LastGood);
        let has_other = self.local.is_some() || last_good.is_some_and(|other| other.digest != revision.digest);
        if has_other && !pause.is_zero() {
            let error = LoadError::Crashed { retry_seconds: pause.as_secs() };
            return Some((revision, error, pause));
        }
        let origin = self.origin(&config);
        let earlier_crashes = crash.map_or(0, |crash| crash.loads);
        let digest = revision.digest.clone();
        let load = self.loads.spawn(async move {
            let digest = revision.digest.clone();
            (digest, load_with_catalogue(origin, revision, earlier_crashes).await)
        });
        self.loading.insert(digest, load);
        None
    }

    fn situation<'a>(&'a self, config: &'a ServingConfig) -> Situation<'a> {
        let now = Instant::now();
        let failed = self.retries.iter().filter(|(_, retry)| retry.due > now).map(|(digest, _)| digest.clone());
        let named = config.revisions.iter().map(|revision| &revision.digest);
        Situation {
            config,
            pod_name: self.paths.pod_name.as_deref(),
            serving: self.local.as_ref().map(|local| local.model().digest()),
            loading: self.loading.keys().cloned().collect(),
            failed: failed.collect(),
            cached: named.filter(|digest| self.cache.has(digest)).cloned().collect(),
        }
    }

    /// Handles the end of a load.
    fn finish(&mut self, finished: Result<(task::Id, Loaded), JoinError>) {
        let (id, loaded) = match finished {
            Ok((id, loaded)) => (id, Some(loaded)),
            Err(error) => (error.id(), None),
        };
        let started = self.loading.iter().find(|(_, load)| load.id() == id).map(|(digest, _)| digest.clone());
        let Some(digest) = started else {
            // The load was aborted, but its model may have been complete by then.
            if let Some((_, Ok(revision))) = loaded {
                self.retire(revision);
            }
            return;
        };
        self.loading.remove(&digest);
        self.crashes.remove(&digest);
        let outcome = loaded.map_or(Err(LoadError::Panicked), |(_, outcome)| outcome);
        let Some(config) = self.config.clone() else { return };
        let Some(revision) = config.revisions.iter().find(|revision| revision.digest == digest) else { return };
        match outcome {
            Ok(loaded) if self.situation(&config).is_wanted(&digest) => self.swap(loaded, revision, &config),
            Ok(loaded) => self.retire(loaded),
            Err(error) => {
                let last = self.retries.get(&digest);
                let pause = last.map_or(LOAD_RETRY_MIN, |retry| (retry.pause * 2).min(LOAD_RETRY_MAX));
                self.retries.insert(digest, Retry { due: Instant::now() + pause, pause });
                self.report_failure(revision, &error);
            }
        }
    }

    fn swap(&mut self, loaded: LoadedRevision, revision: &RevisionRef, config: &ServingConfig) {
        // The config may have changed during the load; the next attempt reports the unknown mode.
        let Some(mode) = revision.serving_mode.known() else { return self.retire(loaded) };
        let LoadedRevision { model, catalogue } = loaded;
        // The load has verified that they belong together.
        let Ok(local) = Local::new(model, DEFAULT_VARIANT, mode).with_catalogue(catalogue) else { return };
        if let Some(before) = self.local.replace(Arc::new(local)) {
            self.retire(LoadedRevision {
                model: Arc::clone(before.model()),
                catalogue: before.catalogue().map(Arc::clone),
            });
        }
        self.publish();
        tracing::info!(revision = revision.digest.revision(), "swapped in a model");
        self.retries.remove(&revision.digest);
        self.remove_other_files(config);
        self.crashes.retain(|digest, _| config.revisions.iter().any(|revision| revision.digest == *digest));
    }

    fn retire(&mut self, LoadedRevision { model, catalogue }: LoadedRevision) {
        self.retired.push(model);
        if let Some(catalogue) = catalogue {
            self.retired_catalogues.push(catalogue);
        }
    }

    /// Removes the files that the config does not name.
    fn remove_other_files(&self, config: &ServingConfig) {
        let named = config.revisions.iter().flat_map(|revision| {
            let catalogue = revision.catalogue.as_ref().map(|catalogue| catalogue.digest.clone());
            [Some(revision.digest.clone()), catalogue]
        });
        self.cache.retain(&named.flatten().collect());
    }

    fn report_failure(&self, revision: &RevisionRef, error: &LoadError) {
        let reason = error.reason();
        tracing::error!(revision = revision.digest.revision(), reason, %error, "a revision cannot be loaded");
        self.observer.load_failed(reason);
        // The report is about the desired revision; the last good one is only a substitute.
        if revision.role == RevisionRole::Desired {
            self.report.update(|report| {
                report.failure = Some(LoadFailure {
                    digest: revision.digest.clone(),
                    reason: reason.to_owned(),
                    message: error.to_string(),
                });
            });
        }
    }
}

/// Loads a revision and its catalogue, and verifies that they belong together.
async fn load_with_catalogue(
    origin: Origin,
    revision: RevisionRef,
    earlier_crashes: u32,
) -> Result<LoadedRevision, LoadError> {
    let catalogue = catalogue::load_of(&origin, &revision).await?;
    let model = load(origin, revision, earlier_crashes).await?;
    if let Some(catalogue) = &catalogue {
        catalogue.verify_revision(model.digest(), model.snapshot().items())?;
    }
    Ok(LoadedRevision { model, catalogue })
}
