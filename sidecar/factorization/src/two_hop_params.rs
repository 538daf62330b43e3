//! Parameters of the two-hop term, as part of an algorithm's checked parameters.

/// Parameters of the term.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TwoHopParams {
    /// c: weight of the term, above 0.
    pub weight: f64,
    /// Exponent of item degrees.
    pub item_exponent: f64,
    /// Exponent of user degrees.
    pub user_exponent: f64,
    /// Items with fewer users take no part in walks, so that no list repeats the choices of a few
    /// users.
    pub users_per_item_min: u32,
}
