//! What kind of item it is: the values of a table's attribute columns, as a sparse matrix of ones.

use std::cmp::Reverse;

use factorization::{Entry, Interactions, InteractionsError};
use model_snapshot::StringTable;

use crate::{
    failure::{FailureReason, Stop, chain},
    interner::{Interner, Sorted},
    limits::{ATTRIBUTE_SEPARATOR, ATTRIBUTE_VALUES_MAX, ATTRIBUTE_VALUES_PER_CELL_MAX, ATTRIBUTE_VALUES_READ_MAX},
};

/// Values that were met so far; those of two columns are never the same.
#[derive(Debug, Default)]
pub(crate) struct Values(Interner);

/// What is known of items that were met and of others, in the same columns: the values that most of the first have.
#[derive(Debug)]
pub(crate) struct Kinds {
    /// Items that users met × values.
    pub(crate) met: Interactions,
    /// Items that nobody has met × values.
    pub(crate) cold: Interactions,
    /// Ids of the latter, ascending.
    pub(crate) cold_ids: StringTable,
}

/// Numbers of values of one item.
pub(crate) type ValuesOfItem = Box<[u32]>;

impl Values {
    /// Adds the numbers of what a cell says, several values with `|` between them; `None` if there are too many different ones.
    pub(crate) fn add(&mut self, column: usize, text: &str, to: &mut Vec<u32>) -> Option<()> {
        let max = u32::try_from(ATTRIBUTE_VALUES_READ_MAX).unwrap_or(u32::MAX);
        let values = text.split(ATTRIBUTE_SEPARATOR).map(str::trim).filter(|value| !value.is_empty());
        for value in values.take(ATTRIBUTE_VALUES_PER_CELL_MAX) {
            to.push(self.0.number(&format!("{column}={value}"), max)?);
        }
        Some(())
    }

    /// The matrices, of items in the order of the model and of all `others` that have a value which is kept.
    pub(crate) fn finish<'a>(
        self,
        met: &[Option<&'a ValuesOfItem>],
        others: impl Iterator<Item = (&'a str, &'a ValuesOfItem)>,
    ) -> Result<Kinds, Stop> {
        let Sorted { ids, number_of } = self.0.sort();
        let final_number = |value: &u32| number_of.get(*value as usize).copied().unwrap_or_default() as usize;
        let mut counts = vec![0_u32; ids.len()];
        for value in met.iter().flatten().flat_map(|values| values.iter()) {
            if let Some(count) = counts.get_mut(final_number(value)) {
                *count += 1;
            }
        }
        // By final numbers, so that the order of the rows does not matter.
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
            if let Some(place) = column_of.get_mut(*value) {
                *place = Some(column);
            }
        }
        let columns = |values: &ValuesOfItem| -> Vec<u32> {
            values.iter().filter_map(|value| column_of.get(final_number(value)).copied().flatten()).collect()
        };
        let met: Vec<Vec<u32>> = met.iter().map(|values| values.map(columns).unwrap_or_default()).collect();
        let mut cold: Vec<(&str, Vec<u32>)> =
            others.map(|(id, values)| (id, columns(values))).filter(|(_, columns)| !columns.is_empty()).collect();
        cold.sort_unstable();
        Ok(Kinds {
            met: matrix(met.iter().map(Vec::as_slice), by_count.len())?,
            cold: matrix(cold.iter().map(|(_, columns)| columns.as_slice()), by_count.len())?,
            cold_ids: cold.iter().map(|(id, _)| *id).collect(),
        })
    }
}

fn matrix<'a>(rows: impl ExactSizeIterator<Item = &'a [u32]>, columns: usize) -> Result<Interactions, Stop> {
    let count = rows.len();
    let ones =
        |(user, columns): (u32, &'a [u32])| columns.iter().map(move |item| Entry { user, item: *item, value: 1.0 });
    let too_many = |error: InteractionsError| Stop::failed(FailureReason::CapacityInsufficient, chain(&error));
    // A value that stands twice in a cell counts once.
    let matrix =
        Interactions::from_entries(count, columns, (0..).zip(rows).flat_map(ones).collect()).map_err(too_many)?;
    Ok(matrix.map_values(|_| 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_columns_from_the_most_frequent_of_met_items() {
        let mut values = Values::default();
        let mut item = |cells: [&str; 2]| -> ValuesOfItem {
            let mut numbers = Vec::new();
            for (column, cell) in cells.into_iter().enumerate() {
                values.add(column, cell, &mut numbers).unwrap();
            }
            numbers.into()
        };
        // "x" of one column is not "x" of the other, and nobody met an item with "only cold".
        let items = [item(["x| y |y", ""]), item(["y", "x"]), item(["", ""])];
        let others = [("b", item(["y|only cold", "x"])), ("a", item(["x", ""])), ("c", item(["only cold", ""]))];
        let met = [Some(&items[0]), None, Some(&items[1]), Some(&items[2])];
        let kinds = values.finish(&met, others.iter().map(|(id, values)| (*id, values))).unwrap();
        // y, then x of the first and of the second column.
        let rows = |matrix: &Interactions| -> Vec<Vec<u32>> {
            (0..matrix.users()).map(|i| matrix.row(i).0.to_vec()).collect()
        };
        assert_eq!(rows(&kinds.met), [vec![0, 1], vec![], vec![0, 2], vec![]]);
        assert_eq!(rows(&kinds.cold), [vec![1], vec![0, 2]]);
        assert_eq!(kinds.cold_ids.iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(kinds.met.values(), [1.0; 4]);
    }
}
