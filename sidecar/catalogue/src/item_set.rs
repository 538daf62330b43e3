//! The items that pass a filter.

use std::borrow::Cow;

use crate::bits;

/// Fraction of all items, as a divisor, above which a set tests ranges item by item in place of
/// holding a bit for each of their items: setting a bit at random costs about as much as testing an
/// item, and a list tests few of the items.
pub(crate) const RANGE_BITS_DIVISOR: usize = 8;

/// Items that pass a filter and are available: a bit for each item, and ranges that are tested when
/// an item is looked up.
#[derive(Clone, Debug)]
pub struct ItemSet<'a> {
    bits: Cow<'a, [u64]>,
    ranges: Vec<RangeTest<'a>>,
    len_max: usize,
}

/// A range of a column, for each item by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RangeTest<'a> {
    /// One for each item; NaN without a value.
    pub(crate) values: &'a [f64],
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl RangeTest<'_> {
    fn contains(&self, item: u32) -> bool {
        self.values.get(item as usize).is_some_and(|value| self.has(*value))
    }

    fn has(&self, value: f64) -> bool {
        value >= self.min && value <= self.max
    }

    /// Bits of the values of a word that are in the range.
    fn word(&self, values: &[f64]) -> u64 {
        values.iter().enumerate().fold(0, |word, (at, value)| word | u64::from(self.has(*value)) << at)
    }
}

impl<'a> ItemSet<'a> {
    /// The items of `bits` in all ranges. Ranges are resolved at once if few bits are set.
    pub(crate) fn new(mut bits: Cow<'a, [u64]>, mut ranges: Vec<RangeTest<'a>>, items: usize) -> Self {
        let mut len_max = bits::count(&bits);
        if !ranges.is_empty() && len_max <= items / RANGE_BITS_DIVISOR {
            let fails = |item: &u32| !ranges.iter().all(|range| range.contains(*item));
            let failing: Vec<u32> = bits::items(&bits).filter(fails).collect();
            for item in &failing {
                bits::remove(bits.to_mut(), *item);
            }
            len_max -= failing.len();
            ranges.clear();
        }
        Self { bits, ranges, len_max }
    }

    /// The items of `bits`, whose number is known.
    pub(crate) fn of_bits(bits: &'a [u64], items: usize) -> Self {
        Self { bits: Cow::Borrowed(bits), ranges: Vec::new(), len_max: items }
    }

    /// The same set with a bit for each item, independent of the catalogue.
    pub fn into_bits(self) -> ItemSet<'static> {
        let Self { bits, ranges, len_max } = self;
        let mut set = ItemSet { bits: Cow::Owned(bits.into_owned()), ranges: Vec::new(), len_max };
        for range in ranges {
            let words = set.bits.to_mut().iter_mut().zip(range.values.chunks(bits::WORD_ITEMS));
            words.for_each(|(word, values)| *word &= range.word(values));
        }
        set.len_max = bits::count(&set.bits);
        set
    }

    /// A bit for each item: bit `i % 64` of word `i / 64` is item `i`. Each item of the set has one;
    /// only these do after [`Self::into_bits`].
    pub fn bits(&self) -> &[u64] {
        &self.bits
    }

    /// Whether an item is in the set; false if it is out of range.
    pub fn contains(&self, item: u32) -> bool {
        bits::contains(&self.bits, item) && self.ranges.iter().all(|range| range.contains(item))
    }

    /// An upper bound of the number of items, known without a look at them. It is exact if it is
    /// small.
    pub fn len_max(&self) -> usize {
        self.len_max
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        if self.ranges.is_empty() { self.len_max } else { self.items().count() }
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.items().next().is_none()
    }

    /// The items, ascending.
    pub fn items(&self) -> impl Iterator<Item = u32> + '_ {
        bits::items(&self.bits).filter(|item| self.ranges.iter().all(|range| range.contains(*item)))
    }
}
