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
    /// No upstream answered in time.
    #[error("no upstream answered: {0}")]
    Unavailable(String),
}
