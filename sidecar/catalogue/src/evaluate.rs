//! Evaluates filters: conditions on columns by name → items.

use std::borrow::Cow;

use crate::{
    bits,
    column::{Category, Items, Numbers},
    error::FilterError,
    filter::{Condition, Filter},
    item_set::{ItemSet, RANGE_BITS_DIVISOR, RangeTest},
    limits::{ALIKE_VALUES_MAX, KNOWN_VALUES_MAX},
    metadata::ColumnKind,
    read::{Catalogue, ColumnView},
    time::parse_time,
};

impl Catalogue {
    /// The available items that pass a filter; `None` if these are all items.
    ///
    /// # Errors
    /// Unknown columns and values, and ranges that are not valid.
    pub fn select(&self, filter: &Filter) -> Result<Option<ItemSet<'_>>, FilterError> {
        if filter.is_empty() {
            return Ok(self.available().map(|bits| ItemSet::of_bits(bits, self.available_items())));
        }
        let mut selection = Selection { bits: self.available().map(Cow::Borrowed), ranges: Vec::new() };
        for (name, condition) in filter.conditions() {
            let view = self.columns().position(|(column, _)| column == name).and_then(|index| self.view(index));
            let evaluation = Evaluation { column: name, items: self.items() };
            match view.ok_or_else(|| self.unknown_column(name))? {
                ColumnView::Category(category) => evaluation.category(&category, condition, &mut selection)?,
                ColumnView::Numbers(numbers, kind) => evaluation.numbers(&numbers, kind, condition, &mut selection)?,
            }
        }
        let Selection { bits, ranges } = selection;
        let bits = bits.unwrap_or_else(|| Cow::Owned(bits::all(self.items())));
        Ok(Some(ItemSet::new(bits, ranges, self.items())))
    }

    fn unknown_column(&self, name: &str) -> FilterError {
        let known = self.columns().map(|(name, _)| name.to_owned()).collect();
        FilterError::UnknownColumn { column: name.to_owned(), known }
    }
}

/// What the conditions so far leave.
struct Selection<'a> {
    /// `None`: all items.
    bits: Option<Cow<'a, [u64]>>,
    ranges: Vec<RangeTest<'a>>,
}

impl<'a> Selection<'a> {
    fn keep(&mut self, bits: Cow<'a, [u64]>) {
        self.bits = Some(match self.bits.take() {
            None => bits,
            Some(mut kept) => {
                kept.to_mut().iter_mut().zip(bits.iter()).for_each(|(kept, word)| *kept &= word);
                kept
            }
        });
    }

    fn remove(&mut self, bits: &[u64], items: usize) {
        let mut kept = self.bits.take().unwrap_or_else(|| Cow::Owned(bits::all(items)));
        kept.to_mut().iter_mut().zip(bits).for_each(|(kept, word)| *kept &= !word);
        self.bits = Some(kept);
    }
}

/// A condition on one column.
struct Evaluation<'f> {
    column: &'f str,
    items: usize,
}

impl Evaluation<'_> {
    fn category<'a>(
        &self,
        category: &Category<'a>,
        condition: &Condition,
        selection: &mut Selection<'a>,
    ) -> Result<(), FilterError> {
        match condition {
            Condition::AnyOf(values) => selection.keep(self.with_values(category, values)?),
            Condition::NoneOf(values) => selection.remove(&self.with_values(category, values)?, self.items),
            Condition::Range { .. } => return Err(FilterError::NotARange { column: self.column.to_owned() }),
        }
        Ok(())
    }

    /// Items with one or more of the values.
    fn with_values<'a>(&self, category: &Category<'a>, values: &[String]) -> Result<Cow<'a, [u64]>, FilterError> {
        let find = |value: &String| {
            let number = category.names.find(value).ok_or_else(|| self.unknown_value(category, value))?;
            Ok(category.items(number, self.items))
        };
        let found = values.iter().map(find).collect::<Result<Vec<_>, FilterError>>()?;
        if let [Items::Bits(bits)] = found.as_slice() {
            return Ok(Cow::Borrowed(bits));
        }
        let mut union = vec![0; bits::words(self.items)];
        for items in found {
            match items {
                Items::List(list) => {
                    for item in list {
                        bits::insert(&mut union, *item);
                    }
                }
                Items::Bits(bits) => union.iter_mut().zip(bits).for_each(|(word, bits)| *word |= bits),
            }
        }
        Ok(Cow::Owned(union))
    }

    fn unknown_value(&self, category: &Category<'_>, value: &str) -> FilterError {
        // A value that differs by case only is likely the one that is meant.
        let lower = value.to_lowercase();
        let alike = category.names.iter().take(ALIKE_VALUES_MAX).filter(|name| name.to_lowercase() == lower);
        let mut known: Vec<&str> = alike.take(1).collect();
        let rest = category.names.iter().filter(|name| !known.contains(name)).take(KNOWN_VALUES_MAX - known.len());
        let rest: Vec<&str> = rest.collect();
        known.extend(rest);
        FilterError::UnknownValue {
            column: self.column.to_owned(),
            value: value.to_owned(),
            known: known.into_iter().map(str::to_owned).collect(),
            total: category.names.len(),
        }
    }

    fn numbers<'a>(
        &self,
        numbers: &Numbers<'a>,
        kind: ColumnKind,
        condition: &Condition,
        selection: &mut Selection<'a>,
    ) -> Result<(), FilterError> {
        match condition {
            Condition::AnyOf(values) => selection.keep(Cow::Owned(self.equal(numbers, kind, values)?)),
            Condition::NoneOf(values) => selection.remove(&self.equal(numbers, kind, values)?, self.items),
            Condition::Range { min, max } => {
                let min = self.bound(min.as_deref(), kind)?.unwrap_or(f64::NEG_INFINITY);
                let max = self.bound(max.as_deref(), kind)?.unwrap_or(f64::INFINITY);
                if min > max {
                    return Err(FilterError::EmptyRange { column: self.column.to_owned() });
                }
                let found = numbers.items(min, max);
                if found.len() <= self.items / RANGE_BITS_DIVISOR {
                    selection.keep(Cow::Owned(bits::of(found, self.items)));
                } else {
                    selection.ranges.push(RangeTest { values: numbers.values, min, max });
                }
            }
        }
        Ok(())
    }

    /// Items whose value equals one of these.
    fn equal(&self, numbers: &Numbers<'_>, kind: ColumnKind, values: &[String]) -> Result<Vec<u64>, FilterError> {
        let mut union = vec![0; bits::words(self.items)];
        for value in values {
            let number = self.number(value, kind)?;
            for item in numbers.items(number, number) {
                bits::insert(&mut union, *item);
            }
        }
        Ok(union)
    }

    fn bound(&self, text: Option<&str>, kind: ColumnKind) -> Result<Option<f64>, FilterError> {
        text.map(|text| self.number(text, kind)).transpose()
    }

    fn number(&self, text: &str, kind: ColumnKind) -> Result<f64, FilterError> {
        let (number, expected) = match kind {
            ColumnKind::Time => {
                (parse_time(text), "time such as \"2024-05-01\", \"2024-05-01T10:00:00Z\" or seconds since 1970")
            }
            ColumnKind::Number | ColumnKind::Category => {
                (text.trim().parse().ok().filter(|number: &f64| number.is_finite()), "number")
            }
        };
        let error = || FilterError::NotANumber { column: self.column.to_owned(), value: text.to_owned(), expected };
        number.ok_or_else(error)
    }
}
