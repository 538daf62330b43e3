//! The item table as the model sees it: ids and attribute columns. Titles, availability and filter
//! columns are in the catalogue, and change no model.

use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
};

use model_snapshot::StringTable;
use sha2::{Digest as _, Sha256};
use sidecar_contract::{Digest, Items};

use crate::{
    dropped::DropReason,
    failure::{FailureReason, RunError},
    item_features::{FeatureValues, ItemFeatures, ItemValues},
    item_rows::{ItemRows, request},
    limits::{ATTRIBUTE_COLUMNS_MAX, ATTRIBUTE_VALUES_READ_MAX, ITEMS_MAX},
    table::{COLUMNS_REQUESTED_MAX, Cell, ColumnRequest, Role, RowSink},
};

/// Values of the attribute columns by item.
pub(crate) struct FeatureTable {
    values: FeatureValues,
    items: HashMap<Box<str>, ItemValues>,
}

impl FeatureTable {
    /// Hash of all items and their values. It does not depend on the order of the rows, nor on any
    /// other column.
    pub(crate) fn version(&self) -> Digest {
        let mut items: Vec<_> = self.items.iter().filter(|(_, values)| !values.is_empty()).collect();
        items.sort_unstable_by_key(|(id, _)| *id);
        let mut hash = Sha256::new();
        // Lengths come first, so that no two tables have equal bytes.
        let mut put = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        for (id, numbers) in items {
            put(id);
            let mut texts: Vec<&str> = numbers.iter().map(|number| self.values.text(*number)).collect();
            texts.sort_unstable();
            texts.dedup();
            put(&texts.len().to_string());
            texts.into_iter().for_each(&mut put);
        }
        Digest::from_hash(hash.finalize().into())
    }

    /// The features of these items, in the given order, and of all other items of the table.
    pub(crate) fn finish(self, item_ids: &StringTable) -> Result<ItemFeatures, RunError> {
        let seen: HashSet<&str> = item_ids.iter().collect();
        let known = item_ids.iter().filter(|id| self.items.contains_key(*id)).count();
        tracing::info!(rows = self.items.len(), known, items = item_ids.len(), "items matched");
        let seen_values: Vec<_> = item_ids.iter().map(|id| self.items.get(id)).collect();
        let others = self.items.iter().filter(|(id, _)| !seen.contains(&***id));
        self.values.finish(&seen_values, others.map(|(id, values)| (&**id, values)))
    }
}

/// Collects the rows of the table; the last row of an id wins.
pub(crate) struct FeatureReader<'a> {
    described_as: &'a str,
    requests: Vec<ColumnRequest>,
    rows: ItemRows,
    values: FeatureValues,
    items: HashMap<Box<str>, ItemValues>,
}

impl<'a> FeatureReader<'a> {
    pub(crate) fn new(described_as: &'a str, config: &Items) -> Self {
        let attributes = config.attributes.iter().take(ATTRIBUTE_COLUMNS_MAX);
        let attributes = attributes.map(|column| request(Some(column), "spec.data.items.attributes", Role::Text));
        let id = request(Some(&config.id), "spec.data.items.columns.id", Role::Id);
        Self {
            described_as,
            requests: std::iter::once(id).chain(attributes).collect(),
            rows: ItemRows::default(),
            values: FeatureValues::default(),
            items: HashMap::new(),
        }
    }

    /// What was read.
    pub(crate) fn finish(self) -> Result<FeatureTable, RunError> {
        self.rows.check(self.described_as)?;
        let (dropped, unreadable) = self.rows.lost();
        tracing::info!(rows = self.items.len(), dropped, unreadable, "item table read");
        Ok(FeatureTable { values: self.values, items: self.items })
    }
}

impl RowSink for FeatureReader<'_> {
    fn requests(&self) -> &[ColumnRequest] {
        &self.requests
    }

    fn begin(&mut self, _: &str, _: [bool; COLUMNS_REQUESTED_MAX]) -> Result<(), RunError> {
        self.rows.begun = true;
        Ok(())
    }

    fn row(&mut self, cells: &[Cell<'_>; COLUMNS_REQUESTED_MAX]) -> Result<ControlFlow<()>, RunError> {
        let [id, attributes @ ..] = *cells;
        let Some(id) = self.rows.next(id).map(Box::from) else { return Ok(ControlFlow::Continue(())) };
        let mut values = Vec::new();
        for (column, cell) in attributes.into_iter().take(ATTRIBUTE_COLUMNS_MAX).enumerate() {
            let text = self.rows.text(cell);
            if self.values.add(column, &text, &mut values).is_none() {
                return Err(RunError::permanent(
                    FailureReason::CapacityInsufficient,
                    format!(
                        "the columns of spec.data.items.attributes have more than {ATTRIBUTE_VALUES_READ_MAX} distinct values \
                         in {}: choose columns whose values many items share, such as a genre or a brand",
                        self.described_as
                    ),
                ));
            }
        }
        if self.items.len() >= ITEMS_MAX as usize {
            return Err(RunError::permanent(
                FailureReason::CapacityInsufficient,
                format!("{} has more than {ITEMS_MAX} items, the maximum for one model", self.described_as),
            ));
        }
        self.items.insert(id, values.into());
        Ok(ControlFlow::Continue(()))
    }

    fn bad(&mut self, reason: DropReason, rows: u64) {
        self.rows.bad(reason, rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table with these values of its attribute columns.
    fn table(rows: &[(&str, &[&str])]) -> FeatureTable {
        let mut values = FeatureValues::default();
        let mut items = HashMap::new();
        for (id, cells) in rows {
            let mut numbers = Vec::new();
            for (column, cell) in cells.iter().enumerate() {
                values.add(column, cell, &mut numbers).unwrap();
            }
            items.insert((*id).into(), numbers.into());
        }
        FeatureTable { values, items }
    }

    #[test]
    fn the_version_depends_on_items_and_values_alone() {
        let version = |rows: &[(&str, &[&str])]| table(rows).version();
        let first = version(&[("a", &["x|y", ""]), ("b", &["", "x"])]);
        assert_eq!(first, version(&[("b", &["", "x"]), ("a", &["y|x|y", ""])]), "the order of rows and values");
        assert_eq!(
            first,
            version(&[("a", &["x|y", ""]), ("b", &["", "x"]), ("c", &["", ""])]),
            "an item without values"
        );
        let others: [&[(&str, &[&str])]; 5] = [
            &[("a", &["x|y", ""])],
            &[("a", &["x|y", ""]), ("b", &["x", ""])],
            &[("a", &["x", ""]), ("b", &["", "x"])],
            &[("a", &["x|y", ""]), ("c", &["", "x"])],
            &[("ax", &["y", ""]), ("b", &["", "x"])],
        ];
        for other in others {
            assert_ne!(version(other), first, "{other:?}");
        }
    }
}
