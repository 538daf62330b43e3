//! The columns of a file, and the checks of their contents.

use tensor_file::TensorFileError;

use crate::{
    bits,
    limits::{VALUE_BYTES_MAX, VALUES_MAX},
    texts::Texts,
};

/// A column of text values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Category<'a> {
    /// Distinct values, sorted.
    pub(crate) names: Texts<'a>,
    pub(crate) starts: &'a [u32],
    pub(crate) lists: &'a [u32],
    pub(crate) frequent: &'a [u32],
    pub(crate) bitsets: &'a [u64],
}

/// Items of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Items<'a> {
    /// Ascending.
    List(&'a [u32]),
    Bits(&'a [u64]),
}

/// A column of numbers or times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers<'a> {
    /// One for each item; NaN without a value.
    pub(crate) values: &'a [f64],
    /// Items with a value, by value, then by index.
    pub(crate) sorted: &'a [u32],
}

impl<'a> Category<'a> {
    /// Items of a value.
    pub(crate) fn items(&self, value: usize, items: usize) -> Items<'a> {
        let words = bits::words(items);
        let number = u32::try_from(value).unwrap_or(u32::MAX);
        if let Ok(index) = self.frequent.binary_search(&number) {
            let start = index.saturating_mul(words);
            return Items::Bits(self.bitsets.get(start..start.saturating_add(words)).unwrap_or_default());
        }
        let range = self.starts.get(value).zip(self.starts.get(value.saturating_add(1)));
        let list = range.and_then(|(start, end)| self.lists.get(*start as usize..*end as usize));
        Items::List(list.unwrap_or_default())
    }

    /// Checks everything but shapes.
    pub(crate) fn check(&self, name: &str, items: usize) -> Result<(), TensorFileError> {
        let bad = |problem: &str| Err(TensorFileError::corrupt(name, problem));
        let Self { names, starts, lists, frequent, bitsets: _ } = *self;
        let mut before = None;
        for text in names.iter() {
            if before >= Some(text) || text.is_empty() || text.len() > VALUE_BYTES_MAX {
                return bad("the values are not valid, not sorted or not unique");
            }
            before = Some(text);
        }
        if names.len() > VALUES_MAX {
            return bad("too many values");
        }
        if starts.first() != Some(&0) || starts.last().map(|end| *end as usize) != Some(lists.len()) {
            return bad("the lists do not start at 0 and end at the end");
        }
        let is_frequent_value = |value: &u32| (*value as usize) < names.len();
        if !starts.is_sorted() || !frequent.is_sorted_by(|a, b| a < b) || !frequent.iter().all(is_frequent_value) {
            return bad("the lists overlap, or the frequent values are not valid, not sorted or not unique");
        }
        for value in 0..names.len() {
            let number = u32::try_from(value).unwrap_or(u32::MAX);
            let is_frequent = frequent.binary_search(&number).is_ok();
            let has_list = starts.get(value) < starts.get(value + 1);
            let is_valid = match self.items(value, items) {
                Items::List(list) => {
                    !list.is_empty()
                        && list.is_sorted_by(|a, b| a < b)
                        && list.last().is_some_and(|item| (*item as usize) < items)
                }
                Items::Bits(words) => bits::is_valid(words, items) && words.iter().any(|word| *word != 0),
            };
            if has_list == is_frequent || !is_valid {
                return bad(&format!("the items of value {value} are not valid"));
            }
        }
        Ok(())
    }
}

impl<'a> Numbers<'a> {
    /// Items whose value is in the range, including its ends, by value.
    pub(crate) fn items(&self, min: f64, max: f64) -> &'a [u32] {
        let value = |item: &u32| self.values.get(*item as usize).copied().unwrap_or(f64::NAN);
        let start = self.sorted.partition_point(|item| value(item) < min);
        let end = self.sorted.partition_point(|item| value(item) <= max);
        self.sorted.get(start..end).unwrap_or_default()
    }

    /// Checks everything but shapes.
    pub(crate) fn check(&self, name: &str) -> Result<(), TensorFileError> {
        let bad = |problem: &str| Err(TensorFileError::corrupt(name, problem));
        if self.values.iter().any(|value| value.is_infinite()) {
            return bad("a value is infinite");
        }
        let mut before: Option<(f64, u32)> = None;
        for item in self.sorted {
            let Some(value) = self.values.get(*item as usize).filter(|value| !value.is_nan()) else {
                return bad("an item of the order has no value");
            };
            // Strictly ascending pairs exclude duplicates.
            if before.is_some_and(|before| before >= (*value, *item)) {
                return bad("the order is not ascending");
            }
            before = Some((*value, *item));
        }
        if self.values.iter().filter(|value| !value.is_nan()).count() != self.sorted.len() {
            return bad("the order lacks items");
        }
        Ok(())
    }
}
