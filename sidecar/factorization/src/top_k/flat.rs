//! The flat scan: every score in single precision. It is the definition of the result, and the
//! fastest way through a small catalogue.

use super::{best::Best, score::Scoring};
use crate::{lanes::dots, top_k::Scored};

/// Maximum number of items whose scores are computed before they are added to a list.
const BLOCK_ITEMS: usize = 256;
/// Maximum number of factors per block; they stay in a core's private cache for all queries.
const BLOCK_FACTORS: usize = 32 * 1024;

/// Scans all items block by block, each block for all queries: the `n` best that rank after
/// `after`. `keep` gets the index of the query and the item.
#[expect(clippy::cast_possible_truncation, reason = "items ≤ INDEX_MAX")]
pub(super) fn scan(
    queries: &[&[f32]],
    rows: &[f32],
    items: usize,
    (n, after): (usize, Option<Scored>),
    keep: impl Fn(usize, u32) -> bool,
    scoring: Scoring<'_>,
) -> Vec<Vec<Scored>> {
    #[cfg(test)]
    super::tests::assert_flat_scan_is_allowed();
    let factors = queries.first().map_or(0, |query| query.len());
    let block = (BLOCK_FACTORS / factors.max(1)).clamp(1, BLOCK_ITEMS);
    let mut scores = [0.0; BLOCK_ITEMS];
    let mut lists: Vec<Best> = queries.iter().map(|_| Best::new(n, items).after(after)).collect();
    for start in (0..items).step_by(block) {
        let scores = &mut scores[..block.min(items - start)];
        let rows = &rows[start * factors..][..scores.len() * factors];
        for (index, (query, list)) in queries.iter().zip(&mut lists).enumerate() {
            dots(query, rows, scores);
            for (offset, &product) in scores.iter().enumerate() {
                let item = start + offset;
                let score = scoring.score(product, item, || &rows[offset * factors..][..factors]);
                list.push(item as u32, score, |item| keep(index, item));
            }
        }
    }
    lists.into_iter().map(Best::into_list).collect()
}
