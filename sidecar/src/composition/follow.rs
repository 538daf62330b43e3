//! Follows the file with the composition: starts what asks new parts, and swaps. A text that is not
//! readable leaves the last one in force.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use answering::{Answerer, Upstream};
use sidecar_contract::{CompositionConfig, Digest, PartConfig, Reading, Rule};
use tokio::{sync::watch, time::Instant};

use super::{
    composer::Composer,
    part::{Part, PartsIdentity},
};
use crate::{
    admin::Report,
    config_file::ConfigFile,
    engine::Engine,
    limits::{FIRST_LOOKUP_INTERVAL, FIRST_LOOKUP_MAX},
    metrics::Metrics,
    server::wait_until_true,
    serving::{Composed, Serving},
};

/// The mounted file.
#[derive(Clone, Debug)]
pub struct CompositionPaths {
    /// The composition, as JSON.
    pub config_file: PathBuf,
    /// Interval at which it is read.
    pub config_poll: Duration,
}

/// What a composition is served with.
#[derive(Debug)]
pub struct Followed {
    /// What serves.
    pub engine: Arc<Engine>,
    /// Metrics of the process.
    pub metrics: Arc<Metrics>,
    /// The report of the pod.
    pub report: Arc<Report>,
    /// Identity of the pod.
    pub identity: PartsIdentity,
}

/// Follows until `stop` turns true.
pub async fn follow(paths: CompositionPaths, followed: Followed, mut stop: watch::Receiver<bool>) {
    let mut file = ConfigFile::<CompositionConfig>::new(paths.config_file);
    let mut parts: BTreeMap<String, Arc<Part>> = BTreeMap::new();
    loop {
        if let Some(reading) = file.read_new() {
            parts = followed.apply(reading, &parts).await;
        }
        for part in parts.values() {
            part.measure();
        }
        tokio::select! {
            () = wait_until_true(&mut stop) => return,
            () = tokio::time::sleep(paths.config_poll) => {}
        }
    }
}

impl Followed {
    /// Swaps a composition in. Returns what asks its parts: parts that stay keep their connections.
    async fn apply(
        &self,
        reading: Reading<CompositionConfig>,
        before: &BTreeMap<String, Arc<Part>>,
    ) -> BTreeMap<String, Arc<Part>> {
        let Reading { document: config, hash, ignored } = reading;
        let unknown: Vec<String> = config.unknown_values().into_iter().chain(ignored).collect();
        if !unknown.is_empty() {
            tracing::warn!(?unknown, "the composition has values that this build does not know");
        }
        let CompositionConfig { namespace, name: _, rule, parts, limits, access } = config;
        let start = |config: PartConfig| {
            let known = before.get(&config.name).filter(|part| *part.config() == config);
            let part = known
                .cloned()
                .unwrap_or_else(|| Arc::new(Part::start(config.clone(), &namespace, &self.identity, &self.metrics)));
            (config.name, part)
        };
        let parts: BTreeMap<String, Arc<Part>> = parts.into_iter().map(start).collect();
        looked_up(&parts).await;
        self.metrics.composition.set_parts(&parts.keys().cloned().collect::<BTreeSet<String>>());
        let composer = Arc::new(Composer::new(rule.clone(), parts.clone(), Arc::clone(&self.metrics)));
        let upstream: Arc<dyn Upstream> = composer;
        self.publish(Serving { access, ..Serving::of(Answerer::Upstream(upstream), limits) }, rule, hash, unknown);
        parts
    }

    fn publish(&self, serving: Serving, rule: Rule, hash: Digest, unknown: Vec<String>) {
        let revision = rule.digest().revision().to_owned();
        tracing::info!(config = hash.revision(), revision, %rule, "swapped in a composition");
        self.metrics.set_composition(&revision);
        self.engine.publish(Serving { composed: Some(Composed { revision, rule }), ..serving });
        self.report.update(|report| {
            report.config_hash = Some(hash);
            report.unknown = unknown;
        });
    }
}

/// Waits until the serving pods of each part were looked up, so that the first answers have all
/// parts; not for long, because a part may not exist.
async fn looked_up(parts: &BTreeMap<String, Arc<Part>>) {
    let end = Instant::now() + FIRST_LOOKUP_MAX;
    while Instant::now() < end && !parts.values().all(|part| part.is_looked_up()) {
        tokio::time::sleep(FIRST_LOOKUP_INTERVAL).await;
    }
}
