//! Answers from a revision that is loaded in this process.

mod candidates;
mod explain;
mod filter;
mod list_cache;
mod model;
mod rerank;
mod resolve;
mod target;

use std::sync::Arc;

use sidecar_contract::ServingMode;

use self::{
    candidates::Candidate,
    explain::{Parts, explain},
    list_cache::ListKey,
    resolve::Resolved,
};
pub use self::{
    list_cache::{ListCache, Lookups},
    model::{Model, ModelError},
};
use crate::{
    answer::{Answer, Contribution, Explanation, Item, POPULARITY, Part},
    ask::Ask,
    error::AnswerError,
};

/// A loaded revision in its part of a Recommender. Immutable; its model is shared with other values
/// that serve the same revision in another mode.
#[derive(Clone, Debug)]
pub struct Local {
    model: Arc<Model>,
    variant: String,
    mode: ServingMode,
    lists: Option<Arc<ListCache>>,
}

impl Local {
    /// A revision that answers as this variant, without a cache.
    pub fn new(model: Arc<Model>, variant: &str, mode: ServingMode) -> Self {
        Self { model, variant: variant.to_owned(), mode, lists: None }
    }

    /// The same revision and variant in another mode, without a cache.
    #[must_use]
    pub fn with_mode(&self, mode: ServingMode) -> Self {
        Self { mode, lists: None, ..self.clone() }
    }

    /// The same revision, variant and mode with a cache that is empty.
    #[must_use]
    pub fn with_cache(&self, lists: Option<ListCache>) -> Self {
        Self { lists: lists.map(Arc::new), ..self.clone() }
    }

    /// Memory of the cached lists, in bytes.
    pub fn cached_bytes(&self) -> u64 {
        self.lists.as_ref().map_or(0, |lists| lists.bytes())
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Whether the factors answer, or popularity alone.
    pub fn mode(&self) -> ServingMode {
        self.mode
    }

    /// What answers: the revision, or its popularity ranking only.
    pub fn revision(&self) -> &str {
        if self.mode.is_personalized() { self.model.digest().revision() } else { POPULARITY }
    }

    /// Answers a question. Items that the user interacted with in training, the history's items,
    /// excluded items and unavailable ones are left out. Ids that the model does not have are
    /// ignored. An unknown user without a history gets popular items.
    ///
    /// # Errors
    /// A history that cannot be folded in or overflows, or an unknown item to be similar to.
    pub fn answer(&self, ask: &Ask) -> Result<Answer, AnswerError> {
        let key = self.list_key(ask);
        self.recall(ask, key).map_or_else(|| self.compute(ask, key), Ok)
    }

    /// The key of a question's list in the cache; `None` if its list is not kept.
    pub fn list_key(&self, ask: &Ask) -> Option<ListKey> {
        self.lists.as_ref().and_then(|_| ListKey::of(&self.model, ask))
    }

    /// The answer to a question whose list is in the cache under this key.
    pub fn recall(&self, ask: &Ask, key: Option<ListKey>) -> Option<Answer> {
        let list = self.lists.as_ref()?.get(&key?)?;
        Some(self.document(ask, list.iter().filter_map(|candidate| self.item(candidate, None))))
    }

    /// Answers a question as [`Self::answer`], without a look into the cache, which then keeps the
    /// list under the key.
    ///
    /// # Errors
    /// Those of [`Self::answer`].
    pub fn compute(&self, ask: &Ask, key: Option<ListKey>) -> Result<Answer, AnswerError> {
        let resolved = Resolved::new(&self.model, ask)?;
        let candidates = candidates::generate(&resolved, self.mode)?;
        let ranked = rerank::rerank(candidates);
        if ranked.iter().any(|candidate| !candidate.score.is_finite()) {
            return Err(AnswerError::Overflow);
        }
        let ranked = ranked.get(..resolved.n.min(ranked.len())).unwrap_or_default();
        if let Some((lists, key)) = self.lists.as_ref().zip(key) {
            lists.insert(key, ranked);
        }
        let mut parts = if ask.explain { explain(&resolved, ranked)? } else { Vec::new() };
        parts.resize(ranked.len(), None);
        let items = ranked.iter().zip(&parts).filter_map(|(candidate, parts)| self.item(candidate, parts.as_ref()));
        Ok(self.document(ask, items))
    }

    fn document(&self, ask: &Ask, items: impl Iterator<Item = Item>) -> Answer {
        Answer {
            request_id: ask.request_id.clone(),
            parts: vec![Part { revision: self.revision().to_owned(), variant: self.variant.clone() }],
            items: items.collect(),
            degraded: false,
        }
    }

    /// The candidate with ids in place of rows.
    fn item(&self, candidate: &Candidate, parts: Option<&Parts>) -> Option<Item> {
        let snapshot = self.model.snapshot();
        let title = |row: u32| snapshot.title(row).map(str::to_owned);
        let explanation = parts.map(|Parts { contributions, remainder, baseline }| {
            let named = contributions.iter().filter_map(|&(row, contribution)| {
                Some(Contribution { id: snapshot.item_id(row)?.to_owned(), title: title(row), contribution })
            });
            Explanation { contributions: named.collect(), remainder: *remainder, baseline: *baseline }
        });
        let &Candidate { row, score, source } = candidate;
        Some(Item { id: snapshot.item_id(row)?.to_owned(), title: title(row), score, source, explanation })
    }
}
