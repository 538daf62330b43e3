//! The best items for a query: a full scan with a bounded heap. Greater score first, equal scores by lower index.

use std::{cmp::Ordering, collections::BinaryHeap};

use ndarray::ArrayView2;

use crate::lanes::dot_f32;

/// An item and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// Row of the item factors.
    pub item: u32,
    /// ⟨query, item⟩, or a cosine.
    pub score: f32,
}

impl Scored {
    /// Best first; total, also for NaN.
    fn rank(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.item.cmp(&other.item))
    }
}

/// The heap's order: its greatest element is the worst one kept.
#[derive(Clone, Copy)]
struct Kept(Scored);

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Kept {}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.rank(&other.0)
    }
}

/// The `n` best rows of `item_factors` (items × factors) by inner product with `query` (factors), of those that `keep`
/// lets pass; fewer if fewer pass.
pub fn top_k(query: &[f32], item_factors: ArrayView2<'_, f32>, n: usize, keep: impl Fn(u32) -> bool) -> Vec<Scored> {
    best(item_factors.nrows(), n, keep, |item| {
        item_factors.row(item).as_slice().map_or(f32::NEG_INFINITY, |row| dot_f32(query, row))
    })
}

/// The `n` items most like `item` by cosine, without itself. An item whose factors are all 0 is like nothing: score 0.
pub fn similar_items(
    item: u32,
    item_factors: ArrayView2<'_, f32>,
    n: usize,
    keep: impl Fn(u32) -> bool,
) -> Vec<Scored> {
    let rows = item_factors.nrows();
    let row = |index: usize| item_factors.row(index).to_slice();
    let Some(query) = (item as usize).lt(&rows).then(|| row(item as usize)).flatten() else {
        return Vec::new();
    };
    let length = dot_f32(query, query).sqrt();
    best(
        rows,
        n,
        |other| other != item && keep(other),
        |other| {
            row(other).map_or(0.0, |v| {
                let lengths = length * dot_f32(v, v).sqrt();
                if lengths > 0.0 { dot_f32(query, v) / lengths } else { 0.0 }
            })
        },
    )
}

#[expect(clippy::cast_possible_truncation, reason = "items ≤ INDEX_MAX")]
fn best(items: usize, n: usize, keep: impl Fn(u32) -> bool, score: impl Fn(usize) -> f32) -> Vec<Scored> {
    let mut heap: BinaryHeap<Kept> = BinaryHeap::with_capacity(n.min(items) + 1);
    for index in 0..items {
        let candidate = Kept(Scored { item: index as u32, score: score(index) });
        let enters = heap.len() < n || heap.peek().is_some_and(|worst| candidate < *worst);
        if !enters || !keep(candidate.0.item) {
            continue;
        }
        heap.push(candidate);
        if heap.len() > n {
            heap.pop();
        }
    }
    heap.into_sorted_vec().into_iter().map(|kept| kept.0).collect()
}
