//! The best items so far, of scores that arrive in any order.

use std::{cmp::Ordering, collections::BinaryHeap};

use super::Scored;

impl Scored {
    /// Orders better items first.
    fn rank(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.item.cmp(&other.item))
    }
}

/// Heap order: the maximum is the worst kept item.
#[derive(Clone, Copy)]
struct WorstFirst(Scored);

impl PartialEq for WorstFirst {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for WorstFirst {}

impl PartialOrd for WorstFirst {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for WorstFirst {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.rank(&other.0)
    }
}

/// The best items so far, at most `n`.
#[derive(Clone)]
pub(super) struct Best {
    n: usize,
    heap: BinaryHeap<WorstFirst>,
    /// Only items that rank after this one are added.
    after: Option<Scored>,
    /// See [`Self::threshold`].
    threshold: f32,
}

impl Best {
    /// An empty list of the `n` best of this many items.
    pub(super) fn new(n: usize, items: usize) -> Self {
        let threshold = if n == 0 { f32::INFINITY } else { f32::NEG_INFINITY };
        Self { n, heap: BinaryHeap::with_capacity(n.min(items) + 1), after: None, threshold }
    }

    /// The same empty list, for items that rank after `last` only.
    pub(super) fn after(self, last: Option<Scored>) -> Self {
        Self { after: last, ..self }
    }

    /// Leaves out items below a score that `n` items are known to reach.
    pub(super) fn set_floor(&mut self, floor: f32) {
        self.threshold = self.threshold.max(floor);
    }

    /// Minimum score of an item that may still enter: the worst kept score once there are `n`
    /// items, where a smaller index decides between equal scores; the floor, or −∞, before.
    #[inline(always)]
    pub(super) fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Adds an item if it is better than the worst one and `keep` accepts it. An item whose score
    /// is NaN is never added.
    #[inline(always)]
    pub(super) fn push(&mut self, item: u32, score: f32, keep: impl FnOnce(u32) -> bool) {
        // Comparisons with NaN are false.
        if score >= self.threshold {
            self.insert(item, score, keep);
        }
    }

    fn insert(&mut self, item: u32, score: f32, keep: impl FnOnce(u32) -> bool) {
        // Adding 0 turns −0 into 0, so that only the index orders them.
        let scored = WorstFirst(Scored { item, score: score + 0.0 });
        let is_full = self.heap.len() >= self.n;
        let is_before = self.after.is_some_and(|last| scored.0.rank(&last) != Ordering::Greater);
        if is_before || is_full && self.heap.peek().is_none_or(|worst| scored >= *worst) || !keep(item) {
            return;
        }
        if is_full {
            self.heap.pop();
        }
        self.heap.push(scored);
        if self.heap.len() == self.n {
            self.threshold = self.heap.peek().map_or(f32::INFINITY, |worst| worst.0.score);
        }
    }

    /// The items, best first.
    pub(super) fn into_list(self) -> Vec<Scored> {
        self.heap.into_sorted_vec().into_iter().map(|kept| kept.0).collect()
    }
}
