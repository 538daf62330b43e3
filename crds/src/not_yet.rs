//! What the schema knows and this version does not build. Each is refused with a sentence, so that nothing is accepted and
//! then ignored. Once a thing is built, its rule goes.

use crate::rules::Rule;

/// The refusals.
pub const NOT_YET: &[Rule] = &[Rule {
    at: &["spec.serving.fallback"],
    rule: "self.all(source, source == 'popular')",
    message: "serving.fallback: others than popular come with a later version; use [popular]",
}];
