//! What a writer must bring.

use ndarray::ArrayView2;

use crate::{metadata::Metadata, strings::StringTable};

/// A model, borrowed from whoever fitted it. Sizes must agree with `metadata`; [`crate::write`] checks.
#[derive(Clone, Debug)]
pub struct ModelParts<'a> {
    /// What it is.
    pub metadata: &'a Metadata,
    /// Ids of users by row; all different.
    pub user_ids: &'a StringTable,
    /// Ids of items by row; all different.
    pub item_ids: &'a StringTable,
    /// users × factors.
    pub user_factors: ArrayView2<'a, f32>,
    /// items × factors.
    pub item_factors: ArrayView2<'a, f32>,
    /// factors × factors: Gram matrix of the item factors.
    pub gram: ArrayView2<'a, f64>,
    /// Biases, if it is a model of ratings.
    pub biases: Option<Biases<'a>>,
    /// How many users chose each item.
    pub item_counts: &'a [u32],
    /// Items from the most to the least popular.
    pub popular_items: &'a [u32],
    /// What each user has met.
    pub seen: Seen<'a>,
    /// Titles of items by row; empty where there is none.
    pub titles: Option<&'a StringTable>,
    /// Whether an item may be recommended.
    pub available: Option<&'a [bool]>,
}

/// What is added to the product of factors, in units of the rating.
#[derive(Clone, Copy, Debug)]
pub struct Biases<'a> {
    /// One a user.
    pub users: &'a [f32],
    /// One an item.
    pub items: &'a [f32],
}

/// Items that each user has met, as a compressed sparse matrix; ascending within a user.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Where each user starts; users + 1 entries.
    pub offsets: &'a [u64],
    /// The items.
    pub items: &'a [u32],
    /// Their weights; `None` when every weight is 1.
    pub weights: Option<&'a [f32]>,
}
