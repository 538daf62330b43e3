//! Addends in the order of the codes: how far below the threshold an item's product may be.

use super::layout::BLOCK_ITEMS;

/// Allowances of the items of a block: their addends, plus a multiple of the rounding errors of
/// their additions.
pub(super) struct Allowances {
    pub(super) items: [f32; BLOCK_ITEMS],
    pub(super) max: f32,
}

/// Factor of an addend: 1 plus twice [`super::score::ADDITION_ROUNDING`], rounded up, which covers
/// the rounding of the product, too.
const INFLATION: f32 = 1.000_002;

impl Allowances {
    /// Of items without addends.
    pub(super) const NONE: Self = Self { items: [0.0; BLOCK_ITEMS], max: 0.0 };

    /// Of the addends of these items. One below 0 allows nothing: adding it does not increase the
    /// score. NaN allows nothing either: an item whose score is NaN is not listed.
    #[inline(always)]
    pub(super) fn new(addends: &[f32], items: &[u32]) -> Self {
        let mut allowances = Self::NONE;
        for (to, item) in allowances.items.iter_mut().zip(items) {
            *to = addends[*item as usize].max(0.0) * INFLATION;
        }
        allowances.max = allowances.items.iter().copied().fold(0.0, f32::max);
        allowances
    }
}
