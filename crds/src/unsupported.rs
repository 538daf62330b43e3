//! Values that the schema knows and this version does not support. A rule rejects each of them, so
//! that nothing is accepted and then ignored. Supporting a value removes its rule.

use crate::rules::Rule;

/// Rules that reject unsupported values.
pub const UNSUPPORTED: &[Rule] = &[Rule {
    at: &["spec.serving.fallback"],
    rule: "self.all(source, source == 'popular')",
    message: "serving.fallback: this version supports only popular: use [popular]",
}];
