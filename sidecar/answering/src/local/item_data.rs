//! Titles and availability of items: from the catalogue, or from the snapshot where none is loaded.

use catalogue::{Catalogue, Filter};
use factorization::Scorer;
use model_snapshot::Snapshot;

use super::filter_cache::{FilterCache, Selected};
use crate::error::AnswerError;

/// Data about the items of a revision.
#[derive(Clone, Copy, Debug)]
pub struct ItemData<'a> {
    snapshot: &'a Snapshot,
    catalogue: Option<&'a Catalogue>,
    /// Of the catalogue.
    filters: Option<&'a FilterCache>,
}

impl<'a> ItemData<'a> {
    /// Data of the catalogue, which belongs to the snapshot's revision.
    pub fn new(snapshot: &'a Snapshot, catalogue: Option<&'a Catalogue>, filters: Option<&'a FilterCache>) -> Self {
        Self { snapshot, catalogue, filters }
    }

    /// The snapshot.
    pub fn snapshot(self) -> &'a Snapshot {
        self.snapshot
    }

    /// Title of an item, if it has one.
    pub fn title(self, row: u32) -> Option<&'a str> {
        match self.catalogue {
            Some(catalogue) => catalogue.title(row),
            None => self.snapshot.title(row),
        }
    }

    /// Whether an item may be recommended.
    pub fn is_available(self, row: u32) -> bool {
        match self.catalogue {
            Some(catalogue) => catalogue.is_available(row),
            None => self.snapshot.is_available(row),
        }
    }

    /// The available items that satisfy these conditions; `None`: all available items.
    ///
    /// # Errors
    /// Conditions that the catalogue cannot evaluate, or conditions without a catalogue.
    pub fn select(self, matching: &Filter, scorer: &Scorer<'_>) -> Result<Option<Selected<'a>>, AnswerError> {
        let Some(catalogue) = self.catalogue else {
            return if matching.is_empty() { Ok(None) } else { Err(AnswerError::NoCatalogue) };
        };
        let evaluate = || catalogue.select(matching);
        match self.filters.filter(|_| !matching.is_empty()) {
            Some(filters) => Ok(filters.select(matching, scorer, evaluate)?),
            None => Ok(evaluate()?.map(Selected::Once)),
        }
    }
}
