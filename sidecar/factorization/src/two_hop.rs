//! The two-hop term of a score: what the users who share items with a history chose. The crate docs
//! have the formula.
//!
//! A walk goes from the items of the history to their users, and from these to all of their items.
//! It adds in a fixed order, so the term of an item is a function of history and model, bit for
//! bit. It makes at most [`ADDITIONS_MAX`] additions: of a history that needs more, each hop takes
//! what weighs most.
//!
//! - `rows`: sparse rows; `index`: which entries are walked; `scales`: the powers of degrees;
//!   `walk`: the two hops; `explain`: the part of each item of the history.

mod explain;
mod index;
mod rows;
mod scales;
#[cfg(test)]
mod tests;
mod walk;

pub use self::{
    index::{TwoHopIndex, USERS_PER_ITEM_MAX},
    rows::{OwnedRows, Row, SparseRows},
    scales::TwoHopScales,
    walk::ADDITIONS_MAX,
};
use crate::interactions::Interactions;

/// Parameters of the term, as part of an algorithm's checked parameters.
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

/// A history in the terms of a walk.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// Items, ascending and each once.
    pub items: Vec<u32>,
    /// Their weights.
    pub weights: Vec<f32>,
    /// The user whose stored row the history is. A walk does not visit that row: it would only add
    /// to the items of the history.
    pub user: Option<u32>,
}

/// The rows of a model that are walked, and what they are multiplied by. It is cheap to make.
#[derive(Clone, Copy, Debug)]
pub struct TwoHop<'a> {
    /// Items of each user: all of them, including those that are not walked.
    histories: SparseRows<'a>,
    /// Users of each item that is walked.
    users_of_items: SparseRows<'a>,
    /// Items of each user that are walked; the histories unless some items are sampled.
    items_of_users: SparseRows<'a>,
    scales: &'a TwoHopScales,
}

impl<'a> TwoHop<'a> {
    /// From the histories of the stored users, the index in both orientations (`None`: the
    /// histories are walked) and the scales of both.
    ///
    /// # Panics
    /// If the sizes do not match.
    pub fn new(
        histories: SparseRows<'a>,
        users_of_items: SparseRows<'a>,
        items_of_users: Option<SparseRows<'a>>,
        scales: &'a TwoHopScales,
    ) -> Self {
        let items_of_users = items_of_users.unwrap_or(histories);
        assert_eq!(users_of_items.len(), scales.items(), "one list of users per item");
        assert!(items_of_users.len() <= scales.users(), "one scale per user");
        Self { histories, users_of_items, items_of_users, scales }
    }

    /// Number of items.
    pub(crate) fn items(&self) -> usize {
        self.scales.items()
    }

    /// The stored history of a user; `None` if there is none.
    pub(crate) fn history(&self, user: u32) -> Option<History> {
        ((user as usize) < self.histories.len()).then(|| {
            let row = self.histories.row(user as usize);
            let weights = (0..row.columns.len()).map(|at| row.value(at)).collect();
            History { items: row.columns.to_vec(), weights, user: Some(user) }
        })
    }

    /// Upper bound of the additions of the walk from these items, from the lengths of their lists.
    pub(crate) fn additions(&self, items: impl Iterator<Item = u32>) -> usize {
        let lists: usize = items.map(|item| self.users_of_items.row(item as usize).columns.len()).sum();
        let mean = self.items_of_users.entries().div_ceil(self.items_of_users.len().max(1));
        lists.saturating_add(lists.saturating_mul(mean)).min(ADDITIONS_MAX)
    }
}

/// The rows of a fitted model that are walked, in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct TwoHopModel {
    pub(crate) histories: OwnedRows,
    pub(crate) index: TwoHopIndex,
    pub(crate) scales: TwoHopScales,
}

impl TwoHopModel {
    /// Of fitted data. `counts` are the numbers of users of the items, and `first_square` is λ₁.
    pub(crate) fn new(
        data: &Interactions,
        counts: &[u32],
        (params, first_square): (&TwoHopParams, f64),
        seed: u64,
    ) -> Self {
        let (histories, index) = (OwnedRows::of(data), TwoHopIndex::new(data, params.users_per_item_min, seed));
        let scales = TwoHopScales::new(params, first_square, counts, histories.view(), index.users_of_items().view());
        Self { histories, index, scales }
    }

    /// The index, which a snapshot contains.
    pub fn index(&self) -> &TwoHopIndex {
        &self.index
    }

    /// What walks.
    pub(crate) fn view(&self) -> TwoHop<'_> {
        let (lists, rows) = (self.index.users_of_items().view(), self.index.items_of_users());
        TwoHop::new(self.histories.view(), lists, rows.map(OwnedRows::view), &self.scales)
    }

    /// Sets c.
    pub(crate) fn set_weight(&mut self, weight: f64, first_square: f64) {
        self.scales.set_weight(weight, first_square);
    }

    /// Gives items without users to a model to which items are appended.
    pub(crate) fn append_items(&mut self, items: usize) {
        self.index.append_items(items);
        self.scales.append_items(items);
    }

    /// Replaces the histories of the users that have one in `histories`. They are not walked.
    pub(crate) fn with_histories(&mut self, histories: &Interactions) {
        self.index.keep_rows(&self.histories);
        self.histories.replace(histories);
    }
}
