//! What the entries of a walk are multiplied by: powers of degrees, the weight of the term, and of
//! sampled items the inverse of the sample's share.

use super::{TwoHopParams, rows::SparseRows};
use crate::{degrees::likes, params::smoothed_degree_power};

/// Factors of items and users in a walk.
#[derive(Clone, Debug, PartialEq)]
pub struct TwoHopScales {
    /// m D⁻²ᵇ of each item of a history.
    sources: Vec<f64>,
    /// m c / λ₁ of each item that may be recommended.
    targets: Vec<f64>,
    /// m of each item.
    multiples: Vec<f64>,
    /// D⁻²ᵃ of each user.
    users: Vec<f64>,
}

impl TwoHopScales {
    /// From λ₁, the numbers of users who chose the items, the histories of all users, and the lists
    /// of users that are walked.
    pub fn new(
        params: &TwoHopParams,
        first_square: f64,
        counts: &[u32],
        histories: SparseRows<'_>,
        users_of_items: SparseRows<'_>,
    ) -> Self {
        // m: entries of the sample stand for all entries of the item.
        let multiple = |item: usize, count: u32| match users_of_items.row(item).columns.len() {
            0 => 0.0,
            walked => f64::from(count) / walked as f64,
        };
        let multiples: Vec<f64> = counts.iter().enumerate().map(|(item, count)| multiple(item, *count)).collect();
        let source =
            |(multiple, count): (&f64, &u32)| multiple * smoothed_degree_power(*count, -2.0 * params.item_exponent);
        let user = |user: usize| {
            let row = histories.row(user);
            let degree = row.values.map_or_else(|| u32::try_from(row.columns.len()).unwrap_or(u32::MAX), likes);
            smoothed_degree_power(degree, -2.0 * params.user_exponent)
        };
        let mut scales = Self {
            sources: multiples.iter().zip(counts).map(source).collect(),
            targets: Vec::new(),
            multiples,
            users: (0..histories.len()).map(user).collect(),
        };
        scales.set_weight(params.weight, first_square);
        scales
    }

    /// Sets c.
    pub(super) fn set_weight(&mut self, weight: f64, first_square: f64) {
        let scale = if first_square > 0.0 { weight / first_square } else { 0.0 };
        self.targets = self.multiples.iter().map(|multiple| multiple * scale).collect();
    }

    /// Number of items.
    pub(super) fn items(&self) -> usize {
        self.targets.len()
    }

    /// Number of users.
    pub(super) fn users(&self) -> usize {
        self.users.len()
    }

    /// Factor of an item of a history.
    #[inline(always)]
    pub(super) fn source(&self, item: u32) -> f64 {
        self.sources[item as usize]
    }

    /// Factors of all items that may be recommended.
    pub(super) fn targets(&self) -> &[f64] {
        &self.targets
    }

    /// Factor of a user.
    #[inline(always)]
    pub(super) fn user(&self, user: u32) -> f64 {
        self.users[user as usize]
    }

    /// Appends items that are not walked.
    pub(super) fn append_items(&mut self, items: usize) {
        for of_items in [&mut self.sources, &mut self.targets, &mut self.multiples] {
            of_items.resize(of_items.len() + items, 0.0);
        }
    }
}
