//! Titles and availability of items, from a table beside the interactions.

use std::collections::HashMap;

use model_snapshot::StringTable;
use sidecar_contract::Items;

use crate::{
    dropped::{DropReason, Dropped},
    failure::{FailureReason, Stop},
    limits::{ITEMS_MAX, TITLE_BYTES_MAX},
    table::{Cell, Digits, Role, Taker, WANTED_MAX, Wanted},
};

/// What the table says of an item.
struct Attributes {
    title: Box<str>,
    available: bool,
}

/// Takes one row after the other; of several rows with one id the last counts. Rows that cannot be read are left out and
/// counted.
pub(crate) struct ItemsReader<'a> {
    described_as: &'a str,
    wanted: [Wanted; 3],
    begun: bool,
    attributes: HashMap<Box<str>, Attributes>,
    read: u64,
    dropped: Dropped,
    id_digits: Digits,
    title_digits: Digits,
}

/// The table in the order of the model's items.
#[derive(Debug, Default)]
pub(crate) struct ItemAttributes {
    /// Empty where there is none.
    pub(crate) titles: Option<StringTable>,
    pub(crate) available: Option<Vec<bool>>,
}

impl<'a> ItemsReader<'a> {
    pub(crate) fn new(described_as: &'a str, config: &Items) -> Self {
        let Items { id, title, available, .. } = config.clone();
        let wanted = |column, spec_field, role| Wanted { column, by_default: None, spec_field, role };
        Self {
            described_as,
            wanted: [
                wanted(Some(id), "spec.data.items.columns.id", Role::Id),
                wanted(title, "spec.data.items.columns.title", Role::Text),
                wanted(available, "spec.data.items.columns.available", Role::Flag),
            ],
            begun: false,
            attributes: HashMap::new(),
            read: 0,
            dropped: Dropped::default(),
            id_digits: Digits::default(),
            title_digits: Digits::default(),
        }
    }

    /// The attributes of these items, in their order. Items that the table does not name have no title and are available.
    pub(crate) fn finish(self, item_ids: &StringTable) -> Result<ItemAttributes, Stop> {
        if !self.begun {
            return Err(Stop::bad_data(format!("{} is empty: expected a header and rows", self.described_as)));
        }
        let [_, titled, flagged] = self.wanted.each_ref().map(|wanted| wanted.column.is_some());
        let found = |id: &str| self.attributes.get(id);
        let known = item_ids.iter().filter(|id| found(id).is_some()).count();
        tracing::info!(
            rows = self.attributes.len(),
            dropped = self.dropped.described(),
            known,
            items = item_ids.len(),
            "items read"
        );
        let title = |id: &str| found(id).map_or("", |attributes| &*attributes.title);
        let available = |id: &str| found(id).is_none_or(|attributes| attributes.available);
        Ok(ItemAttributes {
            titles: titled.then(|| item_ids.iter().map(title).collect()),
            available: flagged.then(|| item_ids.iter().map(available).collect()),
        })
    }
}

impl Taker for ItemsReader<'_> {
    fn wanted(&self) -> &[Wanted] {
        &self.wanted
    }

    fn begin(&mut self, _: &str, _: [bool; WANTED_MAX]) -> Result<(), Stop> {
        self.begun = true;
        Ok(())
    }

    fn row(&mut self, cells: &[Cell<'_>; WANTED_MAX]) -> Result<(), Stop> {
        self.read += 1;
        let [id, title, available, _] = *cells;
        let parsed = id.id(&mut self.id_digits, DropReason::EmptyItem).and_then(|id| {
            let title = title.text(&mut self.title_digits)?;
            let title = title.get(..title.floor_char_boundary(TITLE_BYTES_MAX)).unwrap_or_default();
            Ok((id, Attributes { title: title.into(), available: available.flag()? }))
        });
        match parsed {
            Ok((id, attributes)) => {
                if self.attributes.len() >= ITEMS_MAX as usize {
                    return Err(Stop::failed(
                        FailureReason::CapacityInsufficient,
                        format!("{} has more than {ITEMS_MAX} items, the most that one model takes", self.described_as),
                    ));
                }
                self.attributes.insert(id.into(), attributes);
            }
            Err(reason) => self.dropped.add(reason, self.read, 1),
        }
        Ok(())
    }

    fn bad(&mut self, reason: DropReason, rows: u64) {
        self.read += rows;
        self.dropped.add(reason, self.read + 1 - rows, rows);
    }
}
