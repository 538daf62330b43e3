//! A set of items, prepared for many searches: each reads only the codes of items of the set.

use super::{
    Scored,
    cascade::{ALL_WANTED, ScanCounts, Search},
    codes::Codes,
    encode::ItemCodes,
    item_bits::ItemBits,
    subset,
};
use crate::simd;

/// Items of a set in the order of the codes.
#[derive(Debug)]
pub struct KeptItems(Form);

#[derive(Debug)]
enum Form {
    /// Codes of the items alone: a search reads as much as one in a catalogue of these items.
    Packed(ItemCodes),
    /// A bit for each item of each block: a search reads the blocks that have its items.
    Blocks(Box<[u64]>),
}

impl KeptItems {
    /// The items of `bits`, with copies of their codes if these take at most `packed_bytes_max`.
    pub(crate) fn new(bits: ItemBits<'_>, codes: &Codes<'_>, packed_bytes_max: usize) -> Self {
        let wanted = bits.by_block(codes);
        let items: usize = wanted.iter().map(|word| word.count_ones() as usize).sum();
        Self(if ItemCodes::bytes(items, codes.dim().1) <= packed_bytes_max {
            Form::Packed(ItemCodes::of_some(codes, &wanted, items))
        } else {
            Form::Blocks(wanted.into())
        })
    }

    /// Memory of the set, in bytes.
    pub fn bytes(&self) -> usize {
        match &self.0 {
            Form::Packed(packed) => {
                let (items, factors) = packed.codes().dim();
                ItemCodes::bytes(items, factors)
            }
            Form::Blocks(wanted) => size_of_val(&**wanted),
        }
    }

    /// The items, by descending norm.
    pub(super) fn items(&self, codes: &Codes<'_>) -> Vec<u32> {
        match &self.0 {
            Form::Packed(packed) => packed.codes().order().to_vec(),
            Form::Blocks(wanted) => subset::items(wanted, codes).collect(),
        }
    }

    /// Runs a search of the items (in rows of factors of all items), and returns its list and what
    /// it read.
    pub(super) fn scan(
        &self,
        mut search: Search<'_>,
        codes: &Codes<'_>,
        rows: &[f32],
        keep: &impl Fn(u32) -> bool,
    ) -> (Vec<Scored>, ScanCounts) {
        let packed = match &self.0 {
            Form::Packed(packed) => packed.codes(),
            Form::Blocks(wanted) => return subset::scan_blocks(search, wanted, codes, rows, keep),
        };
        search.set_floor(packed.order().iter().copied(), rows, keep);
        let integers = simd::integers();
        for block in 0..packed.blocks() {
            if search.is_done() {
                break;
            }
            search.scan((block, ALL_WANTED), &packed, rows, integers, keep);
        }
        search.finish(rows, keep)
    }
}
