//! Titles and availability of items, from a table beside the interactions.

use std::collections::HashMap;

use model_snapshot::StringTable;
use sidecar_contract::Items;

use crate::{
    columns::Header,
    failure::{FailureReason, Stop},
    limits::{ITEMS_MAX, TITLE_BYTES_MAX},
    records::{Record, Row},
};

/// What the table says of an item.
struct Attributes {
    title: Box<str>,
    available: bool,
}

/// Takes one row after the other.
pub(crate) struct ItemsReader<'a> {
    described_as: &'a str,
    config: &'a Items,
    layout: Option<Layout>,
    attributes: HashMap<Box<str>, Attributes>,
    dropped: u64,
}

#[derive(Clone, Copy)]
struct Layout {
    id: usize,
    title: Option<usize>,
    available: Option<usize>,
    fields: usize,
}

/// The table in the order of the model's items.
#[derive(Debug, Default)]
pub(crate) struct ItemAttributes {
    /// Empty where there is none.
    pub(crate) titles: Option<StringTable>,
    pub(crate) available: Option<Vec<bool>>,
}

impl<'a> ItemsReader<'a> {
    pub(crate) fn new(described_as: &'a str, config: &'a Items) -> Self {
        Self { described_as, config, layout: None, attributes: HashMap::new(), dropped: 0 }
    }

    /// One more row; of several rows with one id the last counts. Rows that cannot be read are left out and counted.
    pub(crate) fn row(&mut self, row: Row<'_>) -> Result<(), Stop> {
        let Row::Record(record) = row else {
            self.dropped += 1;
            return Ok(());
        };
        let layout = if let Some(layout) = self.layout {
            layout
        } else {
            let layout = self.layout(record)?;
            self.layout = Some(layout);
            if self.config.csv.header {
                return Ok(());
            }
            layout
        };
        match parse(record, layout) {
            Some((id, attributes)) => {
                if self.attributes.len() >= ITEMS_MAX as usize {
                    return Err(Stop::failed(
                        FailureReason::CapacityInsufficient,
                        format!("{} has more than {ITEMS_MAX} items, the most that one model takes", self.described_as),
                    ));
                }
                self.attributes.insert(id.into(), attributes);
            }
            None => self.dropped += 1,
        }
        Ok(())
    }

    fn layout(&self, first: Record<'_>) -> Result<Layout, Stop> {
        let Items { source: _, format: _, csv, id, title, available } = self.config;
        let header = Header::new(self.described_as, csv, first);
        let optional = |column: &Option<_>, spec_field| {
            column.as_ref().map(|column| header.position(column, spec_field)).transpose()
        };
        Ok(Layout {
            id: header.position(id, "spec.data.items.columns.id")?,
            title: optional(title, "spec.data.items.columns.title")?,
            available: optional(available, "spec.data.items.columns.available")?,
            fields: header.fields(),
        })
    }

    /// The attributes of these items, in their order. Items that the table does not name have no title and are available.
    pub(crate) fn finish(self, item_ids: &StringTable) -> Result<ItemAttributes, Stop> {
        let Some(layout) = self.layout else {
            return Err(Stop::bad_data(format!("{} is empty: expected a header and rows", self.described_as)));
        };
        let found = |id: &str| self.attributes.get(id);
        let known = item_ids.iter().filter(|id| found(id).is_some()).count();
        tracing::info!(
            rows = self.attributes.len(),
            dropped = self.dropped,
            known,
            items = item_ids.len(),
            "items read"
        );
        let title = |id: &str| found(id).map_or("", |attributes| &*attributes.title);
        let available = |id: &str| found(id).is_none_or(|attributes| attributes.available);
        Ok(ItemAttributes {
            titles: layout.title.map(|_| item_ids.iter().map(title).collect()),
            available: layout.available.map(|_| item_ids.iter().map(available).collect()),
        })
    }
}

fn parse(record: Record<'_>, layout: Layout) -> Option<(&str, Attributes)> {
    if record.len() != layout.fields {
        return None;
    }
    let text = |index: usize| std::str::from_utf8(record.field(index)?).ok();
    let id = text(layout.id).filter(|id| !id.trim().is_empty())?;
    let title = layout.title.map_or(Some(""), text)?.trim();
    let title = title.get(..title.floor_char_boundary(TITLE_BYTES_MAX)).unwrap_or_default();
    let available = layout.available.map_or(Some("true"), text)?.trim();
    let unavailable = ["false", "0", "no"].iter().any(|word| available.eq_ignore_ascii_case(word));
    Some((id, Attributes { title: title.into(), available: !unavailable }))
}
