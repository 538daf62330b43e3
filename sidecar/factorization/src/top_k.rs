//! The best items for a query: a full scan with a bounded heap. Greater score first, equal scores by lower index.

use std::{cmp::Ordering, collections::BinaryHeap};

use ndarray::ArrayView2;

use crate::lanes::dots;

/// An item and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// Row of the item factors.
    pub item: u32,
    /// ⟨query, item⟩, or a cosine.
    pub score: f32,
}

impl Scored {
    /// Best first.
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

/// Items that are scored before a heap sees them, at most.
const BLOCK_ITEMS: usize = 256;
/// Their factors stay in a core's own cache while each query passes over them.
const BLOCK_FACTORS: usize = 32 * 1024;

/// The `n` best rows of `item_factors` (items × factors) by inner product with `query` (factors), of those that `keep`
/// lets pass; fewer if fewer pass. A score that is not a number is never among them.
///
/// # Panics
/// If `query` is not as long as the item factors have columns.
pub fn top_k(query: &[f32], item_factors: ArrayView2<'_, f32>, n: usize, keep: impl Fn(u32) -> bool) -> Vec<Scored> {
    best(&[query], item_factors, n, |_, item| keep(item), |_, _, _| {}).pop().unwrap_or_default()
}

/// [`top_k`] for each of the queries, which share the way of the items through memory, with the same bits; `keep` gets the query's number too.
/// With `biases` (items) each item's bias is added to its inner product.
///
/// # Panics
/// As [`top_k`], or if there are not as many biases as items.
pub fn top_k_each(
    queries: &[&[f32]],
    item_factors: ArrayView2<'_, f32>,
    biases: Option<&[f32]>,
    n: usize,
    keep: impl Fn(usize, u32) -> bool,
) -> Vec<Vec<Scored>> {
    let Some(biases) = biases else { return best(queries, item_factors, n, keep, |_, _, _| {}) };
    assert_eq!(biases.len(), item_factors.nrows(), "each item has a bias");
    best(queries, item_factors, n, keep, |start, _, scores| {
        for (score, bias) in scores.iter_mut().zip(&biases[start..]) {
            *score += bias;
        }
    })
}

/// The `n` items most like `item` by cosine, without itself; none if there is no such item. An item whose factors are all
/// 0 is like nothing: score 0.
pub fn similar_items(
    item: u32,
    item_factors: ArrayView2<'_, f32>,
    n: usize,
    keep: impl Fn(u32) -> bool,
) -> Vec<Scored> {
    if item as usize >= item_factors.nrows() {
        return Vec::new();
    }
    let query = item_factors.row(item as usize).to_vec();
    let length = norm(&query);
    let cosines = |_: usize, rows: &[f32], scores: &mut [f32]| {
        for (score, row) in scores.iter_mut().zip(rows.chunks_exact(query.len().max(1))) {
            let lengths = length * norm(row);
            *score = if lengths > 0.0 { *score / lengths } else { 0.0 };
        }
    };
    best(&[&query], item_factors, n, |_, other| other != item && keep(other), cosines).pop().unwrap_or_default()
}

fn norm(row: &[f32]) -> f32 {
    let mut square = [0.0];
    dots(row, row, &mut square);
    square[0].sqrt()
}

/// The best so far, at most `n`.
struct Best {
    n: usize,
    heap: BinaryHeap<Kept>,
    /// What a score must exceed once there are `n`.
    bar: f32,
}

impl Best {
    fn new(n: usize, items: usize) -> Self {
        Self { n, heap: BinaryHeap::with_capacity(n.min(items) + 1), bar: f32::INFINITY }
    }

    /// Scores of the items from `start` on; those of earlier items came before.
    fn offer(&mut self, start: u32, scores: &[f32], keep: impl Fn(u32) -> bool) {
        for (item, &score) in (start..).zip(scores) {
            // Indexes ascend, so an equal score comes too late. NaN is greater than nothing.
            if score > self.bar || (self.heap.len() < self.n && !score.is_nan()) {
                if !keep(item) {
                    continue;
                }
                // Adding 0 makes −0 a 0, so that the index alone decides between them.
                self.heap.push(Kept(Scored { item, score: score + 0.0 }));
                if self.heap.len() > self.n {
                    self.heap.pop();
                }
                if self.heap.len() == self.n {
                    self.bar = self.heap.peek().map_or(f32::INFINITY, |worst| worst.0.score);
                }
            }
        }
    }

    fn into_list(self) -> Vec<Scored> {
        self.heap.into_sorted_vec().into_iter().map(|kept| kept.0).collect()
    }
}

/// Scans all items block by block, each block for all queries; `adjust` gets a block's first item, its rows and their inner products
/// with a query.
#[expect(clippy::cast_possible_truncation, reason = "items ≤ INDEX_MAX")]
fn best(
    queries: &[&[f32]],
    item_factors: ArrayView2<'_, f32>,
    n: usize,
    keep: impl Fn(usize, u32) -> bool,
    adjust: impl Fn(usize, &[f32], &mut [f32]),
) -> Vec<Vec<Scored>> {
    let (items, factors) = item_factors.dim();
    for query in queries {
        assert_eq!(query.len(), factors, "a query has as many entries as the item factors have columns");
    }
    let whole = item_factors.as_standard_layout();
    let rows = whole.as_slice().unwrap_or_default();
    let block = (BLOCK_FACTORS / factors.max(1)).clamp(1, BLOCK_ITEMS);
    let mut scores = [0.0; BLOCK_ITEMS];
    let mut lists: Vec<Best> = queries.iter().map(|_| Best::new(n, items)).collect();
    for (rows, start) in rows.chunks(block * factors.max(1)).zip((0..items).step_by(block)) {
        let scores = &mut scores[..block.min(items - start)];
        for (number, (query, list)) in queries.iter().zip(&mut lists).enumerate() {
            dots(query, rows, scores);
            adjust(start, rows, scores);
            list.offer(start as u32, scores, |item| keep(number, item));
        }
    }
    lists.into_iter().map(Best::into_list).collect()
}
