//! String ids to numbers: provisional numbers in the order of arrival, final numbers in the order
//! of the ids.
//!
//! The text of all ids is in one arena, and a hash table has four bytes for each: on the ids of
//! Gowalla half of the memory of a map with a string for each id, and a third of its time. The hash
//! is seeded at random, so no file can be made to collide; numbers do not depend on it.

use std::{fmt, hash::BuildHasher as _};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use model_snapshot::StringTable;

/// Ids that were seen so far.
#[derive(Default)]
pub(crate) struct Interner {
    ids: Arena,
    /// Provisional numbers, by the hash of their ids.
    numbers: HashTable<u32>,
    hash: RandomState,
}

/// Texts in the order of arrival.
#[derive(Default)]
struct Arena {
    text: String,
    /// End of each text, which is the start of the next one.
    ends: Vec<usize>,
}

/// Ids in byte order, and the final number for each provisional number.
pub(crate) struct Sorted {
    pub(crate) ids: StringTable,
    pub(crate) number_of: Vec<u32>,
}

impl Interner {
    /// Number of distinct ids.
    pub(crate) fn len(&self) -> usize {
        self.ids.ends.len()
    }

    /// The id of a provisional number; empty for an unknown number.
    pub(crate) fn get(&self, number: u32) -> &str {
        self.ids.get(number)
    }

    /// The provisional number of an id; `None` if it is new and `max` ids are known already.
    pub(crate) fn number(&mut self, id: &str, max: u32) -> Option<u32> {
        let Self { ids, numbers, hash } = self;
        let hash_of = |id: &str| hash.hash_one(id);
        if let Some(number) = numbers.find(hash_of(id), |number| ids.get(*number) == id) {
            return Some(*number);
        }
        let number = u32::try_from(ids.ends.len()).ok().filter(|number| *number < max)?;
        ids.push(id);
        numbers.insert_unique(hash_of(id), number, |number| hash_of(ids.get(*number)));
        Some(number)
    }

    /// Final numbers: they depend on the set of ids only, not on the order of arrival.
    pub(crate) fn sort(self) -> Sorted {
        let Self { ids: arena, numbers, hash: _ } = self;
        // The memory of the table is free before the sorted ids take theirs.
        let mut order: Vec<u32> = numbers.into_iter().collect();
        order.sort_unstable_by(|a, b| arena.get(*a).cmp(arena.get(*b)));
        let mut number_of = vec![0; order.len()];
        let mut ids = StringTable::with_capacity(order.len(), arena.text.len());
        for (sorted, provisional) in (0..).zip(order) {
            ids.push(arena.get(provisional));
            if let Some(number) = number_of.get_mut(provisional as usize) {
                *number = sorted;
            }
        }
        Sorted { ids, number_of }
    }
}

impl fmt::Debug for Interner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interner").field("ids", &self.len()).finish_non_exhaustive()
    }
}

impl Arena {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    fn get(&self, number: u32) -> &str {
        let number = number as usize;
        let start = number.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(number).copied().unwrap_or(start);
        self.text.get(start..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equal_ids_have_equal_numbers_and_final_numbers_are_in_byte_order(
            ids in proptest::collection::vec("[a-cäß\u{1F600}]{0,3}", 0..200),
        ) {
            let mut interner = Interner::default();
            let numbers: Vec<u32> = ids.iter().map(|id| interner.number(id, u32::MAX).unwrap()).collect();
            let distinct: BTreeSet<&String> = ids.iter().collect();
            prop_assert_eq!(interner.len(), distinct.len());
            let Sorted { ids: sorted, number_of } = interner.sort();
            prop_assert!(sorted.iter().eq(distinct.iter().map(|id| id.as_str())));
            for (id, number) in ids.iter().zip(numbers) {
                prop_assert_eq!(sorted.get(number_of[number as usize] as usize), Some(id.as_str()));
            }
        }
    }

    #[test]
    fn a_new_id_beyond_the_maximum_has_no_number() {
        let mut interner = Interner::default();
        assert_eq!(["a", "b", "a", "c", ""].map(|id| interner.number(id, 2)), [Some(0), Some(1), Some(0), None, None]);
        assert_eq!(interner.len(), 2);
    }
}
