//! The best items for a query: a full scan with a bounded heap. Higher scores come first, equal
//! scores are ordered by index.

use std::{cmp::Ordering, collections::BinaryHeap};

use ndarray::ArrayView2;

use crate::lanes::dots;

/// An item and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// Row of the item factors.
    pub item: u32,
    /// ⟨query, item⟩, or a cosine similarity.
    pub score: f32,
}

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

/// Maximum number of items whose scores are computed before they are pushed to a heap.
const BLOCK_ITEMS: usize = 256;
/// Maximum number of factors per block; they stay in a core's private cache for all queries.
const BLOCK_FACTORS: usize = 32 * 1024;

/// The `n` best rows of `item_factors` (items × factors) by inner product with `query` (factors),
/// among those that `keep` accepts; fewer if it accepts fewer. Items whose score is NaN are never
/// included.
///
/// # Panics
/// If the length of `query` is not the number of factors.
pub fn top_k(query: &[f32], item_factors: ArrayView2<'_, f32>, n: usize, keep: impl Fn(u32) -> bool) -> Vec<Scored> {
    scan(&[query], item_factors, n, |_, item| keep(item), |_, _, _| {}).pop().unwrap_or_default()
}

/// [`top_k`] for several queries, which share one scan of the items, with the same bits; `keep`
/// also gets the index of the query. With `biases` (items) each item's bias is added to its inner
/// product.
///
/// # Panics
/// As [`top_k`], or if the number of biases is not that of items.
pub fn top_k_each(
    queries: &[&[f32]],
    item_factors: ArrayView2<'_, f32>,
    biases: Option<&[f32]>,
    n: usize,
    keep: impl Fn(usize, u32) -> bool,
) -> Vec<Vec<Scored>> {
    let Some(biases) = biases else { return scan(queries, item_factors, n, keep, |_, _, _| {}) };
    assert_eq!(biases.len(), item_factors.nrows(), "one bias per item");
    scan(queries, item_factors, n, keep, |start, _, scores| {
        for (score, bias) in scores.iter_mut().zip(&biases[start..]) {
            *score += bias;
        }
    })
}

/// The `n` items most similar to `item` by cosine, excluding itself; none if `item` is out of
/// range. The similarity to an item whose factors are all 0 is 0.
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
    scan(&[&query], item_factors, n, |_, other| other != item && keep(other), cosines).pop().unwrap_or_default()
}

fn norm(row: &[f32]) -> f32 {
    let mut square = [0.0];
    dots(row, row, &mut square);
    square[0].sqrt()
}

/// The best items so far, at most `n`.
struct TopK {
    n: usize,
    heap: BinaryHeap<WorstFirst>,
    /// Minimum kept score once there are `n` items; a new score must exceed it.
    threshold: f32,
}

impl TopK {
    fn new(n: usize, items: usize) -> Self {
        Self { n, heap: BinaryHeap::with_capacity(n.min(items) + 1), threshold: f32::INFINITY }
    }

    /// Pushes the scores of the items starting at `start`; items must be pushed in ascending order.
    fn push(&mut self, start: u32, scores: &[f32], keep: impl Fn(u32) -> bool) {
        for (item, &score) in (start..).zip(scores) {
            // Indexes ascend, so a later equal score ranks lower. Comparisons with NaN are false.
            if score > self.threshold || (self.heap.len() < self.n && !score.is_nan()) {
                if !keep(item) {
                    continue;
                }
                // Adding 0 turns −0 into 0, so that only the index orders them.
                self.heap.push(WorstFirst(Scored { item, score: score + 0.0 }));
                if self.heap.len() > self.n {
                    self.heap.pop();
                }
                if self.heap.len() == self.n {
                    self.threshold = self.heap.peek().map_or(f32::INFINITY, |worst| worst.0.score);
                }
            }
        }
    }

    fn into_list(self) -> Vec<Scored> {
        self.heap.into_sorted_vec().into_iter().map(|kept| kept.0).collect()
    }
}

/// Scans all items block by block, each block for all queries. `adjust` gets the first item of a
/// block, its rows and their inner products with a query.
#[expect(clippy::cast_possible_truncation, reason = "items ≤ INDEX_MAX")]
fn scan(
    queries: &[&[f32]],
    item_factors: ArrayView2<'_, f32>,
    n: usize,
    keep: impl Fn(usize, u32) -> bool,
    adjust: impl Fn(usize, &[f32], &mut [f32]),
) -> Vec<Vec<Scored>> {
    let (items, factors) = item_factors.dim();
    for query in queries {
        assert_eq!(query.len(), factors, "one query entry per factor");
    }
    let contiguous = item_factors.as_standard_layout();
    let rows = contiguous.as_slice().unwrap_or_default();
    let block = (BLOCK_FACTORS / factors.max(1)).clamp(1, BLOCK_ITEMS);
    let mut scores = [0.0; BLOCK_ITEMS];
    let mut lists: Vec<TopK> = queries.iter().map(|_| TopK::new(n, items)).collect();
    for (rows, start) in rows.chunks(block * factors.max(1)).zip((0..items).step_by(block)) {
        let scores = &mut scores[..block.min(items - start)];
        for (index, (query, list)) in queries.iter().zip(&mut lists).enumerate() {
            dots(query, rows, scores);
            adjust(start, rows, scores);
            list.push(start as u32, scores, |item| keep(index, item));
        }
    }
    lists.into_iter().map(TopK::into_list).collect()
}
