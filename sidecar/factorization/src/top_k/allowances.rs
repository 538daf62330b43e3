//! Addends in the order of the codes: how far below the threshold an item's product may be.

use super::{item_bits::ones, layout::BLOCK_ITEMS, score::round_down};

/// Allowances of the items of a block: their addends, plus a multiple of the rounding errors of
/// their additions.
pub(super) struct Allowances {
    pub(super) items: [f32; BLOCK_ITEMS],
    pub(super) max: f32,
}

/// Factor of an addend: 1 plus twice [`super::score::ADDITION_ROUNDING`], rounded up, which covers
/// the rounding of the product, too.
const INFLATION: f32 = 1.000_002;
/// Wanted items of a block up to which the addends of others are not read.
const FEW_MAX: u32 = 16;
/// Upper bound of the relative difference between an addend and its allowance, which [`INFLATION`] and
/// the rounding of the product make.
const INFLATION_MAX: f64 = 1.0 / (1 << 17) as f64;

/// An addend below which no allowance reaches this one; `None` if no addend is needed.
pub(super) fn addend_min(allowance: f64) -> Option<f32> {
    (allowance > 0.0).then(|| round_down(allowance * (1.0 - INFLATION_MAX)))
}

impl Allowances {
    /// Of items without addends.
    pub(super) const NONE: Self = Self { items: [0.0; BLOCK_ITEMS], max: 0.0 };

    /// Of the addends of these items, at least of those that are wanted, a bit each. One below 0
    /// allows nothing: adding it does not increase the score. NaN allows nothing either: an item
    /// whose score is NaN is not listed.
    #[inline(always)]
    pub(super) fn new(addends: &[f32], items: &[u32], wanted: u64) -> Self {
        let mut allowances = Self::NONE;
        if wanted.count_ones() <= FEW_MAX {
            for (_, at) in ones(&[wanted]) {
                if let (Some(to), Some(item)) = (allowances.items.get_mut(at), items.get(at)) {
                    *to = addends[*item as usize].max(0.0) * INFLATION;
                    allowances.max = allowances.max.max(*to);
                }
            }
            return allowances;
        }
        for (to, item) in allowances.items.iter_mut().zip(items) {
            *to = addends[*item as usize].max(0.0) * INFLATION;
        }
        allowances.max = allowances.items.iter().copied().fold(0.0, f32::max);
        allowances
    }
}
