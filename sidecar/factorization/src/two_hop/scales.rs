//! What the entries of a walk are multiplied by: powers of degrees, the weight of the term, and of
//! sampled items the inverse of the sample's share.

use super::rows::SparseRows;
use crate::{degrees::likes, params::smoothed_degree_power, two_hop_params::TwoHopParams};

/// Factors of items and users in a walk.
#[derive(Clone, Debug, PartialEq)]
pub struct TwoHopScales {
    /// D⁻²ᵇ of each item; 0 of an item without users.
    powers: Vec<f64>,
    /// m c / λ₁ of each item that may be recommended.
    targets: Vec<f64>,
    /// m of each item.
    multiples: Vec<f64>,
    /// Items without users, ascending.
    without_users: Vec<u32>,
    /// c / λ₁.
    weight: f64,
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
        let power = |count: &u32| match count {
            0 => 0.0,
            count => smoothed_degree_power(*count, -2.0 * params.item_exponent),
        };
        let user = |user: usize| {
            let row = histories.row(user);
            let degree = row.values.map_or_else(|| u32::try_from(row.columns.len()).unwrap_or(u32::MAX), likes);
            smoothed_degree_power(degree, -2.0 * params.user_exponent)
        };
        let mut scales = Self {
            powers: counts.iter().map(power).collect(),
            targets: Vec::new(),
            multiples,
            without_users: (0_u32..).zip(counts).filter(|(_, count)| **count == 0).map(|(item, _)| item).collect(),
            weight: 0.0,
            users: (0..histories.len()).map(user).collect(),
        };
        scales.set_weight(params.weight, first_square);
        scales
    }

    /// Sets c.
    pub(super) fn set_weight(&mut self, weight: f64, first_square: f64) {
        self.weight = if first_square > 0.0 { weight / first_square } else { 0.0 };
        self.targets = self.multiples.iter().map(|multiple| multiple * self.weight).collect();
    }

    /// Number of items.
    pub(super) fn items(&self) -> usize {
        self.targets.len()
    }

    /// Number of users.
    pub(super) fn users(&self) -> usize {
        self.users.len()
    }

    /// Factor of an item of a history that is walked.
    #[inline(always)]
    pub(super) fn source(&self, item: u32) -> f64 {
        self.multiples[item as usize] * self.powers[item as usize]
    }

    /// D⁻²ᵇ of an item of a history; 0 of an item without users.
    #[inline(always)]
    pub(super) fn power(&self, item: u32) -> f64 {
        self.powers[item as usize]
    }

    /// c / λ₁.
    pub(super) fn weight(&self) -> f64 {
        self.weight
    }

    /// Items without users, ascending.
    pub(super) fn without_users(&self) -> &[u32] {
        &self.without_users
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

    /// Appends items without users.
    pub(super) fn append_items(&mut self, items: usize) {
        let before = self.items();
        for of_items in [&mut self.powers, &mut self.targets, &mut self.multiples] {
            of_items.resize(before + items, 0.0);
        }
        self.without_users.extend((0_u32..).skip(before).take(items));
    }
}
