//! Metrics of the catalogue that serves, and of loads of catalogues.

use catalogue::Catalogue;
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};
use sidecar_contract::CatalogueVersion;

/// The metrics.
#[derive(Debug)]
pub struct CatalogueMetrics {
    items: IntGaugeVec,
    decided_at: IntGaugeVec,
    swaps: IntCounter,
    failures: IntCounterVec,
}

impl CatalogueMetrics {
    /// Creates and registers the metrics.
    ///
    /// # Errors
    /// Only if two metrics have the same name.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let items = IntGaugeVec::new(
            Opts::new(
                "recommender_catalogue_items",
                "Items of the catalogue that serves: all of them, and those that are available.",
            ),
            &["state"],
        )?;
        let decided_at = IntGaugeVec::new(
            Opts::new(
                "recommender_catalogue_decided_timestamp_seconds",
                "Time of the decision to make the catalogue that serves, in seconds since 1970.",
            ),
            &[],
        )?;
        let swaps = IntCounter::new(
            "recommender_catalogue_swaps_total",
            "Catalogues that were swapped in for a revision that served already.",
        )?;
        let failures = IntCounterVec::new(
            Opts::new(
                "recommender_catalogue_load_failures_total",
                "Failed attempts to load a catalogue for the revision that serves, by reason.",
            ),
            &["reason"],
        )?;
        registry.register(Box::new(items.clone()))?;
        registry.register(Box::new(decided_at.clone()))?;
        registry.register(Box::new(swaps.clone()))?;
        registry.register(Box::new(failures.clone()))?;
        Ok(Self { items, decided_at, swaps, failures })
    }

    /// Counts a failed attempt to load a catalogue for the revision that serves.
    pub fn count_failure(&self, reason: &str) {
        self.failures.with_label_values(&[reason]).inc();
    }

    /// Counts a catalogue that was swapped in for a revision that served already.
    pub fn count_swap(&self) {
        self.swaps.inc();
    }

    /// Updates the metrics of the catalogue that serves; they are absent without one.
    pub fn set(&self, catalogue: Option<&Catalogue>) {
        self.items.reset();
        self.decided_at.reset();
        let Some(catalogue) = catalogue else { return };
        for (state, items) in [("all", catalogue.items()), ("available", catalogue.available_items())] {
            self.items.with_label_values(&[state]).set(i64::try_from(items).unwrap_or(i64::MAX));
        }
        // A file that was made outside a cluster may have a version without a time.
        if let Some(version) = CatalogueVersion::parse(catalogue.version()) {
            self.decided_at.with_label_values::<&str>(&[]).set(version.decided_at);
        }
    }
}
