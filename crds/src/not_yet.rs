//! What the schema knows and this version does not build: each is refused with a sentence.

use crate::rules::Rule;

/// The refusals.
pub const NOT_YET: &[Rule] = &[];
