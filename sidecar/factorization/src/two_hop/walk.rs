//! The two hops: from the items of a history to their users, and on to the items of these.
//!
//! All sums are in f64, without fused multiply-adds, over items and users in ascending order.

use super::{
    History, TwoHop,
    heaviest::{Heaviest, ORDERS},
    rows::Row,
    scratch::{Block, with_scratch},
    visit::Visit,
};
use crate::simd;

/// Maximum number of additions of a walk: about a millisecond of one core. It is part of the model:
/// with another number, long histories have other terms.
pub const ADDITIONS_MAX: usize = 500_000;
/// Fraction (one in this many) of the additions that the first hop may take.
const FIRST_HOP_ONE_IN: usize = 2;
/// Sums of a block of users in bytes, and maximum number of blocks.
const BLOCK_BYTES: usize = 32 * 1024;
const BLOCKS_MAX: usize = 64;
/// With at least one addition of the first hop for this many users, the users with sums are found by
/// reading all sums, and not by a bit of each.
const USERS_PER_ADDITION: usize = 4;
/// Users whose sums are compared before the result is.
const COMPARED_USERS: usize = 16;
/// Rows ahead of a walk that are requested from memory, and the columns of each that are: a walk
/// reads many short rows in no order.
const ROWS_AHEAD: usize = 8;
const COLUMNS_AHEAD: usize = 64;
/// Columns in a cache line.
const LINE_COLUMNS: usize = 16;

/// An item of a history that is walked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Source {
    /// Place in the history.
    pub(super) at: usize,
    pub(super) item: u32,
    /// x m D⁻²ᵇ.
    pub(super) weight: f64,
}

impl TwoHop<'_> {
    /// The term of each item: at least 0, and rounded to single precision once.
    pub(crate) fn terms(&self, history: &History) -> Vec<f32> {
        self.bounded_terms(history, self.additions_max)
    }

    /// [`Self::terms`] within this number of additions, unless they are those of pairs.
    pub(super) fn bounded_terms(&self, history: &History, additions_max: usize) -> Vec<f32> {
        let visits = match self.pairs {
            Some(_) => Vec::new(),
            None => self.visits(&self.sources(history, additions_max), additions_max),
        };
        with_scratch(|scratch| {
            let sums = scratch.items(self.items());
            match self.pairs {
                Some(pairs) => self.add_pairs(pairs, history, sums),
                None => self.add_visits(&visits, history.user, sums),
            }
            #[expect(clippy::cast_possible_truncation, reason = "terms are added to scores in single precision")]
            let term = |(sum, by): (&mut f64, &f64)| (std::mem::take(sum) * by) as f32;
            let terms = sums.iter_mut().zip(self.scales.targets()).map(term).collect();
            scratch.visits = visits;
            terms
        })
    }

    /// Adds the rows of users, except that of `own`.
    fn add_visits(&self, visits: &[Visit], own: Option<u32>, sums: &mut [f64]) {
        for (at, visit) in visits.iter().enumerate() {
            if let Some(ahead) = visits.get(at + ROWS_AHEAD) {
                let columns = self.items_of_users.row(ahead.user as usize).columns;
                let requested = columns.get(..COLUMNS_AHEAD).unwrap_or(columns);
                requested.chunks(LINE_COLUMNS).for_each(simd::prefetch);
            }
            if Some(visit.user) == own {
                continue;
            }
            let row = self.items_of_users.row(visit.user as usize);
            match row.values {
                None => row.columns.iter().for_each(|item| sums[*item as usize] += visit.weight),
                Some(values) => {
                    for (item, value) in row.columns.iter().zip(values) {
                        sums[*item as usize] += visit.weight * like(*value);
                    }
                }
            }
        }
    }

    /// The liked items of a history, ascending. If the history has too many users, those with the
    /// shortest lists, which weigh most.
    pub(super) fn sources(&self, history: &History, additions_max: usize) -> Vec<Source> {
        let source = |(at, (&item, &value)): (usize, (&u32, &f32))| {
            let weight = self.scales.source(item, like(value));
            (weight > 0.0).then_some(Source { at, item, weight })
        };
        let entries = history.items.iter().zip(&history.weights).enumerate();
        let mut sources: Vec<Source> = entries.filter_map(source).collect();
        let length = |source: &Source| self.users_of_items.row(source.item as usize).columns.len();
        let first_hop_max = additions_max / FIRST_HOP_ONE_IN;
        if sources.iter().map(length).sum::<usize>() > first_hop_max {
            sources.sort_by_key(|source| (length(source), source.item));
            let mut additions = 0;
            sources.retain(|source| {
                additions += length(source);
                additions <= first_hop_max
            });
            sources.sort_unstable_by_key(|source| source.at);
        }
        sources
    }

    /// The users of these items, ascending. If they have too many items, those of the largest
    /// weights, and among equal weights those of the smallest index.
    ///
    /// Sums are made block by block of the users: those of a block stay in a core's cache.
    pub(super) fn visits(&self, sources: &[Source], additions_max: usize) -> Vec<Visit> {
        let mut lists: Vec<(f64, Row<'_>)> =
            sources.iter().map(|source| (source.weight, self.users_of_items.row(source.item as usize))).collect();
        let additions: usize = lists.iter().map(|(_, list)| list.columns.len()).sum();
        let users = self.items_of_users.len();
        let are_dense = additions.saturating_mul(USERS_PER_ADDITION) >= users;
        let block_users = block_users(users);
        with_scratch(|scratch| {
            let memory = std::mem::take(&mut scratch.visits);
            let (Block { sums, reached }, lengths) = scratch.block(block_users, ORDERS);
            let mut heaviest = Heaviest::new(additions_max.saturating_sub(additions), memory, lengths);
            for block in (0..users).step_by(block_users) {
                for (weight, list) in &mut lists {
                    if are_dense {
                        add_list(*weight, list, block, sums, |_| ());
                    } else {
                        add_list(*weight, list, block, sums, |user| reached[user / 64] |= 1 << (user % 64));
                    }
                }
                if are_dense {
                    self.visit_heavy(block, sums, &mut heaviest);
                } else {
                    self.visit_reached(block, reached, sums, &mut heaviest);
                }
            }
            heaviest.kept()
        })
    }

    /// Visits the users of a block whose bits are set. Bits and sums are 0 after it.
    fn visit_reached(&self, block: usize, reached: &mut [u64], sums: &mut [f64], heaviest: &mut Heaviest<'_>) {
        for (index, bits) in reached.iter_mut().enumerate() {
            let mut bits = std::mem::take(bits);
            while bits != 0 {
                let user = index * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                heaviest.push(self.visit(block + user, std::mem::take(&mut sums[user])));
            }
        }
    }

    /// Visits the users of a block with a sum, without those that are too light. Sums are 0 after
    /// it.
    fn visit_heavy(&self, block: usize, sums: &mut [f64], heaviest: &mut Heaviest<'_>) {
        let scales = self.scales.of_users(block, sums.len());
        for ((sums, scales), start) in
            sums.chunks(COMPARED_USERS).zip(scales.chunks(COMPARED_USERS)).zip((block..).step_by(COMPARED_USERS))
        {
            let weight_min = heaviest.weight_min().max(f64::MIN_POSITIVE);
            let is_heavy = |(sum, scale): (&f64, &f64)| sum * scale >= weight_min;
            if !sums.iter().zip(scales).fold(false, |some, user| some | is_heavy(user)) {
                continue;
            }
            for (user, of_user) in (start..).zip(sums.iter().zip(scales)) {
                if is_heavy(of_user) {
                    heaviest.push(self.visit(user, *of_user.0));
                }
            }
        }
        sums.fill(0.0);
    }

    /// The visit of a user with this sum over the shared items.
    #[expect(clippy::cast_possible_truncation, reason = "users and items ≤ INDEX_MAX")]
    fn visit(&self, user: usize, sum: f64) -> Visit {
        let length = self.items_of_users.row(user).columns.len() as u32;
        let user = user as u32;
        Visit { user, length, weight: sum * self.scales.user(user) }
    }
}

/// Number of users in a block: as many as have sums of [`BLOCK_BYTES`], or more if there would be
/// more than [`BLOCKS_MAX`] blocks, into which short lists would be split.
fn block_users(users: usize) -> usize {
    users.div_ceil(BLOCKS_MAX).max(BLOCK_BYTES / size_of::<f64>()).next_multiple_of(64)
}

/// Adds the weight of an item to the sums of its users in a block, and removes these from the list.
#[inline(always)]
fn add_list(weight: f64, list: &mut Row<'_>, block: usize, sums: &mut [f64], mut reach: impl FnMut(usize)) {
    let mut added = 0;
    for (user, at) in list.columns.iter().zip(0..) {
        let user = *user as usize - block;
        let Some(sum) = sums.get_mut(user) else { break };
        *sum += list.values.map_or(weight, |values| weight * like(values[at]));
        reach(user);
        added = at + 1;
    }
    list.skip(added);
}

/// Value in the matrix for a weight: dislikes count as not observed.
#[inline(always)]
pub(super) fn like(value: f32) -> f64 {
    f64::from(value.max(0.0))
}
