//! A user whose items a walk adds.

/// A user whose row is walked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Visit {
    pub(super) user: u32,
    /// Number of items of the user.
    pub(super) length: u32,
    /// D⁻²ᵃ Σ over the shared items.
    pub(super) weight: f64,
}
