//! Titles, availability and features of items, from the item table.

use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
};

use model_snapshot::StringTable;
use sidecar_contract::Items;

use crate::{
    dropped::{DropReason, Dropped},
    failure::{FailureReason, RunError},
    item_features::{FeatureValues, ItemFeatures, ItemValues},
    limits::{ATTRIBUTE_COLUMNS_MAX, ATTRIBUTE_VALUES_READ_MAX, ITEMS_MAX, TITLE_BYTES_MAX},
    table::{COLUMNS_REQUESTED_MAX, Cell, ColumnRequest, Digits, Role, RowSink},
};

/// The table's data about one item.
struct Attributes {
    title: Box<str>,
    available: bool,
    values: ItemValues,
}

/// Collects the rows of the table; the last row of an id wins. A row without a valid id is dropped
/// and counted. A value that cannot be read counts as missing, and the rest of its row is kept.
pub(crate) struct ItemsReader<'a> {
    described_as: &'a str,
    requests: Vec<ColumnRequest>,
    begun: bool,
    values: FeatureValues,
    attributes: HashMap<Box<str>, Attributes>,
    read: u64,
    dropped: Dropped,
    /// Titles, features and availabilities that cannot be read; their rows are kept.
    unreadable: Dropped,
    id_digits: Digits,
    title_digits: Digits,
}

/// The table in the order of the model's items.
#[derive(Debug, Default)]
pub(crate) struct ItemAttributes {
    /// Items without a title have an empty one.
    pub(crate) titles: Option<StringTable>,
    pub(crate) available: Option<Vec<bool>>,
    /// Features of the items, including cold-start items; titles and availability of the latter
    /// come last.
    pub(crate) features: Option<ItemFeatures>,
}

impl ItemAttributes {
    /// Number of cold-start items.
    pub(crate) fn cold_items(&self) -> usize {
        self.features.as_ref().map_or(0, |features| features.cold_ids.len())
    }
}

impl<'a> ItemsReader<'a> {
    pub(crate) fn new(described_as: &'a str, config: &Items) -> Self {
        let Items { id, title, available, attributes, .. } = config.clone();
        let request = |column, spec_field, role| ColumnRequest { column, default_name: None, spec_field, role };
        let attributes = attributes.into_iter().take(ATTRIBUTE_COLUMNS_MAX);
        let columns = [
            request(Some(id), "spec.data.items.columns.id", Role::Id),
            request(title, "spec.data.items.columns.title", Role::Text),
            request(available, "spec.data.items.columns.available", Role::Flag),
        ];
        let attributes = attributes.map(|column| request(Some(column), "spec.data.items.attributes", Role::Text));
        Self {
            described_as,
            requests: columns.into_iter().chain(attributes).collect(),
            begun: false,
            values: FeatureValues::default(),
            attributes: HashMap::new(),
            read: 0,
            dropped: Dropped::default(),
            unreadable: Dropped::default(),
            id_digits: Digits::default(),
            title_digits: Digits::default(),
        }
    }

    /// The attributes of these items, in the given order. Items that are not in the table have no
    /// title and are available.
    pub(crate) fn finish(self, item_ids: &StringTable) -> Result<ItemAttributes, RunError> {
        if !self.begun {
            return Err(RunError::bad_data(format!(
                "{} is empty: expected a header and one or more rows",
                self.described_as
            )));
        }
        let has = |index: usize| self.requests.get(index).is_some_and(|request| request.column.is_some());
        let (titled, flagged, has_features) = (has(1), has(2), has(3));
        let found = |id: &str| self.attributes.get(id);
        let known = item_ids.iter().filter(|id| found(id).is_some()).count();
        tracing::info!(
            rows = self.attributes.len(),
            dropped = self.dropped.described(),
            unreadable = self.unreadable.described(),
            known,
            items = item_ids.len(),
            "items read"
        );
        let features = if has_features {
            let seen: HashSet<&str> = item_ids.iter().collect();
            let others = self.attributes.iter().filter(|(id, item)| item.available && !seen.contains(&***id));
            let seen_values: Vec<_> = item_ids.iter().map(|id| found(id).map(|item| &item.values)).collect();
            Some(self.values.finish(&seen_values, others.map(|(id, item)| (&**id, &item.values)))?)
        } else {
            None
        };
        let cold_ids = || features.iter().flat_map(|features| features.cold_ids.iter());
        let title = |id: &str| found(id).map_or("", |attributes| &*attributes.title);
        let available = |id: &str| found(id).is_none_or(|attributes| attributes.available);
        Ok(ItemAttributes {
            titles: titled.then(|| item_ids.iter().chain(cold_ids()).map(title).collect()),
            available: flagged.then(|| item_ids.iter().chain(cold_ids()).map(available).collect()),
            features,
        })
    }
}

impl RowSink for ItemsReader<'_> {
    fn requests(&self) -> &[ColumnRequest] {
        &self.requests
    }

    fn begin(&mut self, _: &str, _: [bool; COLUMNS_REQUESTED_MAX]) -> Result<(), RunError> {
        self.begun = true;
        Ok(())
    }

    fn row(&mut self, cells: &[Cell<'_>; COLUMNS_REQUESTED_MAX]) -> Result<ControlFlow<()>, RunError> {
        self.read += 1;
        let [id, title, available, attributes @ ..] = *cells;
        let row = self.read;
        let unreadable = &mut self.unreadable;
        let mut values = Some(Vec::new());
        let parsed = id.id(&mut self.id_digits, DropReason::EmptyItem).map(|id| {
            let mut count = |reason| unreadable.add(reason, row, 1);
            let available = available.flag().map_err(&mut count).unwrap_or(true);
            let title = title.text(&mut self.title_digits).map_err(&mut count).unwrap_or_default();
            let title: Box<str> = title.get(..title.floor_char_boundary(TITLE_BYTES_MAX)).unwrap_or_default().into();
            for (column, cell) in attributes.into_iter().take(ATTRIBUTE_COLUMNS_MAX).enumerate() {
                let text = cell.text(&mut self.title_digits).map_err(&mut count).unwrap_or_default();
                values = values.take().and_then(|mut known| self.values.add(column, &text, &mut known).map(|()| known));
            }
            (id, title, available)
        });
        match parsed {
            Ok((id, title, available)) => {
                let Some(values) = values else {
                    return Err(RunError::permanent(
                        FailureReason::CapacityInsufficient,
                        format!(
                            "the columns of spec.data.items.attributes have more than {ATTRIBUTE_VALUES_READ_MAX} distinct values \
                             in {}: choose columns whose values many items share, such as a genre or a brand",
                            self.described_as
                        ),
                    ));
                };
                let attributes = Attributes { title, available, values: values.into() };
                if self.attributes.len() >= ITEMS_MAX as usize {
                    return Err(RunError::permanent(
                        FailureReason::CapacityInsufficient,
                        format!("{} has more than {ITEMS_MAX} items, the maximum for one model", self.described_as),
                    ));
                }
                self.attributes.insert(id.into(), attributes);
            }
            Err(reason) => self.dropped.add(reason, self.read, 1),
        }
        Ok(ControlFlow::Continue(()))
    }

    fn bad(&mut self, reason: DropReason, rows: u64) {
        self.read += rows;
        self.dropped.add(reason, self.read + 1 - rows, rows);
    }
}
