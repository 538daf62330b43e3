//! Item features: the values of a table's attribute columns, as a sparse binary matrix.

use std::cmp::Reverse;

use factorization::{Entry, Interactions, InteractionsError};
use model_snapshot::StringTable;

use crate::{
    failure::{FailureReason, RunError, chain},
    interner::{Interner, Sorted},
    limits::{
        ATTRIBUTE_SEPARATOR, ATTRIBUTE_VALUE_BYTES_MAX, ATTRIBUTE_VALUES_MAX, ATTRIBUTE_VALUES_PER_CELL_MAX,
        ATTRIBUTE_VALUES_READ_MAX,
    },
};

/// Values that were seen so far; equal text in two columns counts as two values.
#[derive(Debug, Default)]
pub(crate) struct FeatureValues(Interner);

/// Features of items with interactions and of cold-start items, in the same columns: the most
/// frequent values of the former.
#[derive(Debug)]
pub(crate) struct ItemFeatures {
    /// Items with interactions × feature values.
    pub(crate) seen: Interactions,
    /// Cold-start items × feature values.
    pub(crate) cold: Interactions,
    /// Ids of the cold-start items, ascending.
    pub(crate) cold_ids: StringTable,
}

/// Numbers of the values of one item.
pub(crate) type ItemValues = Box<[u32]>;

impl FeatureValues {
    /// Adds the numbers of a cell's values, which `|` separates; `None` if there are too many
    /// distinct values.
    pub(crate) fn add(&mut self, column: usize, text: &str, to: &mut Vec<u32>) -> Option<()> {
        let max = u32::try_from(ATTRIBUTE_VALUES_READ_MAX).unwrap_or(u32::MAX);
        let values = text.split(ATTRIBUTE_SEPARATOR).map(str::trim).filter(|value| !value.is_empty());
        for value in values.take(ATTRIBUTE_VALUES_PER_CELL_MAX).filter(|value| value.len() <= ATTRIBUTE_VALUE_BYTES_MAX)
        {
            to.push(self.0.number(&format!("{column}={value}"), max)?);
        }
        Some(())
    }

    /// The text of a number: its column and value.
    pub(crate) fn text(&self, number: u32) -> &str {
        self.0.get(number)
    }

    /// The matrices: of items in the order of the model, and of all `others` with a selected value.
    pub(crate) fn finish<'a>(
        self,
        seen: &[Option<&'a ItemValues>],
        others: impl Iterator<Item = (&'a str, &'a ItemValues)>,
    ) -> Result<ItemFeatures, RunError> {
        let Sorted { ids, number_of } = self.0.sort();
        let final_number = |value: &u32| number_of.get(*value as usize).copied().unwrap_or_default() as usize;
        let mut counts = vec![0_u32; ids.len()];
        for value in seen.iter().flatten().flat_map(|values| values.iter()) {
            if let Some(count) = counts.get_mut(final_number(value)) {
                *count += 1;
            }
        }
        // Ties are broken by final numbers, so that the order of the rows does not matter.
        let mut by_count: Vec<(Reverse<u32>, usize)> = counts
            .into_iter()
            .enumerate()
            .filter(|(_, count)| *count > 0)
            .map(|(value, n)| (Reverse(n), value))
            .collect();
        by_count.sort_unstable();
        by_count.truncate(ATTRIBUTE_VALUES_MAX);
        let mut column_of = vec![None; ids.len()];
        for (column, (_, value)) in (0_u32..).zip(&by_count) {
            if let Some(entry) = column_of.get_mut(*value) {
                *entry = Some(column);
            }
        }
        let columns = |values: &ItemValues| -> Vec<u32> {
            values.iter().filter_map(|value| column_of.get(final_number(value)).copied().flatten()).collect()
        };
        let seen: Vec<Vec<u32>> = seen.iter().map(|values| values.map(columns).unwrap_or_default()).collect();
        let mut cold: Vec<(&str, Vec<u32>)> =
            others.map(|(id, values)| (id, columns(values))).filter(|(_, columns)| !columns.is_empty()).collect();
        cold.sort_unstable();
        Ok(ItemFeatures {
            seen: matrix(seen.iter().map(Vec::as_slice), by_count.len())?,
            cold: matrix(cold.iter().map(|(_, columns)| columns.as_slice()), by_count.len())?,
            cold_ids: cold.iter().map(|(id, _)| *id).collect(),
        })
    }
}

fn matrix<'a>(rows: impl ExactSizeIterator<Item = &'a [u32]>, columns: usize) -> Result<Interactions, RunError> {
    let count = rows.len();
    let ones =
        |(user, columns): (u32, &'a [u32])| columns.iter().map(move |item| Entry { user, item: *item, value: 1.0 });
    let too_many = |error: InteractionsError| RunError::permanent(FailureReason::CapacityInsufficient, chain(&error));
    // A duplicate value in a cell counts once.
    let matrix =
        Interactions::from_entries(count, columns, (0..).zip(rows).flat_map(ones).collect()).map_err(too_many)?;
    Ok(matrix.map_values(|_| 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_ignored() {
        let mut values = FeatureValues::default();
        let longest = "ä".repeat(ATTRIBUTE_VALUE_BYTES_MAX / 2);
        let mut numbers = Vec::new();
        values.add(0, &format!("{longest}a|{longest}|b"), &mut numbers).unwrap();
        let texts: Vec<&str> = numbers.iter().map(|number| values.text(*number)).collect();
        assert_eq!(texts, [format!("0={longest}"), "0=b".to_owned()]);
    }

    #[test]
    fn columns_are_the_most_frequent_values_of_seen_items() {
        let mut values = FeatureValues::default();
        let mut item = |cells: [&str; 2]| -> ItemValues {
            let mut numbers = Vec::new();
            for (column, cell) in cells.into_iter().enumerate() {
                values.add(column, cell, &mut numbers).unwrap();
            }
            numbers.into()
        };
        // "x" of one column differs from "x" of the other, and no seen item has "only cold".
        let items = [item(["x| y |y", ""]), item(["y", "x"]), item(["", ""])];
        let others = [("b", item(["y|only cold", "x"])), ("a", item(["x", ""])), ("c", item(["only cold", ""]))];
        let seen = [Some(&items[0]), None, Some(&items[1]), Some(&items[2])];
        let features = values.finish(&seen, others.iter().map(|(id, values)| (*id, values))).unwrap();
        // y, then x of the first column, then x of the second column.
        let rows = |matrix: &Interactions| -> Vec<Vec<u32>> {
            (0..matrix.users()).map(|i| matrix.row(i).0.to_vec()).collect()
        };
        assert_eq!(rows(&features.seen), [vec![0, 1], vec![], vec![0, 2], vec![]]);
        assert_eq!(rows(&features.cold), [vec![1], vec![0, 2]]);
        assert_eq!(features.cold_ids.iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(features.seen.values(), [1.0; 4]);
    }
}
