//! A list of bounded memory.

use std::{marker::PhantomData, ops::RangeInclusive};

use serde::{Deserialize, Deserializer, de};

use crate::{api::error::ApiError, limits::LIST_ENTRIES_MAX};

/// A list whose length is not checked yet. Entries beyond [`LIST_ENTRIES_MAX`] are parsed and
/// counted, but not kept.
#[derive(Clone, Debug)]
pub struct List<T> {
    kept: Vec<T>,
    length: usize,
}

impl<T> List<T> {
    /// The entries, if their number is in the range; `what` names them in the message.
    ///
    /// # Errors
    /// Too few or too many entries.
    pub fn check(self, field: &str, what: &str, lengths: &RangeInclusive<usize>) -> Result<Vec<T>, ApiError> {
        let Self { kept, length } = self;
        if lengths.contains(&length) && length == kept.len() {
            return Ok(kept);
        }
        let (min, max) = (*lengths.start(), *lengths.end());
        let expected = if min == 0 { format!("at most {max}") } else { format!("{min} to {max}") };
        Err(ApiError::field(field, format!("{length} {what}; expected {expected}")))
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { kept: Vec::new(), length: 0 }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Visitor<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut list = List::default();
                while let Some(entry) = entries.next_element()? {
                    list.length += 1;
                    if list.kept.len() < LIST_ENTRIES_MAX {
                        list.kept.push(entry);
                    }
                }
                Ok(list)
            }
        }

        deserializer.deserialize_seq(Visitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_entries_are_counted_and_a_bounded_number_is_kept() {
        let count = LIST_ENTRIES_MAX + 7;
        let text = format!("[{}]", vec!["1"; count].join(","));
        let list: List<u32> = serde_json::from_str(&text).unwrap();
        assert_eq!((list.kept.len(), list.length), (LIST_ENTRIES_MAX, count));
        let error = list.clone().check("exclude", "entries", &(0..=1000)).unwrap_err();
        assert_eq!(error.detail, "exclude: 10007 entries; expected at most 1000");
        // A limit above the number that is kept does not make a list shorter.
        assert!(list.check("exclude", "entries", &(0..=usize::MAX)).is_err());
        let list: List<u32> = serde_json::from_str("[1, 2]").unwrap();
        assert_eq!(list.check("exclude", "entries", &(1..=2)).unwrap(), [1, 2]);
    }
}
