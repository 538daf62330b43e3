//! Answers from a revision that is loaded in this process.

mod candidates;
mod explain;
mod filter;
mod model;
mod rerank;
mod resolve;
mod target;

use std::sync::Arc;

use sidecar_contract::ServingMode;

pub use self::model::{Model, ModelError};
use self::{
    candidates::Candidate,
    explain::{Parts, explain},
    resolve::Resolved,
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
}

impl Local {
    /// A revision that answers as this variant.
    pub fn new(model: Arc<Model>, variant: &str, mode: ServingMode) -> Self {
        Self { model, variant: variant.to_owned(), mode }
    }

    /// The same revision and variant in another mode.
    #[must_use]
    pub fn with_mode(&self, mode: ServingMode) -> Self {
        Self { mode, ..self.clone() }
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
        let resolved = Resolved::new(&self.model, ask)?;
        let candidates = candidates::generate(&resolved, self.mode)?;
        let ranked = rerank::rerank(candidates);
        if ranked.iter().any(|candidate| !candidate.score.is_finite()) {
            return Err(AnswerError::Overflow);
        }
        let mut parts = if ask.explain { explain(&resolved, &ranked)? } else { Vec::new() };
        parts.resize(ranked.len(), None);
        let items = ranked
            .iter()
            .zip(&parts)
            .take(resolved.n)
            .filter_map(|(candidate, parts)| self.item(candidate, parts.as_ref()));
        Ok(Answer {
            request_id: ask.request_id.clone(),
            parts: vec![Part { revision: self.revision().to_owned(), variant: self.variant.clone() }],
            items: items.collect(),
            degraded: false,
        })
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
