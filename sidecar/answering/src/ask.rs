//! A question, parsed and bounded once. It owns its text, so it can wait in a queue or be sent to
//! another process.

use std::{mem::size_of, sync::Arc, time::Instant};

use crate::{limits::ITEMS_PER_ANSWER_DEFAULT, request_id::RequestId};

/// Size of the smallest allocation of common allocators, with its overhead, in bytes.
const ALLOCATION_BYTES_MIN: usize = 32;

/// One question to a recommender.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// Id of the request; the answer repeats it.
    pub request_id: RequestId,
    /// What the items are for.
    pub query: Query,
    /// Maximum number of items in the answer.
    pub n: usize,
    /// Which items may be in the answer.
    pub filter: Filter,
    /// Which part of the list is the answer.
    pub page: Page,
    /// Whether each item comes with the contributions to its score.
    pub explain: bool,
    /// Time at which the client stops waiting. `None`: the server's own timeout applies.
    pub deadline: Option<Instant>,
    /// What of the request concerns other processes only.
    pub context: RequestContext,
}

/// What of a request a composition reads or sends on. Empty for a loaded revision, which does not
/// read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestContext {
    /// Headers by which a switch selects a part, of this composition or of one that is a part of it:
    /// names in lower case, and values.
    pub segments: Arc<[(String, String)]>,
    /// Whether the request is a retry, which is not retried again.
    pub is_retry: bool,
    /// W3C trace context: the value of header `traceparent`...
    pub traceparent: Option<String>,
    /// ...and of `tracestate`.
    pub tracestate: Option<String>,
}

impl RequestContext {
    /// Value of the header with this name.
    pub fn segment(&self, name: &str) -> Option<&str> {
        self.segments.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

/// Which part of a list is the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Page {
    /// The best items; the list is not continued.
    #[default]
    Only,
    /// The best items, with a cursor to continue the list.
    First,
    /// What follows the page that came with this cursor.
    After(String),
}

/// What the items of an answer are for.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    /// Items for a user, for a history, or for both.
    Recommend {
        /// Id of the user.
        user: Option<String>,
        /// Interactions that are folded in. They replace the stored user vector.
        history: Vec<HistoryEntry>,
    },
    /// Items similar to an item.
    Similar {
        /// Id of the item.
        item: String,
    },
}

/// One interaction of a history.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEntry {
    /// Id of the item.
    pub item: String,
    /// Weight or rating. `None` is a weight of 1; a model of ratings requires a rating.
    pub rating: Option<f32>,
}

/// Which items may be in an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Ids of items that are left out.
    pub exclude: Vec<String>,
    /// Whether items that the user interacted with in training may be recommended.
    pub include_seen: bool,
    /// Ids of the only items that may be in the answer; `None`: all items of the model. The answer
    /// lists those that are left out with the reason.
    pub candidates: Option<Vec<String>>,
    /// Conditions on columns of the catalogue.
    pub matching: catalogue::Filter,
}

impl Ask {
    /// A question with the default number of items, without filters or explanations.
    pub fn new(request_id: RequestId, query: Query) -> Self {
        Self {
            request_id,
            query,
            n: ITEMS_PER_ANSWER_DEFAULT,
            filter: Filter::default(),
            page: Page::Only,
            explain: false,
            deadline: None,
            context: RequestContext::default(),
        }
    }

    /// Memory that the question occupies while it waits, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let query = match &self.query {
            Query::Recommend { user, history } => {
                let rows = history.iter().map(|HistoryEntry { item, rating: _ }| text_bytes(item));
                user.as_deref().map_or(0, text_bytes) + history.len() * size_of::<Option<f32>>() + rows.sum::<usize>()
            }
            Query::Similar { item } => text_bytes(item),
        };
        let Filter { exclude, include_seen: _, candidates, matching } = &self.filter;
        let cursor = if let Page::After(cursor) = &self.page { text_bytes(cursor) } else { 0 };
        let ids = exclude.iter().chain(candidates.iter().flatten());
        let RequestContext { segments, is_retry: _, traceparent, tracestate } = &self.context;
        // Also of those that the questions of a batch share.
        let segments = segments.iter().map(|(name, value)| text_bytes(name) + text_bytes(value)).sum::<usize>();
        let traces = [traceparent, tracestate].into_iter().flatten().map(|text| text_bytes(text)).sum::<usize>();
        size_of::<Self>()
            + query
            + cursor
            + matching.memory_bytes()
            + segments
            + traces
            + ids.map(|id| text_bytes(id)).sum::<usize>()
    }
}

/// Memory of a text: the value, and an allocation of at least the smallest size.
fn text_bytes(text: &str) -> usize {
    size_of::<String>() + text.len().max(ALLOCATION_BYTES_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_ids_count_as_their_allocations() {
        let ask = Ask::new(RequestId::new(), Query::Similar { item: "a".to_owned() });
        let empty = ask.memory_bytes();
        let exclude = vec!["i".to_owned(); 1000];
        let ask = Ask { filter: Filter { exclude, ..Filter::default() }, ..ask };
        assert_eq!(ask.memory_bytes() - empty, 1000 * (size_of::<String>() + ALLOCATION_BYTES_MIN));
    }
}
