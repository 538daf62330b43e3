//! Bounds of an answer.

/// Items of an answer when the request names no number.
pub const ITEMS_PER_ANSWER_DEFAULT: usize = 10;
/// Maximum number of items of an answer with explanations: each costs a solve and five times the
/// bytes.
pub const EXPLAINED_ITEMS_MAX: usize = 100;
/// Maximum number of contributions that an explanation names; the others are in its remainder.
pub const CONTRIBUTIONS_MAX: usize = 5;
/// Maximum length of a request id that a client may choose, in bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
