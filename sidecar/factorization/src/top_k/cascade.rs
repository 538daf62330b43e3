//! The scan by codes: blocks by descending norm, an upper bound for each item of a block, and the
//! score in single precision for those that may enter the list.

use super::{
    LINE_FACTORS, Scored,
    allowances::{self, Allowances},
    best::Best,
    bound::QueryCode,
    by_addend,
    codes::Codes,
    item_bits::ItemBits,
    kernel::{Input, survivors},
    layout::BLOCK_ITEMS,
    score::Scoring,
};
use crate::{
    lanes::dots,
    simd::{self, Integers},
};

/// Blocks that all queries scan one after the other while they are in a core's private cache.
const BLOCKS_PER_ROUND: usize = 64;
/// Survivors of a block above which they are tested before they are scored: while few kept items
/// are in the list, most items survive, and one that is not kept costs its factors for nothing. Few
/// survivors are tested only if their score reaches the list, which is rarer.
const CROWDED_MIN: u32 = 8;
/// Wanted items of a block up to which they are scored without a look at its codes, which costs as
/// much as to score a few items.
const SPARSE_MAX: u32 = 6;
/// Every item of a block is wanted.
pub(super) const ALL_WANTED: u64 = u64::MAX;
/// Items whose factors are requested from memory before the first of them is scored.
const PENDING: usize = 16;
/// Items with the largest addends that are scored first, for each item of the list.
const FIRST_PER_ITEM: usize = 2;
/// Number of blocks after which a search with addends first checks whether few of the remaining items
/// may reach the list. It checks again whenever the number has doubled. A check reads all addends in
/// their order, which is faster than to read them in the order of the codes.
pub(super) const BLOCKS_BEFORE_CHECK: usize = 16;
/// Items are few if they are at most one in this many.
const WANTED_ONE_IN: usize = 64;

/// A query in a scan.
pub(super) struct Search<'a> {
    query: &'a [f32],
    code: QueryCode,
    scoring: Scoring<'a>,
    n: usize,
    /// Items without a bit here are not kept. Survivors are then tested before they are scored,
    /// however few they are.
    bits: Option<ItemBits<'a>>,
    best: Best,
    /// Items to score.
    pending: Vec<u32>,
    /// Whether no further block can reach the list.
    is_done: bool,
    /// Items that were scored.
    scored: usize,
    /// Blocks whose codes were read.
    scanned: usize,
}

/// How much of the catalogue a scan read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanCounts {
    /// Items whose score was computed in single precision.
    pub scored: usize,
    /// Items whose codes were read.
    pub coded: usize,
}

impl<'a> Search<'a> {
    /// `None` if bounds in single precision do not hold for the query.
    pub(super) fn new(query: &'a [f32], scoring: Scoring<'a>, n: usize, codes: &Codes<'_>) -> Option<Self> {
        let best = Best::new(n, codes.dim().0);
        let pending = Vec::with_capacity(PENDING + BLOCK_ITEMS);
        let code = QueryCode::new(query)?;
        Some(Self { query, code, scoring, n, bits: None, best, pending, is_done: n == 0, scored: 0, scanned: 0 })
    }

    /// The same search, where only items of these bits are kept: faster if they are few.
    pub(super) fn among(self, bits: Option<ItemBits<'a>>) -> Self {
        Self { bits, ..self }
    }

    /// Whether no further block can reach the list.
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Scores what is left, and returns the list and what was read.
    pub(super) fn finish(mut self, rows: &[f32], keep: &impl Fn(u32) -> bool) -> (Vec<Scored>, ScanCounts) {
        self.score(rows, keep);
        let counts = ScanCounts { scored: self.scored, coded: self.scanned * BLOCK_ITEMS };
        (self.best.into_list(), counts)
    }

    /// Scores those of the items to search that have the largest addends, so that the scan starts
    /// with a threshold.
    pub(super) fn set_floor(&mut self, items: impl Iterator<Item = u32>, rows: &[f32], keep: &impl Fn(u32) -> bool) {
        let Some(addends) = self.scoring.addends() else { return };
        let mut first = Best::new(FIRST_PER_ITEM * self.n, addends.len());
        for item in items {
            first.push(item, addends[item as usize], keep);
        }
        self.set_floor_from(first, rows);
    }

    /// [`Self::set_floor`] of all items.
    fn set_floor_of_all(&mut self, rows: &[f32], keep: &impl Fn(u32) -> bool) {
        let Some(addends) = self.scoring.addends() else { return };
        let first = by_addend::largest(addends, FIRST_PER_ITEM * self.n, keep);
        self.set_floor_from(first, rows);
    }

    /// Scores these items, which are kept, and leaves out what is below the worst of the best of
    /// them.
    fn set_floor_from(&mut self, first: Best, rows: &[f32]) {
        let mut best = self.best.clone();
        let first = first.into_list();
        self.scored += first.len();
        for Scored { item, score: _ } in first {
            best.push(item, self.score_of(item, rows), |_| true);
        }
        self.best.set_floor(best.threshold());
    }

    /// The score of an item in single precision.
    #[inline(always)]
    fn score_of(&self, item: u32, rows: &[f32]) -> f32 {
        let factors = self.query.len();
        let row = &rows[item as usize * factors..][..factors];
        let mut product = [0.0];
        dots(self.query, row, &mut product);
        self.scoring.score(product[0], item as usize, || row)
    }

    /// The same search for items that rank after `last` only.
    pub(super) fn after(self, last: Option<Scored>) -> Self {
        Self { best: self.best.after(last), ..self }
    }

    /// Scans the wanted items of a block, a bit each.
    #[inline(always)]
    pub(super) fn scan(
        &mut self,
        (index, wanted): (usize, u64),
        codes: &Codes<'_>,
        rows: &[f32],
        integers: Integers,
        keep: &impl Fn(u32) -> bool,
    ) {
        let bound = codes.bound(index);
        let product_min = self.scoring.product_min(self.best.threshold(), &bound);
        let block = codes.block(index);
        let of_block;
        let allowances = match self.scoring.addends() {
            Some(addends) => {
                of_block = Allowances::new(addends, block.order, wanted);
                &of_block
            }
            None => &Allowances::NONE,
        };
        if !self.code.reaches(&bound, product_min - allowances.max) {
            self.is_done = self.scoring.ends_at_the_first_block_below();
            return;
        }
        // Until the list is full, every item survives. A block without kept items is then left out.
        let wanted = match self.bits {
            Some(bits) if self.best.threshold() == f32::NEG_INFINITY => wanted & bits.of_block(block.order),
            _ => wanted,
        };
        if wanted.count_ones() <= SPARSE_MAX {
            self.enqueue(wanted, block.order, rows, false, keep);
            return;
        }
        self.scanned += 1;
        let padded: [u32; BLOCK_ITEMS];
        let scales = if let Some(scales) = block.scales.first_chunk() {
            scales
        } else {
            padded = std::array::from_fn(|item| block.scales.get(item).copied().unwrap_or(0));
            &padded
        };
        let slack = self.code.slack(&bound);
        let input =
            Input { query: &self.code, codes: block.codes, scales, slack, product_min, allowances: &allowances.items };
        let found = survivors(input, integers) & wanted;
        let tests_first = self.bits.is_some() || found.count_ones() > CROWDED_MIN;
        self.enqueue(found, block.order, rows, tests_first, keep);
    }

    /// The items of this block and of those after it that may reach the list, a bit for each item
    /// of each block; `None` if they are not few, or if bounds differ by item for other reasons than
    /// addends.
    fn wanted_from(&self, index: usize, codes: &Codes<'_>, places: &[u32]) -> Option<Vec<u64>> {
        let addends = self.scoring.addends_alone()?;
        let bound = codes.bound(index);
        let product_min = self.scoring.product_min(self.best.threshold(), &bound);
        let at_least = allowances::addend_min(self.code.allowance_min(&bound, product_min))?;
        let items_max = (codes.blocks() - index) * BLOCK_ITEMS / WANTED_ONE_IN;
        by_addend::wanted(addends, at_least, items_max, places)
    }

    /// Requests the factors of items of a block, a bit each, and scores them when enough are
    /// requested.
    #[inline(always)]
    fn enqueue(&mut self, mut found: u64, order: &[u32], rows: &[f32], tests_first: bool, keep: &impl Fn(u32) -> bool) {
        let factors = self.query.len();
        while found != 0 {
            let at = found.trailing_zeros() as usize;
            found &= found - 1;
            // Bits of items that pad the block.
            let Some(&item) = order.get(at) else { break };
            if tests_first && !keep(item) {
                continue;
            }
            for line in rows[item as usize * factors..][..factors].chunks(LINE_FACTORS) {
                simd::prefetch(line);
            }
            self.pending.push(item);
        }
        if self.pending.len() >= PENDING || self.best.threshold() == f32::NEG_INFINITY {
            self.score(rows, keep);
        }
    }

    /// Scores the pending items.
    fn score(&mut self, rows: &[f32], keep: &impl Fn(u32) -> bool) {
        self.scored += self.pending.len();
        let mut pending = std::mem::take(&mut self.pending);
        for item in pending.drain(..) {
            self.best.push(item, self.score_of(item, rows), keep);
        }
        self.pending = pending;
    }
}

/// Runs a search with addends over the items (in rows of factors), and returns its list and what it
/// read. After `next_check` blocks it checks whether few of the remaining items may
/// reach the list.
pub(super) fn scan_with_addends(
    (mut search, mut next_check): (Search<'_>, usize),
    codes: &Codes<'_>,
    places: &[u32],
    rows: &[f32],
    keep: &impl Fn(u32) -> bool,
) -> (Vec<Scored>, ScanCounts) {
    let integers = simd::integers();
    search.set_floor_of_all(rows, keep);
    for block in 0..codes.blocks() {
        if block == next_check {
            next_check *= 2;
            if let Some(wanted) = search.wanted_from(block, codes, places) {
                for (block, wanted) in wanted.into_iter().enumerate().skip(block).filter(|(_, wanted)| *wanted != 0) {
                    search.scan((block, wanted), codes, rows, integers, keep);
                }
                break;
            }
        }
        search.scan((block, ALL_WANTED), codes, rows, integers, keep);
    }
    search.finish(rows, keep)
}

/// Runs searches over the items (in rows of factors), and returns their lists and what they read.
pub(super) fn scan(
    mut searches: Vec<Search<'_>>,
    codes: &Codes<'_>,
    rows: &[f32],
    keep: impl Fn(usize, u32) -> bool,
) -> Vec<(Vec<Scored>, ScanCounts)> {
    let integers = simd::integers();
    let blocks = codes.blocks();
    for (index, search) in searches.iter_mut().enumerate() {
        search.set_floor_of_all(rows, &|item| keep(index, item));
    }
    for start in (0..blocks).step_by(BLOCKS_PER_ROUND) {
        let mut is_done = true;
        for (index, search) in searches.iter_mut().enumerate() {
            for block in start..(start + BLOCKS_PER_ROUND).min(blocks) {
                if search.is_done {
                    break;
                }
                search.scan((block, ALL_WANTED), codes, rows, integers, &|item| keep(index, item));
            }
            is_done &= search.is_done;
        }
        if is_done {
            break;
        }
    }
    let finish = |(index, search): (usize, Search<'_>)| search.finish(rows, &|item| keep(index, item));
    searches.into_iter().enumerate().map(finish).collect()
}
