//! A question in the model's own terms: rows in place of ids.

use factorization::Scorer;

use super::{filter::RowFilter, item_data::ItemData, model::Model, target::Target};
use crate::{
    ask::{Ask, Page, Query},
    cursor::Last,
    error::AnswerError,
};

/// A question that was matched with a model.
#[derive(Debug)]
pub struct Resolved<'a> {
    pub model: &'a Model,
    pub scorer: Scorer<'a>,
    pub target: Target,
    pub filter: RowFilter<'a>,
    /// Last item of the page before.
    pub after: Option<Last>,
    /// Maximum number of items; at most the items of the model.
    pub n: usize,
}

impl<'a> Resolved<'a> {
    /// Resolves the ids of a question. Unknown ids of users, histories and filters are ignored.
    ///
    /// # Errors
    /// An unknown item to be similar to, an entry of the history without a required rating,
    /// conditions that cannot be evaluated, or a cursor that is not valid here.
    pub fn new(model: &'a Model, data: ItemData<'a>, ask: &Ask) -> Result<Self, AnswerError> {
        let snapshot = model.snapshot();
        let after = match &ask.page {
            Page::Only | Page::First => None,
            Page::After(cursor) => Some(Last::decode(cursor, ask, model.digest())?),
        };
        let scorer = model.scorer();
        let target = match &ask.query {
            Query::Similar { item } => {
                Target::Similar { item: snapshot.item_index(item).ok_or(AnswerError::UnknownItem)? }
            }
            Query::Recommend { user, history } => {
                let mut rows = Vec::with_capacity(history.len());
                for entry in history {
                    let value = match (entry.rating, scorer.scale()) {
                        (Some(rating), _) => rating,
                        (None, None) => 1.0,
                        (None, Some(scale)) => {
                            return Err(AnswerError::RatingMissing { low: scale.low, high: scale.high });
                        }
                    };
                    rows.extend(snapshot.item_index(&entry.item).map(|item| (item, value)));
                }
                Target::Recommend { user: user.as_deref().and_then(|id| snapshot.user_index(id)), history: rows }
            }
        };
        let filter = RowFilter::new(data, &scorer, &target, &ask.filter)?;
        Ok(Self { model, scorer, target, filter, after, n: ask.n.min(snapshot.items()) })
    }
}
