//! From a query to items: sources are asked in order until the list is full, and each item says which source it is from.
//!
//! A source is whatever can name items for a query: the model, popularity; later another Recommender or an upstream.

use std::borrow::Cow;

use factorization::{Scored, Scorer, SolveError};
use sidecar_contract::Answers;

use crate::{
    explain::{Because, explain},
    model::ServingModel,
};

/// The name of popularity as a source, in answers and in `fallback` of a serving config.
pub const POPULAR: &str = "popular";

/// What a client wants to know; checked by the doors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// Whose taste.
    pub user: Option<String>,
    /// How many items.
    pub n: usize,
    /// Items that the user has met, with weights or ratings; folded in instead of the stored taste. Without one an item
    /// weighs 1; a model of ratings needs one.
    pub history: Vec<(String, Option<f32>)>,
    /// Items that must not come back.
    pub exclude: Vec<String>,
    /// Whether items that the user has met in training may come back.
    pub include_seen: bool,
    /// Whether to say which of the user's items each answer comes from.
    pub explain: bool,
}

/// One recommended item.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Row in the snapshot.
    pub row: u32,
    /// ⟨user, item⟩ for the model, or the rating that it predicts; users who chose it for popularity.
    pub score: f32,
    /// Which source named it.
    pub source: &'static str,
    /// Where its score comes from, if that was asked and the source can say.
    pub because: Option<Because>,
}

/// A query in the model's own terms.
struct Resolved<'a> {
    model: &'a ServingModel,
    scorer: Scorer<'a>,
    user: Option<u32>,
    history: Vec<(u32, f32)>,
    excluded: Vec<u32>,
    explain: bool,
}

/// Whatever can name items.
trait Source: Sync {
    /// Up to `n` items for which `keep` holds, best first.
    fn items(&self, query: &Resolved<'_>, n: usize, keep: &dyn Fn(u32) -> bool) -> Result<Vec<Item>, SolveError>;
}

/// The factors: of the stored user, or folded in from the history.
struct Factors;

/// What most users chose.
struct Popular;

impl Source for Factors {
    fn items(&self, query: &Resolved<'_>, n: usize, keep: &dyn Fn(u32) -> bool) -> Result<Vec<Item>, SolveError> {
        let (taste, source) = if query.history.is_empty() {
            (query.user.and_then(|user| query.scorer.stored(user)), "model")
        } else {
            (Some(query.scorer.fold_in_entries(&query.history)?), "fold-in")
        };
        let Some(taste) = taste.filter(|taste| !taste.is_empty()) else {
            return Ok(Vec::new()); // No evidence: the order would be arbitrary, or everybody's.
        };
        let best = query.scorer.best(&taste, n, keep);
        let items = best.into_iter().map(|s| Item { row: s.item, score: s.score, source, because: None });
        let mut items: Vec<Item> = items.collect();
        if query.explain {
            let (history, values) = query.evidence();
            explain(&query.scorer, &history, &values, &mut items)?;
        }
        Ok(items)
    }
}

impl Resolved<'_> {
    /// What the taste was folded in from: the history, or what the user has met in training.
    fn evidence(&self) -> (Cow<'_, [u32]>, Cow<'_, [f32]>) {
        let snapshot = &self.model.snapshot;
        match self.user {
            Some(user) if self.history.is_empty() => {
                let seen = snapshot.seen(user);
                let weights = snapshot.seen_weights(user).map_or(Cow::Owned(vec![1.0; seen.len()]), Cow::Borrowed);
                (Cow::Borrowed(seen), weights)
            }
            _ => {
                let (items, values) = self.scorer.merge(&self.history);
                (Cow::Owned(items), Cow::Owned(values))
            }
        }
    }
}

impl Source for Popular {
    fn items(&self, query: &Resolved<'_>, n: usize, keep: &dyn Fn(u32) -> bool) -> Result<Vec<Item>, SolveError> {
        Ok(popular(query.model, n, keep))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count as a score")]
fn popular(model: &ServingModel, n: usize, keep: &dyn Fn(u32) -> bool) -> Vec<Item> {
    let snapshot = &model.snapshot;
    let counts = snapshot.item_counts();
    let score = |item: u32| counts.get(item as usize).map_or(0.0, |count| *count as f32);
    let popular = snapshot.popular().iter().copied().filter(|item| keep(*item)).take(n);
    popular.map(|row| Item { row, score: score(row), source: POPULAR, because: None }).collect()
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The history cannot be folded in.
    #[error("history cannot be folded in: {0}")]
    FoldIn(#[from] SolveError),
    /// An item without a rating, where what a user thinks of it is asked.
    #[error(
        "history: an item comes without a rating, and this model is one of ratings from {low} to {high}: give one for each"
    )]
    RatingMissing {
        /// The lowest rating.
        low: f32,
        /// The highest.
        high: f32,
    },
}

/// The sources of a revision, in the order in which they are asked. Popularity comes last whatever a config names: an
/// unknown user never gets an empty answer.
fn sources(answers: Answers) -> &'static [&'static dyn Source] {
    match answers {
        Answers::Full => &[&Factors, &Popular],
        Answers::Popular => &[&Popular],
    }
}

/// Answers a query: the model first, then popularity. A known user's met items, the history's items, excluded and
/// unavailable ones do not come back. Ids that the model does not know are passed over.
///
/// # Errors
/// A history that cannot be folded in.
pub fn answer(model: &ServingModel, query: &Query) -> Result<Vec<Item>, AnswerError> {
    let (query, n) = resolve(model, query)?;
    let mut answer: Vec<Item> = Vec::new();
    for source in sources(model.answers) {
        let missing = n.saturating_sub(answer.len());
        if missing == 0 {
            break;
        }
        let taken: Vec<u32> = answer.iter().map(|item| item.row).collect();
        let keep = |item: u32| {
            query.excluded.binary_search(&item).is_err() && model.snapshot.is_available(item) && !taken.contains(&item)
        };
        answer.extend(source.items(&query, missing, &keep)?);
    }
    Ok(answer)
}

/// Items like an item; `None` if the model does not know it. A revision that answers by popularity alone names popular
/// ones, and says so.
pub fn similar(model: &ServingModel, id: &str, n: usize) -> Option<Vec<Item>> {
    let snapshot = &model.snapshot;
    let item = snapshot.item_index(id)?;
    match model.answers {
        Answers::Full => {
            let best =
                factorization::similar_items(item, snapshot.item_factors(), n, |other| snapshot.is_available(other));
            let item = |s: Scored| Item { row: s.item, score: s.score, source: "similar", because: None };
            Some(best.into_iter().map(item).collect())
        }
        Answers::Popular => Some(popular(model, n, &|other| other != item && snapshot.is_available(other))),
    }
}

fn resolve<'a>(model: &'a ServingModel, query: &Query) -> Result<(Resolved<'a>, usize), AnswerError> {
    let snapshot = &model.snapshot;
    let scorer = model.scorer()?;
    let user = query.user.as_deref().and_then(|id| snapshot.user_index(id));
    let mut history = Vec::with_capacity(query.history.len());
    for (id, rating) in &query.history {
        let value = match (rating, scorer.scale()) {
            (Some(rating), _) => *rating,
            (None, None) => 1.0,
            (None, Some(scale)) => return Err(AnswerError::RatingMissing { low: scale.low, high: scale.high }),
        };
        history.extend(snapshot.item_index(id).map(|item| (item, value)));
    }
    let mut excluded: Vec<u32> = query.exclude.iter().filter_map(|id| snapshot.item_index(id)).collect();
    excluded.extend(history.iter().map(|(item, _)| *item));
    if let (Some(user), false) = (user, query.include_seen) {
        excluded.extend_from_slice(snapshot.seen(user));
    }
    excluded.sort_unstable();
    excluded.dedup();
    let explain = query.explain;
    Ok((Resolved { model, scorer, user, history, excluded, explain }, query.n.min(snapshot.items())))
}
