//! Answers from a revision that is loaded in this process.

mod candidates;
mod explain;
mod filter;
mod filter_cache;
mod item_data;
mod list_cache;
mod model;
mod rerank;
mod resolve;
mod target;

use std::{borrow::Cow, collections::HashSet, slice, sync::Arc};

use catalogue::{Catalogue, CatalogueError};
use sidecar_contract::ServingMode;

use self::{
    candidates::Candidate,
    explain::{Parts, explain},
    filter_cache::FilterCache,
    item_data::ItemData,
    list_cache::ListKey,
    resolve::Resolved,
};
pub use self::{
    list_cache::{ListCache, Lookups},
    model::{Model, ModelError},
};
use crate::{
    answer::{Answer, Contribution, Explanation, Item, LeftOut, POPULARITY, Part, Reason},
    ask::{Ask, Page},
    cursor::Last,
    error::AnswerError,
};

/// A loaded revision in its part of a Recommender. Immutable; its model is shared with other values
/// that serve the same revision in another mode.
#[derive(Clone, Debug)]
pub struct Local {
    model: Arc<Model>,
    catalogue: Option<Arc<Catalogue>>,
    /// Of the catalogue.
    filters: Option<Arc<FilterCache>>,
    /// What its answers name.
    part: Part,
    mode: ServingMode,
    lists: Option<Arc<ListCache>>,
}

impl Local {
    /// A revision that answers as this variant, without a catalogue and without a cache.
    pub fn new(model: Arc<Model>, variant: &str, mode: ServingMode) -> Self {
        let part = Part {
            name: None,
            revision: revision(&model, mode).to_owned(),
            variant: variant.to_owned(),
            catalogue: None,
        };
        Self { model, catalogue: None, filters: None, part, mode, lists: None }
    }

    /// The same revision and variant in another mode, without a cache.
    #[must_use]
    pub fn with_mode(&self, mode: ServingMode) -> Self {
        let part = Part { revision: revision(&self.model, mode).to_owned(), ..self.part.clone() };
        Self { part, mode, lists: None, ..self.clone() }
    }

    /// The same revision, variant and mode with this catalogue, without cached lists.
    ///
    /// # Errors
    /// A catalogue of another revision.
    pub fn with_catalogue(&self, catalogue: Option<Arc<Catalogue>>) -> Result<Self, CatalogueError> {
        if let Some(catalogue) = &catalogue {
            catalogue.verify_revision(self.model.digest(), self.model.snapshot().items())?;
        }
        let version = catalogue.as_ref().map(|catalogue| catalogue.version().to_owned());
        let part = Part { catalogue: version, ..self.part.clone() };
        let filters = catalogue.as_ref().and_then(|_| FilterCache::new(self.model.snapshot().size_bytes()));
        Ok(Self { catalogue, filters: filters.map(Arc::new), part, lists: None, ..self.clone() })
    }

    /// The same revision, variant and mode with a cache that is empty.
    #[must_use]
    pub fn with_cache(&self, lists: Option<ListCache>) -> Self {
        Self { lists: lists.map(Arc::new), ..self.clone() }
    }

    /// Memory of the cached lists and the sets of items of filters, in bytes.
    pub fn cached_bytes(&self) -> u64 {
        let lists = self.lists.as_ref().map_or(0, |lists| lists.bytes());
        lists + self.filters.as_ref().map_or(0, |filters| filters.bytes())
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The catalogue; `None` if titles and availability are those of the snapshot.
    pub fn catalogue(&self) -> Option<&Arc<Catalogue>> {
        self.catalogue.as_ref()
    }

    /// Title of an item, if it has one.
    pub fn title(&self, row: u32) -> Option<&str> {
        self.data().title(row)
    }

    /// Whether an item may be recommended.
    pub fn is_available(&self, row: u32) -> bool {
        self.data().is_available(row)
    }

    fn data(&self) -> ItemData<'_> {
        ItemData::new(self.model.snapshot(), self.catalogue.as_deref(), self.filters.as_deref())
    }

    /// Whether the factors answer, or popularity alone.
    pub fn mode(&self) -> ServingMode {
        self.mode
    }

    /// What answers: the revision, or its popularity ranking only.
    pub fn revision(&self) -> &str {
        &self.part.revision
    }

    /// Answers a question. Items that the user interacted with in training, the history's items,
    /// excluded items and unavailable ones are left out. Ids that the model does not have are
    /// ignored. An unknown user without a history gets popular items.
    ///
    /// # Errors
    /// A history that cannot be folded in or overflows, or an unknown item to be similar to.
    pub fn answer(&self, ask: &Ask) -> Result<Answer<'_>, AnswerError> {
        let key = self.list_key(ask);
        self.recall(ask, key).map_or_else(|| self.compute(ask, key), Ok)
    }

    /// The key of a question's list in the cache; `None` if its list is not kept.
    pub fn list_key(&self, ask: &Ask) -> Option<ListKey> {
        self.lists.as_ref().and_then(|_| ListKey::of(&self.model, ask))
    }

    /// The answer to a question whose list is in the cache under this key.
    pub fn recall(&self, ask: &Ask, key: Option<ListKey>) -> Option<Answer<'_>> {
        let list = self.lists.as_ref()?.get(&key?)?;
        Some(self.document(ask, list.iter().filter_map(|candidate| self.item(candidate, None)).collect()))
    }

    /// Answers a question as [`Self::answer`], without a look into the cache, which then keeps the
    /// list under the key.
    ///
    /// # Errors
    /// Those of [`Self::answer`].
    pub fn compute(&self, ask: &Ask, key: Option<ListKey>) -> Result<Answer<'_>, AnswerError> {
        let resolved = Resolved::new(&self.model, self.data(), ask)?;
        let candidates = candidates::generate(&resolved, self.mode)?;
        let ranked = rerank::rerank(candidates);
        if ranked.iter().any(|candidate| !candidate.score.is_finite()) {
            return Err(AnswerError::Overflow);
        }
        let ranked = ranked.get(..resolved.n.min(ranked.len())).unwrap_or_default();
        if let Some((lists, key)) = self.lists.as_ref().zip(key) {
            lists.insert(key, ranked);
        }
        let parts = if ask.explain { explain(&resolved, ranked)? } else { Vec::new() };
        let items = ranked.iter().enumerate().filter_map(|(index, candidate)| {
            let parts = parts.get(index).and_then(Option::as_ref);
            self.item(candidate, parts)
        });
        let is_short = ranked.len() < resolved.n;
        let last = ranked.last().filter(|_| ask.page != Page::Only && !is_short);
        let last = last.map(|Candidate { row, score: _, source }| Last { row: *row, source: *source });
        Ok(Answer {
            left_out: left_out(&resolved, ask, ranked),
            matches: if is_short { resolved.filter.matches(&ask.filter) } else { None },
            next: last.map(|last| last.encode(ask, self.model.digest())),
            ..self.document(ask, items.collect())
        })
    }

    fn document<'a>(&'a self, ask: &Ask, items: Vec<Item<'a>>) -> Answer<'a> {
        Answer {
            request_id: ask.request_id.clone(),
            parts: Cow::Borrowed(slice::from_ref(&self.part)),
            items,
            left_out: Vec::new(),
            matches: None,
            next: None,
            degraded: false,
            missing: Vec::new(),
        }
    }

    /// The candidate with ids in place of rows.
    fn item(&self, candidate: &Candidate, parts: Option<&Parts>) -> Option<Item<'_>> {
        let snapshot = self.model.snapshot();
        let id = |row: u32| snapshot.item_id(row).map(Cow::Borrowed);
        let title = |row: u32| self.title(row).map(Cow::Borrowed);
        let explanation = parts.map(|Parts { contributions, remainder, baseline }| {
            let named = contributions.iter().filter_map(|&(row, contribution)| {
                Some(Contribution { id: id(row)?, title: title(row), contribution })
            });
            Explanation { contributions: named.collect(), remainder: *remainder, baseline: *baseline }
        });
        let &Candidate { row, score, source } = candidate;
        Some(Item { id: id(row)?, title: title(row), score, source, explanation })
    }
}

/// What answers in a mode: the revision, or its popularity ranking only.
fn revision(model: &Model, mode: ServingMode) -> &str {
    if mode.is_personalized() { model.digest().revision() } else { POPULARITY }
}

/// The candidates of the question that are not in the list.
fn left_out(resolved: &Resolved<'_>, ask: &Ask, ranked: &[Candidate]) -> Vec<LeftOut> {
    let Some(ids) = &ask.filter.candidates else { return Vec::new() };
    let listed: HashSet<u32> = ranked.iter().map(|candidate| candidate.row).collect();
    let reason = |id: &String| match resolved.model.snapshot().item_index(id) {
        None => Some(Reason::Unknown),
        Some(row) if listed.contains(&row) => None,
        Some(row) => Some(resolved.filter.reason(row).unwrap_or(Reason::BeyondN)),
    };
    let mut named = HashSet::new();
    let once = ids.iter().filter(|id| named.insert(id.as_str()));
    once.filter_map(|id| Some(LeftOut { id: id.clone(), reason: reason(id)? })).collect()
}
