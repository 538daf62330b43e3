//! Why a question has no answer.

use catalogue::FilterError;
use factorization::SolveError;

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AnswerError {
    /// The history makes a score that is not a finite number.
    #[error(
        "history: a score overflows single precision: send weights or ratings closer to those of the training data"
    )]
    Overflow,
    /// The history cannot be folded in.
    #[error("history cannot be folded in: {0}")]
    FoldIn(#[from] SolveError),
    /// The model predicts ratings and an entry of the history has none.
    #[error(
        "history: an item comes without a rating; this model predicts ratings from {low} to {high}, so each item needs one"
    )]
    RatingMissing {
        /// Lowest rating of the scale.
        low: f32,
        /// Highest rating of the scale.
        high: f32,
    },
    /// The model does not have the item that similar items were requested for.
    #[error("item: the model does not have this id; valid ids are those of the training data, as text")]
    UnknownItem,
    /// Conditions that the catalogue cannot evaluate.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// Conditions without a catalogue.
    #[error(
        "where: no catalogue is loaded, so there are no columns to filter by: add columns to spec.data.items.filters, or \
             start the sidecar with --catalogue"
    )]
    NoCatalogue,
    /// A text that is not a cursor of this server.
    #[error(
        "cursor: not a cursor of an earlier answer; send the text of `next` unchanged, or \"*\" for the first page"
    )]
    CursorInvalid,
    /// A cursor of another request.
    #[error("cursor: it belongs to another request; all fields but n and explain must be those of the first page")]
    CursorOfOtherRequest,
    /// A cursor of a revision that does not serve.
    #[error("cursor: the list belongs to revision {revision}, which no longer serves; begin again with cursor \"*\"")]
    CursorGone {
        /// First digits of the revision.
        revision: String,
    },
    /// A composition cannot answer such a question.
    #[error("{field}: {reason}")]
    NotComposable {
        /// Field of the question.
        field: &'static str,
        /// Why not, and what to send instead.
        reason: &'static str,
        /// Index of the question among those of its batch, all of which have this error.
        index: Option<usize>,
    },
    /// All parts of a composition rejected the question; this is what the first one stated.
    #[error("{detail}")]
    Rejected {
        /// Kind of the rejection.
        kind: Rejection,
        /// The field, what was expected, what to try.
        detail: String,
        /// Index of the question among those of its batch, if the rejection is about one.
        index: Option<usize>,
    },
    /// This process cannot ask its upstreams now.
    #[error("no upstream answered: {0}")]
    Unavailable(String),
    /// No upstream answered in time; another process like this one would ask the same ones.
    #[error("no upstream answered: {0}")]
    UpstreamsFailed(String),
}

impl AnswerError {
    /// Index of the question that the error is about among those of its batch, if the error is not
    /// that of the question itself.
    pub fn index(&self) -> Option<usize> {
        match self {
            Self::NotComposable { index, .. } | Self::Rejected { index, .. } => *index,
            _ => None,
        }
    }
}

/// Kinds of rejections by other processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// A field is invalid.
    InvalidField,
    /// The question is valid and has no answer.
    Unanswerable,
    /// The model does not have the item.
    UnknownItem,
    /// The cursor belongs to a revision that does not serve.
    CursorGone,
}
