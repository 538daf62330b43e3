//! Finds items by their addends, in the order of the items: those of at least some addend, and those
//! with the largest. Few items have large addends, and only these can be in a list although the
//! bounds of their block are too small.

use super::{best::Best, layout::BLOCK_ITEMS};
use crate::simd::{self, Kernel};

/// Addends that are compared before any part of them is, and addends of a part.
const CHUNK: usize = 128;
const PART: usize = 16;

/// The places of the items with an addend of at least `minimum`, a bit for each item of each block;
/// `None` if there are more than `items_max`. `places` are those of the items in the order of the
/// codes.
pub(super) fn wanted(addends: &[f32], minimum: f32, items_max: usize, places: &[u32]) -> Option<Vec<u64>> {
    if simd::run(Count { addends, minimum }) > items_max {
        return None;
    }
    let mut wanted = vec![0_u64; addends.len().div_ceil(BLOCK_ITEMS)];
    let want = |item: u32| {
        let place = places[item as usize] as usize;
        wanted[place / BLOCK_ITEMS] |= 1 << (place % BLOCK_ITEMS);
        minimum
    };
    simd::run(AtLeast { addends, minimum, found: want });
    Some(wanted)
}

/// The items with the largest addends among those that `keep` accepts.
pub(super) fn largest(addends: &[f32], n: usize, keep: &impl Fn(u32) -> bool) -> Best {
    let mut best = Best::new(n, addends.len());
    let minimum = best.threshold();
    let found = |item: u32| {
        best.push(item, addends[item as usize], keep);
        best.threshold()
    };
    simd::run(AtLeast { addends, minimum, found });
    best
}

/// Number of addends of at least `minimum`.
#[inline(always)]
fn count(addends: &[f32], minimum: f32) -> u32 {
    addends.iter().map(|addend| u32::from(*addend >= minimum)).sum()
}

/// [`count`] of all.
struct Count<'a> {
    addends: &'a [f32],
    minimum: f32,
}

impl Kernel for Count<'_> {
    type Output = usize;

    #[inline(always)]
    fn run(self) -> usize {
        count(self.addends, self.minimum) as usize
    }
}

/// Calls `found` for each item whose addend is at least `minimum`. The number that it returns is the
/// minimum for the items after it.
struct AtLeast<'a, F> {
    addends: &'a [f32],
    minimum: f32,
    found: F,
}

impl<F: FnMut(u32) -> f32> Kernel for AtLeast<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        for (first, chunk) in (0_u32..).step_by(CHUNK).zip(self.addends.chunks(CHUNK)) {
            if count(chunk, self.minimum) == 0 {
                continue;
            }
            for (first, part) in (first..).step_by(PART).zip(chunk.chunks(PART)) {
                if count(part, self.minimum) == 0 {
                    continue;
                }
                for (item, addend) in (first..).zip(part) {
                    if *addend >= self.minimum {
                        self.minimum = (self.found)(item);
                    }
                }
            }
        }
    }
}
