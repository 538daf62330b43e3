//! What a follower reports about models and catalogues, for metrics.

use std::fmt::Debug;

use catalogue::Catalogue;
use sidecar_contract::{LoadedModel, RevisionRef};

/// Receives what a follower reports.
pub trait ModelObserver: Debug + Send + Sync {
    /// What serves now, and the revisions that the serving config names.
    fn serves(&self, model: Option<&LoadedModel>, catalogue: Option<&Catalogue>, revisions: &[RevisionRef]);

    /// A revision could not be loaded; the reason comes from a closed set.
    fn load_failed(&self, reason: &'static str);

    /// A catalogue was swapped in for the revision that serves.
    fn catalogue_swapped(&self);

    /// A catalogue could not be loaded for the revision that serves.
    fn catalogue_load_failed(&self, reason: &'static str);
}
