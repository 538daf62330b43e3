//! The best of some items by codes: only blocks with such items are read, by descending norm, until
//! none can reach the list.

use std::sync::OnceLock;

use super::{
    Scored,
    cascade::{ScanCounts, Search},
    codes::Codes,
    item_bits::ones,
    layout::BLOCK_ITEMS,
};
use crate::simd;

/// Blocks for each of the items above which it is faster to score the items one by one.
const BLOCKS_PER_ITEM_MAX: usize = 8;

/// Place of each item in the order of the codes; four bytes an item. It is made by the first search
/// that needs it.
#[derive(Debug, Default)]
pub struct Places(OnceLock<Box<[u32]>>);

impl Places {
    /// The places, by item. The codes must be the same at every call.
    pub(super) fn of(&self, codes: &Codes<'_>) -> &[u32] {
        self.0.get_or_init(|| {
            let mut places = vec![0; codes.order().len()];
            for (place, item) in (0..).zip(codes.order()) {
                places[*item as usize] = place;
            }
            places.into()
        })
    }
}

/// Whether a search of this number of items by codes is faster than scoring them all.
pub(super) fn pays(items: usize, codes: &Codes<'_>) -> bool {
    items.saturating_mul(BLOCKS_PER_ITEM_MAX) >= codes.blocks()
}

/// Runs a search of some items (in rows of factors), and returns its list and what it read.
pub(super) fn scan(
    search: Search<'_>,
    items: &[u32],
    places: &[u32],
    codes: &Codes<'_>,
    rows: &[f32],
    keep: &impl Fn(u32) -> bool,
) -> (Vec<Scored>, ScanCounts) {
    let mut wanted = vec![0_u64; codes.blocks()];
    for item in items {
        let place = places[*item as usize] as usize;
        wanted[place / BLOCK_ITEMS] |= 1 << (place % BLOCK_ITEMS);
    }
    scan_blocks(search, &wanted, codes, rows, keep)
}

/// Runs a search of the wanted items of each block, a bit each.
pub(super) fn scan_blocks(
    mut search: Search<'_>,
    wanted: &[u64],
    codes: &Codes<'_>,
    rows: &[f32],
    keep: &impl Fn(u32) -> bool,
) -> (Vec<Scored>, ScanCounts) {
    search.set_floor(items(wanted, codes), rows, keep);
    let integers = simd::integers();
    for (index, wanted) in wanted.iter().enumerate() {
        if search.is_done() {
            break;
        }
        if *wanted != 0 {
            search.scan((index, *wanted), codes, rows, integers, keep);
        }
    }
    search.finish(rows, keep)
}

/// The wanted items of each block.
pub(super) fn items(wanted: &[u64], codes: &Codes<'_>) -> impl Iterator<Item = u32> {
    ones(wanted).map(|(block, at)| codes.order()[block * BLOCK_ITEMS + at])
}
