//! What the entries of a walk are multiplied by: powers of degrees, the weight of the term, and of
//! sampled items the inverse of the sample's share.

use super::rows::SparseRows;
use crate::{degrees::likes, params::smoothed_degree_power, two_hop_params::TwoHopParams};

/// Factors of items and users in a walk.
#[derive(Clone, Debug, PartialEq)]
pub struct TwoHopScales {
    /// D⁻²ᵇ of each item; 0 of an item without users.
    powers: Vec<f64>,
    /// m D⁻²ᵇ of each item, as the start of a walk.
    sources: Vec<f64>,
    /// m c / λ₁ of each item that may be recommended.
    targets: Vec<f64>,
    /// Items without users, ascending.
    without_users: Vec<u32>,
    /// c / λ₁.
    weight: f64,
    /// D⁻²ᵃ of each user.
    users: Vec<f64>,
    /// Whether those of users and sources are integers, so that sums are exact.
    is_rounded: bool,
}

/// Maxima of rounded scales of users and of sources: their product, times 4,096 users of each of
/// 1,024 items of a history, is 2⁵³.
const ROUNDED_USER_MAX: f64 = (1 << 16) as f64 - 1.0;
const ROUNDED_SOURCE_MAX: f64 = (1 << 15) as f64;

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
        let powers: Vec<f64> = counts.iter().map(power).collect();
        let weight = if first_square > 0.0 { params.weight / first_square } else { 0.0 };
        Self {
            sources: multiples.iter().zip(&powers).map(|(multiple, power)| multiple * power).collect(),
            targets: multiples.iter().map(|multiple| multiple * weight).collect(),
            powers,
            without_users: (0_u32..).zip(counts).filter(|(_, count)| **count == 0).map(|(item, _)| item).collect(),
            weight,
            users: (0..histories.len()).map(user).collect(),
            is_rounded: false,
        }
    }

    /// The same scales with those of users and sources as integers of a few bits, in a unit that is
    /// part of the targets.
    #[must_use]
    pub fn rounded(mut self) -> Self {
        let units = [(&mut self.users, ROUNDED_USER_MAX), (&mut self.sources, ROUNDED_SOURCE_MAX)].map(round);
        for target in &mut self.targets {
            *target *= units[0] * units[1];
        }
        self.is_rounded = true;
        self
    }

    /// Number of items.
    pub(super) fn items(&self) -> usize {
        self.targets.len()
    }

    /// Number of users.
    pub(super) fn users(&self) -> usize {
        self.users.len()
    }

    /// Factor of an item of a history that is walked, for its weight in the history.
    #[inline(always)]
    pub(super) fn source(&self, item: u32, weight: f64) -> f64 {
        let source = self.sources[item as usize] * weight;
        if self.is_rounded { source.round() } else { source }
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

    /// Factors of at most this many users from one on.
    pub(super) fn of_users(&self, from: usize, count: usize) -> &[f64] {
        let rest = self.users.get(from..).unwrap_or_default();
        rest.get(..count).unwrap_or(rest)
    }

    /// Appends items without users.
    pub(super) fn append_items(&mut self, items: usize) {
        let before = self.items();
        for of_items in [&mut self.powers, &mut self.targets, &mut self.sources] {
            of_items.resize(before + items, 0.0);
        }
        self.without_users.extend((0_u32..).skip(before).take(items));
    }
}

/// Rounds numbers that are at least 0 to integers up to `max`; those above 0 are at least 1. Returns
/// the unit.
fn round((numbers, max): (&mut Vec<f64>, f64)) -> f64 {
    let unit = numbers.iter().copied().fold(0.0, f64::max) / max;
    for number in numbers.iter_mut().filter(|number| **number > 0.0) {
        *number = (*number / unit).round().max(1.0);
    }
    unit
}
