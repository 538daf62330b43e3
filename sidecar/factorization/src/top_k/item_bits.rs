//! Sets of items as one bit an item: bit `i % 64` of word `i / 64` is item `i`.

use super::{codes::Codes, layout::BLOCK_ITEMS};
use crate::simd::{self, Kernel};

/// Items in a word.
const WORD_ITEMS: usize = 64;

/// A set of items; the words of the last items may be missing if they are not in the set.
#[derive(Clone, Copy, Debug)]
pub struct ItemBits<'a>(pub &'a [u64]);

impl ItemBits<'_> {
    /// Whether an item is in the set.
    #[inline(always)]
    fn contains(self, item: u32) -> bool {
        let item = item as usize;
        self.0.get(item / WORD_ITEMS).is_some_and(|word| word >> (item % WORD_ITEMS) & 1 == 1)
    }

    /// Which of the items of a block are in the set, a bit each.
    #[inline(always)]
    pub(super) fn of_block(self, order: &[u32]) -> u64 {
        order.iter().enumerate().fold(0, |found, (at, item)| found | u64::from(self.contains(*item)) << at)
    }

    /// [`Self::of_block`] of every block.
    pub(super) fn by_block(self, codes: &Codes<'_>) -> Vec<u64> {
        simd::run(ByBlock { bits: self, order: codes.order() })
    }
}

/// Word and bit of every bit that is set, ascending.
pub(super) fn ones(words: &[u64]) -> impl Iterator<Item = (usize, usize)> + '_ {
    words.iter().enumerate().flat_map(|(index, word)| {
        let mut rest = *word;
        std::iter::from_fn(move || {
            let bit = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some((index, bit))
        })
    })
}

struct ByBlock<'a> {
    bits: ItemBits<'a>,
    order: &'a [u32],
}

impl Kernel for ByBlock<'_> {
    type Output = Vec<u64>;

    #[inline(always)]
    fn run(self) -> Vec<u64> {
        self.order.chunks(BLOCK_ITEMS).map(|order| self.bits.of_block(order)).collect()
    }
}
