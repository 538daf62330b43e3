//! The baseline that every model must beat: items by how many users chose them.

use crate::interactions::Interactions;

/// Users per item, counting positive entries only, and items from the most to the least chosen (ties by index).
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
