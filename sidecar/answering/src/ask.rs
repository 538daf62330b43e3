//! A question, parsed and bounded once. It owns its text, so it can wait in a queue or be sent to
//! another process.

use std::time::Instant;

use crate::{limits::ITEMS_PER_ANSWER_DEFAULT, request_id::RequestId};

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
    /// Whether each item comes with the contributions to its score.
    pub explain: bool,
    /// Time at which the client stops waiting. `None`: the server's own timeout applies.
    pub deadline: Option<Instant>,
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
    /// Ids of the only items that may be in the answer; `None`: all items of the model.
    pub candidates: Option<Vec<String>>,
}

impl Ask {
    /// A question with the default number of items, without filters or explanations.
    pub fn new(request_id: RequestId, query: Query) -> Self {
        Self {
            request_id,
            query,
            n: ITEMS_PER_ANSWER_DEFAULT,
            filter: Filter::default(),
            explain: false,
            deadline: None,
        }
    }
}
