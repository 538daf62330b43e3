//! Popularity baseline, which every model must beat: items ranked by how many users chose them.

use crate::interactions::Interactions;

/// Number of users per item, counting only positive entries, and all items by descending popularity
/// (ties by index).
#[expect(clippy::cast_possible_truncation, reason = "items ≤ INDEX_MAX")]
pub fn popularity(interactions: &Interactions) -> (Vec<u32>, Vec<u32>) {
    let mut counts = vec![0_u32; interactions.items()];
    for (&item, &value) in interactions.columns().iter().zip(interactions.values()) {
        if value > 0.0 {
            counts[item as usize] += 1;
        }
    }
    let mut order: Vec<u32> = (0..counts.len() as u32).collect();
    order.sort_by_key(|&item| (std::cmp::Reverse(counts[item as usize]), item));
    (counts, order)
}
