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

/// Maximum memory of the sets of filters that requests repeat, in bytes.
pub const FILTER_CACHE_BYTES_MAX: usize = 64 << 20;
/// The same as a fraction of the size of the model's file, as a divisor: half of the margin that a
/// pod has beyond its model.
pub const FILTER_CACHE_MODEL_DIVISOR: u64 = 8;
/// Number of sets with codes of their own that fit into the cache at least. A larger one has only
/// the places of its items.
pub const FILTER_SETS_PER_CACHE_MIN: usize = 8;
