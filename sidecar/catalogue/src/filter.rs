//! A filter as a request states it: conditions on columns by name.

use std::mem::size_of;

/// Conditions that an item must all satisfy; none: every item passes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    conditions: Vec<(String, Condition)>,
}

/// A condition on one column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// The item has one or more of these values. In a column of numbers or times, one that is
    /// equal.
    AnyOf(Vec<String>),
    /// The item has none of these values; an item without a value passes.
    NoneOf(Vec<String>),
    /// The item has a number or time in this range, including its ends; an item without a value
    /// does not pass.
    Range {
        /// Smallest number, or a time.
        min: Option<String>,
        /// Largest number, or a time.
        max: Option<String>,
    },
}

impl Filter {
    /// Adds a condition.
    pub fn push(&mut self, column: String, condition: Condition) {
        self.conditions.push((column, condition));
    }

    /// The conditions with the names of their columns.
    pub fn conditions(&self) -> &[(String, Condition)] {
        &self.conditions
    }

    /// Whether every item passes.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }

    /// Number of values in all conditions.
    pub fn values(&self) -> usize {
        self.conditions.iter().map(|(_, condition)| condition.texts().count()).sum()
    }

    /// Memory of the filter, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let text = |text: &str| size_of::<String>() + text.len();
        let condition = |(column, condition): &(String, Condition)| {
            size_of::<Condition>() + text(column) + condition.texts().map(text).sum::<usize>()
        };
        self.conditions.iter().map(condition).sum()
    }
}

impl Condition {
    fn texts(&self) -> impl Iterator<Item = &str> {
        let (values, range) = match self {
            Self::AnyOf(values) | Self::NoneOf(values) => (values.as_slice(), [&None, &None]),
            Self::Range { min, max } => ([].as_slice(), [min, max]),
        };
        values.iter().map(String::as_str).chain(range.into_iter().filter_map(|bound| bound.as_deref()))
    }
}
