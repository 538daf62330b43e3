//! Addends in the order of the codes: how far below the threshold an item's product may be.

use super::{
    codes::Codes,
    layout::BLOCK_ITEMS,
    score::{ADDITION_ROUNDING, round_up},
};

/// An allowance for each item: its addend, plus a multiple of the rounding errors of its addition.
pub(super) struct Allowances {
    /// By block.
    blocks: Vec<[f32; BLOCK_ITEMS]>,
    /// Maximum of each block.
    max: Vec<f32>,
}

impl Allowances {
    /// Of addends. One below 0 allows nothing: adding it does not increase the score.
    pub(super) fn new(addends: &[f32], codes: &Codes<'_>) -> Self {
        let allowance = |item: &u32| round_up(f64::from(addends[*item as usize].max(0.0)) * (1.0 + ADDITION_ROUNDING));
        let block = |items: &[u32]| {
            let mut block = [0.0; BLOCK_ITEMS];
            block.iter_mut().zip(items).for_each(|(to, item)| *to = allowance(item));
            block
        };
        let blocks: Vec<[f32; BLOCK_ITEMS]> = codes.order().chunks(BLOCK_ITEMS).map(block).collect();
        // The maximum of two numbers ignores NaN, and an item whose score is NaN is not listed.
        let max = blocks.iter().map(|block| block.iter().copied().fold(0.0, f32::max)).collect();
        Self { blocks, max }
    }

    /// Maximum of a block, and the allowances of its items.
    pub(super) fn block(&self, block: usize) -> (f32, &[f32; BLOCK_ITEMS]) {
        (self.max[block], &self.blocks[block])
    }
}

/// Allowances of items without addends.
pub(super) const NO_ALLOWANCES: [f32; BLOCK_ITEMS] = [0.0; BLOCK_ITEMS];
