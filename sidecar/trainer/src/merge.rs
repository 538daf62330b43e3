//! Merges duplicates to one interaction per (user, item), in an order that does not depend on the
//! order of the rows.

use factorization::ratings::mean_rating;
use model_snapshot::StringTable;
use sidecar_contract::Signal;

use crate::{
    half_life::HalfLife,
    interactions::{RawInteractions, RawRow},
};

/// Interactions grouped by user, each pair once. Items ascend within a user; users and items are
/// numbered in the order of their ids.
pub(crate) struct InteractionTable {
    pub(crate) user_ids: StringTable,
    pub(crate) item_ids: StringTable,
    /// Start of each user's interactions; users + 1 entries.
    pub(crate) offsets: Vec<u64>,
    pub(crate) items: Vec<u32>,
    /// Sum of the weights of the merged rows, decayed to the time of the newest one; for ratings, the
    /// newest one.
    pub(crate) weights: Vec<f32>,
    /// Newest time of the merged rows.
    pub(crate) times: Option<Vec<i64>>,
    /// Number of rows that were merged into an earlier one, or into nothing: rows whose weights
    /// cancel.
    pub(crate) duplicates: u64,
}

/// A row of one user during sorting.
#[derive(Clone, Copy)]
struct Entry {
    item: u32,
    weight: f32,
    time: i64,
}

/// Merges duplicates. Weights are added, with a half-life as of the newest row; a pair whose weights
/// cancel is no interaction, because a weight of zero would be a dislike. The newest rating is kept;
/// ratings that are equally new or have no time are averaged. The newest time is kept.
pub(crate) fn merge(raw: RawInteractions, signal: Signal, half_life: Option<HalfLife>) -> InteractionTable {
    let RawInteractions { users, items, rows, times, counts: _, dropped: _, reinterpreted: _ } = raw;
    let (users, items) = (users.sort(), items.sort());
    let (by_user, starts) = group_by_user(rows, times.as_deref(), &users.number_of, &items.number_of);
    let mut table = InteractionTable {
        user_ids: users.ids,
        item_ids: items.ids,
        offsets: vec![0],
        items: Vec::with_capacity(by_user.len()),
        weights: Vec::with_capacity(by_user.len()),
        times: times.map(|_| Vec::with_capacity(by_user.len())),
        duplicates: 0,
    };
    let mut rest = by_user;
    let mut rest = rest.as_mut_slice();
    for bounds in starts.windows(2) {
        let [start, end] = bounds else { continue };
        let (entries, others) = rest.split_at_mut(end - start);
        rest = others;
        // Weights and times are part of the sort key, so that a sum does not depend on the order of
        // the rows either.
        entries
            .sort_unstable_by(|a, b| a.item.cmp(&b.item).then(a.weight.total_cmp(&b.weight)).then(a.time.cmp(&b.time)));
        for same in entries.chunk_by(|a, b| a.item == b.item) {
            table.push(same, signal, half_life);
        }
        table.offsets.push(table.items.len() as u64);
    }
    if table.has_unused() { table.without_unused() } else { table }
}

/// Whether the weights of several rows add up to nothing.
fn cancel(same: &[Entry], weight: f32) -> bool {
    weight == 0.0 && same.iter().any(|entry| entry.weight != 0.0)
}

impl InteractionTable {
    /// The user of each interaction, parallel to [`Self::items`].
    pub(crate) fn users(&self) -> impl Iterator<Item = u32> {
        let counts = self.offsets.windows(2).map(|pair| match pair {
            [start, end] => usize::try_from(end - start).unwrap_or(0),
            _ => 0,
        });
        (0_u32..).zip(counts).flat_map(|(user, count)| std::iter::repeat_n(user, count))
    }

    /// Whether a user or an item has no interaction left.
    fn has_unused(&self) -> bool {
        self.offsets.windows(2).any(|bounds| matches!(bounds, [start, end] if start == end))
            || self.used_items().contains(&false)
    }

    fn used_items(&self) -> Vec<bool> {
        let mut used = vec![false; self.item_ids.len()];
        for item in &self.items {
            if let Some(used) = used.get_mut(*item as usize) {
                *used = true;
            }
        }
        used
    }

    /// Removes users and items without interactions; the others keep their order.
    fn without_unused(mut self) -> Self {
        let used = self.used_items();
        let mut next = 0;
        let number_of: Vec<u32> = used
            .iter()
            .map(|used| {
                let number = next;
                next += u32::from(*used);
                number
            })
            .collect();
        for item in &mut self.items {
            *item = number_of.get(*item as usize).copied().unwrap_or_default();
        }
        let of_used = |ids: &StringTable, used: &dyn Fn(usize) -> bool| -> StringTable {
            ids.iter().enumerate().filter(|(index, _)| used(*index)).map(|(_, id)| id).collect()
        };
        self.item_ids = of_used(&self.item_ids, &|item| used.get(item).copied().unwrap_or_default());
        let has_rows = |user: usize| self.offsets.get(user) != self.offsets.get(user + 1);
        self.user_ids = of_used(&self.user_ids, &has_rows);
        self.offsets.dedup();
        self
    }

    fn push(&mut self, same: &[Entry], signal: Signal, half_life: Option<HalfLife>) {
        let Some(first) = same.first() else { return };
        let newest = same.iter().map(|entry| entry.time).max();
        let weight = match signal {
            Signal::Implicit => sum(same.iter().map(|entry| match half_life.zip(newest) {
                Some((half_life, newest)) => half_life.decayed(entry.weight, newest, entry.time),
                None => entry.weight,
            })),
            Signal::Explicit => {
                let ratings = same.iter().filter(|entry| Some(entry.time) == newest).map(|entry| entry.weight);
                mean_rating(&mut ratings.collect::<Vec<_>>()).unwrap_or(first.weight)
            }
        };
        if signal == Signal::Implicit && cancel(same, weight) {
            self.duplicates += same.len() as u64;
            return;
        }
        self.items.push(first.item);
        self.weights.push(weight);
        if let Some(times) = &mut self.times {
            times.extend(newest);
        }
        self.duplicates += same.len() as u64 - 1;
    }
}

fn sum(weights: impl Iterator<Item = f32>) -> f32 {
    let sum: f64 = weights.map(f64::from).sum();
    // A sum beyond the range of f32 is clamped: it must not become infinite.
    #[allow(clippy::cast_possible_truncation, reason = "clamped to the range of f32")]
    {
        sum.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
    }
}

/// Counting sort by final user number: the entries, and the start of each user's entries.
fn group_by_user(
    rows: Vec<RawRow>,
    times: Option<&[i64]>,
    user_number: &[u32],
    item_number: &[u32],
) -> (Vec<Entry>, Vec<usize>) {
    let number = |numbers: &[u32], provisional: u32| numbers.get(provisional as usize).copied().unwrap_or(0);
    let mut starts = vec![0_usize; user_number.len() + 1];
    for row in &rows {
        if let Some(count) = starts.get_mut(number(user_number, row.user) as usize + 1) {
            *count += 1;
        }
    }
    let mut sum = 0;
    for start in &mut starts {
        sum += *start;
        *start = sum;
    }
    let mut next = starts.clone();
    let mut entries = vec![Entry { item: 0, weight: 0.0, time: 0 }; rows.len()];
    for (at, row) in rows.into_iter().enumerate() {
        let Some(slot) = next.get_mut(number(user_number, row.user) as usize) else { continue };
        let time = times.and_then(|times| times.get(at).copied()).unwrap_or(0);
        if let Some(entry) = entries.get_mut(*slot) {
            *entry = Entry { item: number(item_number, row.item), weight: row.weight, time };
        }
        *slot += 1;
    }
    (entries, starts)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;
    use sidecar_contract::RowCounts;

    use super::*;
    use crate::{dropped::Dropped, interner::Interner, reinterpreted::Reinterpreted};

    /// A row of a file.
    type Row = (String, String, i8, i64);

    fn raw(rows: &[Row], timed: bool) -> RawInteractions {
        let (mut users, mut items) = (Interner::default(), Interner::default());
        let kept = rows
            .iter()
            .map(|(user, item, weight, _)| RawRow {
                user: users.number(user, u32::MAX).unwrap(),
                item: items.number(item, u32::MAX).unwrap(),
                weight: f32::from(*weight),
            })
            .collect();
        RawInteractions {
            users,
            items,
            rows: kept,
            times: timed.then(|| rows.iter().map(|row| row.3).collect()),
            counts: RowCounts::default(),
            dropped: Dropped::default(),
            reinterpreted: Reinterpreted::default(),
        }
    }

    proptest! {
        #[test]
        fn merged_pairs_equal_a_sorted_map(
            rows in prop::collection::vec(("[a-d]{1,2}", "[a-c]{1,2}", -2..=2_i8, 0_i64..50), 0..60),
            timed in any::<bool>(),
        ) {
            let mut expected: BTreeMap<(&str, &str), (f32, i64, bool)> = BTreeMap::new();
            for (user, item, weight, time) in &rows {
                // Sums of small integers are exact in any order.
                let entry = expected.entry((user, item)).or_insert((0.0, i64::MIN, false));
                *entry = (entry.0 + f32::from(*weight), entry.1.max(*time), entry.2 || *weight != 0);
            }
            expected.retain(|_, (weight, _, any)| *weight != 0.0 || !*any);
            let table = merge(raw(&rows, timed), Signal::Implicit, None);
            let pairs = table.users().zip(&table.items).map(|(user, item)| {
                (table.user_ids.get(user as usize).unwrap(), table.item_ids.get(*item as usize).unwrap())
            });
            prop_assert_eq!(pairs.collect::<Vec<_>>(), expected.keys().copied().collect::<Vec<_>>());
            prop_assert_eq!(&table.weights, &expected.values().map(|(weight, ..)| *weight).collect::<Vec<_>>());
            let times = timed.then(|| expected.values().map(|(_, time, _)| *time).collect::<Vec<_>>());
            prop_assert_eq!(&table.times, &times);
            prop_assert_eq!(table.duplicates, (rows.len() - expected.len()) as u64);
            prop_assert_eq!(table.offsets.len(), table.user_ids.len() + 1);
            let users: BTreeSet<&str> = expected.keys().map(|(user, _)| *user).collect();
            let items: BTreeSet<&str> = expected.keys().map(|(_, item)| *item).collect();
            prop_assert_eq!(table.user_ids.iter().collect::<Vec<_>>(), users.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(table.item_ids.iter().collect::<Vec<_>>(), items.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn weights_that_cancel_are_no_interaction() {
        let row = |user: &str, item: &str, weight| (user.to_owned(), item.to_owned(), weight, 0);
        let rows = [
            row("a", "x", 1),
            row("a", "y", 1),
            row("a", "y", -1),
            row("b", "z", 2),
            row("b", "z", -2),
            row("c", "x", 0),
        ];
        let table = merge(raw(&rows, true), Signal::Implicit, None);
        let ids = |table: &StringTable| table.iter().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!((ids(&table.user_ids), ids(&table.item_ids)), (vec!["a".into(), "c".into()], vec!["x".into()]));
        assert_eq!((table.weights, table.items, table.duplicates), (vec![1.0, 0.0], vec![0, 0], 4));
        // A rating of zero is a rating.
        assert_eq!(merge(raw(&rows, true), Signal::Explicit, None).weights.len(), 4);
    }

    #[test]
    fn newest_rating_is_kept_and_ratings_without_times_are_averaged() {
        let row = |weight, time| ("u".to_owned(), "i".to_owned(), weight, time);
        let rating = |rows: &[Row], timed| merge(raw(rows, timed), Signal::Explicit, None).weights;
        assert_eq!(rating(&[row(5, 10), row(1, 30), row(4, 20)], true), [1.0]);
        assert_eq!(rating(&[row(5, 30), row(2, 30), row(1, 20)], true), [3.5]);
        assert_eq!(rating(&[row(5, 10), row(1, 30), row(4, 20)], false), [10.0_f32 / 3.0]);
        assert_eq!(rating(&[row(3, 0)], false), [3.0]);
    }

    #[test]
    fn sum_does_not_depend_on_the_order_of_the_rows() {
        let weights = [1e20_f32, 1.0, -1e20, 0.5, 3e-5, 7.0];
        let sum = |order: &[usize]| {
            let mut raw = raw(&vec![("u".to_owned(), "i".to_owned(), 0, 0); weights.len()], false);
            raw.rows.iter_mut().zip(order).for_each(|(row, at)| row.weight = weights[*at]);
            merge(raw, Signal::Implicit, None).weights
        };
        assert_eq!(sum(&[0, 1, 2, 3, 4, 5]), sum(&[5, 3, 0, 4, 2, 1]));
    }
}
