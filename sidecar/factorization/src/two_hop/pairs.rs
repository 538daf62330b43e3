//! The walks between all pairs of items, as a matrix with a row for each item: of few items it is
//! smaller and faster to add up than the walks.
//!
//! An entry is the sum over the users who share two items of their factors, which are integers of a
//! few bits here, like those of the items ([`TwoHopScales::rounded`]). So are all products and sums
//! of a history whose weights are 1, below 2⁵³: they are exact in any order, and the terms have the
//! bits of a walk without a limit of additions. Sums of larger weights may be rounded, in a fixed
//! order.
//!
//! [`TwoHopScales::rounded`]: super::TwoHopScales::rounded

use rayon::prelude::*;

use super::{
    History, TwoHop, TwoHopScales,
    index::TwoHopIndex,
    rows::SparseRows,
    walk::{ADDITIONS_MAX, Source},
};
use crate::simd::{self, Kernel};

/// Maximum number of items: a matrix of this many has 64 MiB.
pub const PAIR_ITEMS_MAX: usize = 4096;
/// Maximum number of items of a history that are added up. Of a longer one, those with the shortest
/// lists are.
pub const PAIR_SOURCES_MAX: usize = 1024;
/// How many additions of consecutive sums take the time of one of a walk; measured.
pub(super) const ADDITIONS_PER_STEP: usize = 8;
/// Rows per task.
const TASK_ROWS: usize = 16;

/// Sums over the shared users of all pairs of items, items × items.
#[derive(Clone, Debug, PartialEq)]
pub struct TwoHopPairs {
    items: usize,
    sums: Vec<u32>,
}

/// [`TwoHopPairs`] of a model or a file.
#[derive(Clone, Copy, Debug)]
pub struct PairSums<'a> {
    items: usize,
    sums: &'a [u32],
}

impl TwoHopPairs {
    /// Whether the matrix is possible, and takes less time than walks over all histories.
    pub(super) fn are_faster(histories: SparseRows<'_>, index: &TwoHopIndex, walked: SparseRows<'_>) -> bool {
        let lists = index.users_of_items().view();
        let items = lists.len();
        if items > PAIR_ITEMS_MAX || lists.has_values() || walked.has_values() {
            return false;
        }
        let mean = walked.entries().div_ceil(walked.len().max(1));
        let (mut walks, mut pairs) = (0_usize, 0_usize);
        for user in 0..histories.len() {
            let history = histories.row(user).columns;
            let users: usize = history.iter().map(|item| lists.row(*item as usize).columns.len()).sum();
            let additions = users.saturating_add(users.saturating_mul(mean).min(walked.entries()));
            walks = walks.saturating_add(additions.min(ADDITIONS_MAX));
            pairs = pairs.saturating_add(history.len().saturating_mul(items));
        }
        pairs / ADDITIONS_PER_STEP < walks
    }

    /// Of an index without weights, with scales that are integers.
    pub(super) fn new(index: &TwoHopIndex, walked: SparseRows<'_>, scales: &TwoHopScales) -> Self {
        let lists = index.users_of_items().view();
        let items = lists.len();
        let mut sums = vec![0_u32; items * items];
        sums.par_chunks_mut(TASK_ROWS * items.max(1)).enumerate().for_each(|(task, rows)| {
            for (item, row) in (task * TASK_ROWS..).zip(rows.chunks_exact_mut(items)) {
                for &user in lists.row(item).columns {
                    // Integers below 2¹⁶, of at most 4,096 users of an item.
                    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small integer")]
                    let share = scales.user(user) as u32;
                    let is_walked = |item: &&u32| !lists.row(**item as usize).columns.is_empty();
                    walked.row(user as usize).columns.iter().filter(is_walked).for_each(|j| row[*j as usize] += share);
                }
            }
        });
        Self { items, sums }
    }

    /// Borrows them.
    pub fn view(&self) -> PairSums<'_> {
        PairSums { items: self.items, sums: &self.sums }
    }
}

impl<'a> PairSums<'a> {
    /// Of a number of items, row by row.
    ///
    /// # Panics
    /// If there is not one sum for each pair.
    pub fn new(items: usize, sums: &'a [u32]) -> Self {
        assert_eq!(sums.len(), items * items, "one sum for each pair of items");
        Self { items, sums }
    }

    /// Number of items; those behind them have no users.
    pub fn items(&self) -> usize {
        self.items
    }

    /// The sums, row by row.
    pub fn sums(&self) -> &'a [u32] {
        self.sums
    }

    fn row(&self, item: u32) -> &'a [u32] {
        &self.sums[item as usize * self.items..][..self.items]
    }

    /// The sum of two items.
    pub(super) fn pair(&self, item: u32, other: u32) -> f64 {
        self.row(item).get(other as usize).copied().map_or(0.0, f64::from)
    }
}

impl TwoHop<'_> {
    /// Sums of all items over the entries of a history, from the sums of pairs. The own row of a
    /// known user is subtracted.
    pub(super) fn add_pairs(&self, pairs: PairSums<'_>, history: &History, sums: &mut [f64]) {
        let sources = self.pair_sources(history);
        for source in &sources {
            simd::run(AddRow { row: pairs.row(source.item), weight: source.weight, sums });
        }
        let Some(user) = self.walked_user(history) else { return };
        let shared = |source: &&Source| self.has_user(source.item, user);
        let own = sources.iter().filter(shared).map(|source| source.weight).sum::<f64>() * self.scales.user(user);
        for &item in self.items_of_users.row(user as usize).columns {
            if self.has_user(item, user) {
                sums[item as usize] -= own;
            }
        }
    }

    /// The part of each source in the sum of an item.
    pub(super) fn pair_parts(&self, pairs: PairSums<'_>, history: &History, target: u32, parts: &mut [f64]) {
        let own = self.walked_user(history).filter(|user| self.has_user(target, *user));
        let scale = self.scales.targets()[target as usize];
        for source in self.pair_sources(history) {
            let own = own.filter(|user| self.has_user(source.item, *user)).map_or(0.0, |user| self.scales.user(user));
            parts[source.at] = source.weight * (pairs.pair(source.item, target) - own) * scale;
        }
    }

    /// The items of a history that are added up.
    fn pair_sources(&self, history: &History) -> Vec<Source> {
        let mut sources = self.sources(history, usize::MAX);
        if sources.len() > PAIR_SOURCES_MAX {
            let length = |source: &Source| self.users_of_items.row(source.item as usize).columns.len();
            sources.sort_by_key(|source| (length(source), source.item));
            sources.truncate(PAIR_SOURCES_MAX);
            sources.sort_unstable_by_key(|source| source.at);
        }
        sources
    }

    /// The user of a history whose row is walked.
    fn walked_user(&self, history: &History) -> Option<u32> {
        history.user.filter(|user| (*user as usize) < self.items_of_users.len())
    }

    /// Whether the walked users of an item include this one.
    fn has_user(&self, item: u32, user: u32) -> bool {
        self.users_of_items.row(item as usize).columns.binary_search(&user).is_ok()
    }
}

/// Adds a multiple of a row.
struct AddRow<'a> {
    row: &'a [u32],
    weight: f64,
    sums: &'a mut [f64],
}

impl Kernel for AddRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (sum, pair) in self.sums.iter_mut().zip(self.row) {
            *sum += self.weight * f64::from(*pair);
        }
    }
}
