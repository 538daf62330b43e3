//! String ids to numbers: provisional numbers in the order of arrival, final numbers in the order
//! of the ids.

use std::collections::HashMap;

use model_snapshot::StringTable;

/// Ids that were seen so far.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    numbers: HashMap<Box<str>, u32>,
}

/// Ids in byte order, and the final number for each provisional number.
pub(crate) struct Sorted {
    pub(crate) ids: StringTable,
    pub(crate) number_of: Vec<u32>,
}

impl Interner {
    /// Number of distinct ids.
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The provisional number of an id; `None` if it is new and `max` ids are known already.
    pub(crate) fn number(&mut self, id: &str, max: u32) -> Option<u32> {
        if let Some(number) = self.numbers.get(id) {
            return Some(*number);
        }
        let number = u32::try_from(self.numbers.len()).ok().filter(|number| *number < max)?;
        self.numbers.insert(id.into(), number);
        Some(number)
    }

    /// Final numbers: they depend on the set of ids only, not on the order of arrival.
    pub(crate) fn sort(self) -> Sorted {
        let mut pairs: Vec<(Box<str>, u32)> = self.numbers.into_iter().collect();
        pairs.sort_unstable();
        let mut number_of = vec![0; pairs.len()];
        let mut ids = StringTable::default();
        for (sorted, (id, provisional)) in (0..).zip(pairs) {
            ids.push(&id);
            if let Some(number) = number_of.get_mut(provisional as usize) {
                *number = sorted;
            }
        }
        Sorted { ids, number_of }
    }
}
