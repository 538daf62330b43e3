//! An answer: items by id, with the revisions and variants that produced it. Its texts are borrowed
//! from the revision, or owned if they came from another process.

use std::borrow::Cow;

use crate::request_id::RequestId;

/// The answer to one [`crate::Ask`].
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<'a> {
    /// Id of the request.
    pub request_id: RequestId,
    /// What answered; in a composed answer followed by its parts, which have names.
    pub parts: Cow<'a, [Part]>,
    /// Items, best first.
    pub items: Vec<Item<'a>>,
    /// Candidates of the question that are not in the list, in the order of the question.
    pub left_out: Vec<LeftOut>,
    /// Number of available items that satisfy the conditions of the question; only for a list that
    /// is shorter than requested because of them.
    pub matches: Option<usize>,
    /// Cursor of the page that follows, if pages were requested and there may be one.
    pub next: Option<String>,
    /// Whether a fallback answered in place of the model that should have, or parts are missing.
    pub degraded: bool,
    /// Names of the parts that should have taken part and did not answer in time, or failed.
    pub missing: Vec<String>,
}

/// Name in place of a revision where only the popularity ranking answered: the model of the
/// revision may not serve.
pub const POPULARITY: &str = "popularity";

/// A model that took part in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Name as a part of a composition; `None` for what answered as a whole.
    pub name: Option<String>,
    /// First ten digits of the revision's digest, or [`POPULARITY`].
    pub revision: String,
    /// Variant that the user was assigned to.
    pub variant: String,
    /// Version of its catalogue; `None` if titles and availability are those of the snapshot.
    pub catalogue: Option<String>,
}

/// A candidate that is not in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Id in the question.
    pub id: String,
    /// Why it is not in the list.
    pub reason: Reason,
}

/// Why a candidate is not in the list; the first one that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The model does not have the id.
    Unknown,
    /// The question excludes it, by its list, its history or its item.
    Excluded,
    /// The user interacted with it in training.
    Seen,
    /// The catalogue marks it as not available.
    Unavailable,
    /// It does not satisfy the conditions of the question.
    Filtered,
    /// The list is full.
    BeyondN,
}

/// One item of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Item<'a> {
    /// Id in the training data.
    pub id: Cow<'a, str>,
    /// Title, if the item table has one.
    pub title: Option<Cow<'a, str>>,
    /// Inner product, predicted rating, cosine, or number of users, depending on [`Self::source`].
    pub score: f32,
    /// What ranked the item.
    pub source: Source,
    /// Parts of the score; only where they were requested and the algorithm has them.
    pub explanation: Option<Explanation<'a>>,
}

/// What ranked an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The stored user vector. The score is an inner product or a predicted rating.
    Model,
    /// A user vector that was folded in from the history of the request. Scores as [`Self::Model`].
    FoldIn,
    /// Popularity. The score is the number of users who interacted with the item.
    Popular,
    /// Similarity to an item. The score is the cosine of the item factors.
    Similar,
    /// The last answer to the same user, kept because no model could be asked. Scores are those of
    /// that answer.
    LastAnswer,
}

impl Source {
    /// All sources.
    pub const ALL: [Self; 5] = [Self::Model, Self::FoldIn, Self::Popular, Self::Similar, Self::LastAnswer];

    /// Name in answers and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::FoldIn => "fold-in",
            Self::Popular => "popular",
            Self::Similar => "similar",
            Self::LastAnswer => "last-answer",
        }
    }
}

/// A score as a sum: the contributions, the remainder and the baseline add up to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation<'a> {
    /// Items of the user that contribute most to the score, largest contribution first; at most
    /// [`crate::limits::CONTRIBUTIONS_MAX`].
    pub contributions: Vec<Contribution<'a>>,
    /// Sum of the contributions that are not named, and what clipping to the rating scale removes.
    pub remainder: f32,
    /// Predicted rating of the item without any history; `None` unless the model predicts ratings.
    pub baseline: Option<f32>,
}

/// What one item of the user's history adds to a score.
#[derive(Clone, Debug, PartialEq)]
pub struct Contribution<'a> {
    /// Id of the item in the history.
    pub id: Cow<'a, str>,
    /// Its title, if the item table has one.
    pub title: Option<Cow<'a, str>>,
    /// What it adds to the score.
    pub contribution: f32,
}
