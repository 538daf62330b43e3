//! Titles, availability and kinds of items, from a table beside the interactions.

use std::collections::{HashMap, HashSet};

use model_snapshot::StringTable;
use sidecar_contract::Items;

use crate::{
    dropped::{DropReason, Dropped},
    failure::{FailureReason, Stop},
    kinds::{Kinds, Values, ValuesOfItem},
    limits::{ATTRIBUTE_COLUMNS_MAX, ATTRIBUTE_VALUES_READ_MAX, ITEMS_MAX, TITLE_BYTES_MAX},
    table::{Cell, Digits, Role, Taker, WANTED_MAX, Wanted},
};

/// What the table says of an item.
struct Attributes {
    title: Box<str>,
    available: bool,
    values: ValuesOfItem,
}

/// Takes one row after the other; of several rows with one id the last counts. Rows that cannot be read are left out and
/// counted.
pub(crate) struct ItemsReader<'a> {
    described_as: &'a str,
    wanted: Vec<Wanted>,
    begun: bool,
    values: Values,
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
    /// What kind of item each is, and those that nobody has met: titles and availability of these come last.
    pub(crate) kinds: Option<Kinds>,
}

impl ItemAttributes {
    /// How many items there are that nobody has met.
    pub(crate) fn cold_items(&self) -> usize {
        self.kinds.as_ref().map_or(0, |kinds| kinds.cold_ids.len())
    }
}

impl<'a> ItemsReader<'a> {
    pub(crate) fn new(described_as: &'a str, config: &Items) -> Self {
        let Items { id, title, available, attributes, .. } = config.clone();
        let wanted = |column, spec_field, role| Wanted { column, by_default: None, spec_field, role };
        let attributes = attributes.into_iter().take(ATTRIBUTE_COLUMNS_MAX);
        let columns = [
            wanted(Some(id), "spec.data.items.columns.id", Role::Id),
            wanted(title, "spec.data.items.columns.title", Role::Text),
            wanted(available, "spec.data.items.columns.available", Role::Flag),
        ];
        let attributes = attributes.map(|column| wanted(Some(column), "spec.data.items.attributes", Role::Text));
        Self {
            described_as,
            wanted: columns.into_iter().chain(attributes).collect(),
            begun: false,
            values: Values::default(),
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
        let has = |place: usize| self.wanted.get(place).is_some_and(|wanted| wanted.column.is_some());
        let (titled, flagged, with_kinds) = (has(1), has(2), has(3));
        let found = |id: &str| self.attributes.get(id);
        let known = item_ids.iter().filter(|id| found(id).is_some()).count();
        tracing::info!(
            rows = self.attributes.len(),
            dropped = self.dropped.described(),
            known,
            items = item_ids.len(),
            "items read"
        );
        let kinds = if with_kinds {
            let met: HashSet<&str> = item_ids.iter().collect();
            let others = self.attributes.iter().filter(|(id, item)| item.available && !met.contains(&***id));
            let values_of_met: Vec<_> = item_ids.iter().map(|id| found(id).map(|item| &item.values)).collect();
            Some(self.values.finish(&values_of_met, others.map(|(id, item)| (&**id, &item.values)))?)
        } else {
            None
        };
        let cold_ids = || kinds.iter().flat_map(|kinds| kinds.cold_ids.iter());
        let title = |id: &str| found(id).map_or("", |attributes| &*attributes.title);
        let available = |id: &str| found(id).is_none_or(|attributes| attributes.available);
        Ok(ItemAttributes {
            titles: titled.then(|| item_ids.iter().chain(cold_ids()).map(title).collect()),
            available: flagged.then(|| item_ids.iter().chain(cold_ids()).map(available).collect()),
            kinds,
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
        let [id, title, available, attributes @ ..] = *cells;
        let mut values = Some(Vec::new());
        let parsed = id.id(&mut self.id_digits, DropReason::EmptyItem).and_then(|id| {
            let title = title.text(&mut self.title_digits)?;
            let title: Box<str> = title.get(..title.floor_char_boundary(TITLE_BYTES_MAX)).unwrap_or_default().into();
            for (column, cell) in attributes.into_iter().enumerate() {
                let text = cell.text(&mut self.title_digits)?;
                values = values.take().and_then(|mut met| self.values.add(column, text, &mut met).map(|()| met));
            }
            Ok((id, title, available.flag()?))
        });
        match parsed {
            Ok((id, title, available)) => {
                let Some(values) = values else {
                    return Err(Stop::failed(
                        FailureReason::CapacityInsufficient,
                        format!(
                            "the columns of spec.data.items.attributes have more than {ATTRIBUTE_VALUES_READ_MAX} different values \
                             in {}: name columns whose values many items share, such as a genre or a brand",
                            self.described_as
                        ),
                    ));
                };
                let attributes = Attributes { title, available, values: values.into() };
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
