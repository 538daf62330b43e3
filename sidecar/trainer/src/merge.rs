//! One interaction for each (user, item), in an order that does not depend on the order of the rows.

use model_snapshot::StringTable;

use crate::interactions::{RawInteractions, RawRow};

/// Interactions by user, each pair once; items ascend within a user, and users and items are numbered in the order of
/// their ids.
pub(crate) struct Merged {
    pub(crate) user_ids: StringTable,
    pub(crate) item_ids: StringTable,
    /// Where each user starts; users + 1 entries.
    pub(crate) offsets: Vec<u64>,
    pub(crate) items: Vec<u32>,
    /// Sums of the weights of the rows that merged.
    pub(crate) weights: Vec<f32>,
    /// The newest time of the rows that merged.
    pub(crate) times: Option<Vec<i64>>,
    /// Rows that merged into an earlier one.
    pub(crate) duplicates: u64,
}

/// A row of one user while it is sorted.
#[derive(Clone, Copy)]
struct Entry {
    item: u32,
    weight: f32,
    time: i64,
}

/// Merges duplicates: weights add, the newest time stays.
pub(crate) fn merge(raw: RawInteractions) -> Merged {
    let RawInteractions { users, items, rows, times, counts: _, dropped: _ } = raw;
    let (users, items) = (users.sort(), items.sort());
    let (by_user, starts) = group_by_user(rows, times.as_deref(), &users.number_of, &items.number_of);
    let mut merged = Merged {
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
        // Weights take part in the order, so that a sum does not depend on the order of the rows either.
        entries.sort_unstable_by(|a, b| a.item.cmp(&b.item).then(a.weight.total_cmp(&b.weight)));
        for same in entries.chunk_by(|a, b| a.item == b.item) {
            merged.push(same);
        }
        merged.offsets.push(merged.items.len() as u64);
    }
    merged
}

impl Merged {
    /// The user of each interaction, beside [`Self::items`].
    pub(crate) fn users(&self) -> impl Iterator<Item = u32> {
        let counts = self.offsets.windows(2).map(|pair| match pair {
            [start, end] => usize::try_from(end - start).unwrap_or(0),
            _ => 0,
        });
        (0_u32..).zip(counts).flat_map(|(user, count)| std::iter::repeat_n(user, count))
    }

    fn push(&mut self, same: &[Entry]) {
        let Some(first) = same.first() else { return };
        let sum: f64 = same.iter().map(|entry| f64::from(entry.weight)).sum();
        self.items.push(first.item);
        // A sum beyond f32 stays the largest f32: it must not become infinite.
        #[allow(clippy::cast_possible_truncation, reason = "clamped to the range of f32")]
        self.weights.push(sum.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32);
        if let Some(times) = &mut self.times {
            times.extend(same.iter().map(|entry| entry.time).max());
        }
        self.duplicates += same.len() as u64 - 1;
    }
}

/// Counting sort by final user number: the entries, and where each user starts.
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
        let Some(place) = next.get_mut(number(user_number, row.user) as usize) else { continue };
        let time = times.and_then(|times| times.get(at).copied()).unwrap_or(0);
        if let Some(entry) = entries.get_mut(*place) {
            *entry = Entry { item: number(item_number, row.item), weight: row.weight, time };
        }
        *place += 1;
    }
    (entries, starts)
}
