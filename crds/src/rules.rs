//! What the API server refuses, as CEL: a table of places, rules and messages that say what to write instead.

/// One rule at one place of the schema.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Where: property names below the root, separated by dots; empty for the root.
    pub at: &'static str,
    /// CEL over `self`.
    pub rule: &'static str,
    /// What is wrong and what to write instead.
    pub message: &'static str,
}
