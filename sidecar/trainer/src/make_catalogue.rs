//! The catalogue of a revision, made from the item table: titles, availability and filter columns
//! of the model's items, in their order.

use std::{collections::HashMap, fs::File, io::BufWriter, ops::ControlFlow, path::Path};

use catalogue::{CatalogueError, CatalogueWriter, ColumnId, ColumnKind, check_value};
use model_snapshot::StringTable;
use serde_json::json;
use sidecar_contract::{CatalogueVersion, Digest, FilterColumn, FilterKind, Items, canonical_json};

use crate::{
    dropped::DropReason,
    failure::{FailureReason, RunError, chain},
    item_rows::{ItemRows, request},
    limits::{ATTRIBUTE_SEPARATOR, ATTRIBUTE_VALUES_PER_CELL_MAX, FILTER_COLUMNS_MAX, TITLE_BYTES_MAX},
    options::Options,
    read::{TableFormat, read_all},
    source::{Source, Stat},
    table::{COLUMNS_REQUESTED_MAX, Cell, ColumnRequest, Role, RowSink},
};

/// Microseconds of a second.
const SECOND: f64 = 1e6;

/// An item table, and the columns that a catalogue has of it. Nothing has been read yet.
pub struct ItemTable<'a> {
    items: &'a Items,
    filters: &'a [FilterColumn],
    source: Source,
    table_format: TableFormat<'a>,
}

/// State of an item table at one point in time.
pub struct TableVersion {
    stat: Stat,
    /// Hash of the table's data version and of the columns that are read. Equal hashes mean equal
    /// catalogues of a revision.
    pub source: Digest,
}

/// The items of a revision.
#[derive(Clone, Copy)]
pub struct ModelItems<'a> {
    /// SHA-256 of the snapshot.
    pub revision: &'a Digest,
    /// Number of items.
    pub items: usize,
    /// Row of an id.
    pub index_of: &'a (dyn Fn(&str) -> Option<u32> + Sync),
}

/// A catalogue that was written, and how the table and the model match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeCatalogue {
    /// SHA-256 of the file.
    pub digest: Digest,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Items of the model.
    pub items: u64,
    /// Items of the model that are available.
    pub available: u64,
    /// Items of the model that the table does not have. They have no title and are available.
    pub missing: u64,
    /// Rows of the table whose items the model does not have.
    pub unknown: u64,
}

impl<'a> ItemTable<'a> {
    /// Checks everything that needs no data.
    ///
    /// # Errors
    /// Too many filter columns, or a source or format that is not supported.
    pub fn new(items: &'a Items, filters: &'a [FilterColumn], options: &Options) -> Result<Self, RunError> {
        if filters.len() > FILTER_COLUMNS_MAX {
            let message =
                format!("spec.data.items.filters: {} columns; expected at most {FILTER_COLUMNS_MAX}", filters.len());
            return Err(RunError::permanent(FailureReason::ConfigInvalid, message));
        }
        let secret = options.secrets.items.as_ref();
        let source = Source::new(&items.source, "spec.data.items.source", &options.data_dir, secret)?;
        let table_format = TableFormat { format: items.format, csv: &items.csv, spec_field: "spec.data.items" };
        table_format.check()?;
        Ok(Self { items, filters, source, table_format })
    }

    /// The current version of the table.
    ///
    /// # Errors
    /// A source that does not exist or does not respond.
    pub async fn stat(&self) -> Result<TableVersion, RunError> {
        let stat = self.source.stat().await?;
        let Items { source: _, format, csv, id, title, available, attributes: _ } = self.items;
        let inputs = json!([stat.version, format, csv, id, title, available, self.filters]);
        Ok(TableVersion { stat, source: Digest::of(canonical_json(&inputs).as_bytes()) })
    }

    /// Reads the table and writes the catalogue of a revision to `output`.
    ///
    /// # Errors
    /// A table that does not match its description or that changes while it is read, or a file that
    /// cannot be written.
    pub async fn write(
        &self,
        version: &TableVersion,
        decided_at: i64,
        model: ModelItems<'_>,
        output: &Path,
    ) -> Result<MadeCatalogue, RunError> {
        let name = CatalogueVersion::new(decided_at, &version.source);
        let read = tokio::task::block_in_place(|| {
            self.read(version, model.items, model.index_of)?.finish(&name, model.revision, output)
        });
        // If the table changed during the read, an error in it may be fixed by now.
        match read {
            Err(error @ RunError::Transient { .. }) => Err(error),
            read if self.stat().await?.source == version.source => read,
            _ => Err(RunError::transient(format!("{} changed while it was being read", self.source.described_as))),
        }
    }

    /// Number of these items that have a title.
    pub(crate) fn count_titles(&self, version: &TableVersion, ids: &StringTable) -> Result<u64, RunError> {
        let index_of: HashMap<&str, u32> = ids.iter().zip(0..).collect();
        let find = |id: &str| index_of.get(id).copied();
        let reader = self.read(version, ids.len(), &find)?;
        Ok(reader.titles.iter().filter(|title| !title.is_empty()).count() as u64)
    }

    /// Reads the rows of the items whose index `find` returns.
    fn read<'b>(
        &'b self,
        version: &TableVersion,
        items: usize,
        find: &'b dyn Fn(&str) -> Option<u32>,
    ) -> Result<CatalogueReader<'b>, RunError> {
        let mut reader = CatalogueReader::new(self, items, find);
        // The reader never breaks.
        let _: ControlFlow<()> = read_all(&self.source, &version.stat, self.table_format, &mut reader, &|_, _| ())?;
        reader.rows.check(&self.source.described_as)?;
        Ok(reader)
    }
}

/// What the last row of an item has in one filter column.
enum Values {
    Texts(Vec<Option<Box<str>>>),
    Numbers(Vec<f64>),
}

/// Collects the rows of the items of a model; the last row of an item counts.
struct CatalogueReader<'a> {
    table: &'a ItemTable<'a>,
    /// Index of an item of the model.
    find: &'a dyn Fn(&str) -> Option<u32>,
    requests: Vec<ColumnRequest>,
    rows: ItemRows,
    found: Vec<bool>,
    titles: Vec<Box<str>>,
    available: Vec<bool>,
    filters: Vec<Values>,
    unknown: u64,
}

impl<'a> CatalogueReader<'a> {
    fn new(table: &'a ItemTable<'a>, items: usize, find: &'a dyn Fn(&str) -> Option<u32>) -> Self {
        let Items { id, title, available, .. } = table.items;
        let columns = [
            request(Some(id), "spec.data.items.columns.id", Role::Id),
            request(title.as_ref(), "spec.data.items.columns.title", Role::Text),
            request(available.as_ref(), "spec.data.items.columns.available", Role::Flag),
        ];
        let filters = table.filters.iter().map(|filter| {
            let role = match filter.kind {
                FilterKind::Category => Role::Text,
                FilterKind::Number => Role::Number,
                FilterKind::Time => Role::Time,
            };
            request(Some(&filter.column), "spec.data.items.filters", role)
        });
        Self {
            requests: columns.into_iter().chain(filters).collect(),
            rows: ItemRows::default(),
            found: vec![false; items],
            titles: vec![Box::default(); if title.is_some() { items } else { 0 }],
            available: vec![true; items],
            filters: table
                .filters
                .iter()
                .map(|filter| match filter.kind {
                    FilterKind::Category => Values::Texts(vec![None; items]),
                    FilterKind::Number | FilterKind::Time => Values::Numbers(vec![f64::NAN; items]),
                })
                .collect(),
            unknown: 0,
            table,
            find,
        }
    }

    /// Writes the catalogue.
    fn finish(self, version: &CatalogueVersion, revision: &Digest, output: &Path) -> Result<MadeCatalogue, RunError> {
        let described_as = &self.table.source.described_as;
        let count = |flags: &[bool]| flags.iter().filter(|flag| **flag).count() as u64;
        let (items, known, available) = (self.found.len() as u64, count(&self.found), count(&self.available));
        let (dropped, unreadable) = self.rows.lost();
        tracing::info!(rows = self.rows.read(), dropped, unreadable, known, items, available, "item table read");
        let cannot_write =
            |error: std::io::Error| RunError::transient(format!("cannot write {}: {error}", output.display()));
        let file = File::create(output).map_err(cannot_write)?;
        let writer = self.writer(version, revision).map_err(|error| not_written(described_as, &error))?;
        let written = writer.write(BufWriter::new(&file)).map_err(|error| not_written(described_as, &error))?;
        file.sync_all().map_err(cannot_write)?;
        Ok(MadeCatalogue {
            digest: written.digest,
            bytes: written.bytes,
            items,
            available,
            missing: items - known,
            unknown: self.unknown,
        })
    }

    fn writer(&self, version: &CatalogueVersion, revision: &Digest) -> Result<CatalogueWriter, CatalogueError> {
        let mut writer = CatalogueWriter::new(&version.to_string(), revision, self.found.len())?;
        for (item, title) in (0..).zip(&self.titles) {
            writer.set_title(item, title)?;
        }
        for (item, available) in (0..).zip(&self.available) {
            writer.set_available(item, *available);
        }
        for (filter, values) in self.table.filters.iter().zip(&self.filters) {
            let kind = match filter.kind {
                FilterKind::Category => ColumnKind::Category,
                FilterKind::Number => ColumnKind::Number,
                FilterKind::Time => ColumnKind::Time,
            };
            let column = writer.column(&filter.request_name(), kind)?;
            match values {
                Values::Texts(texts) => {
                    for (item, text) in (0..).zip(texts) {
                        add_texts(&mut writer, column, item, text.as_deref().unwrap_or_default())?;
                    }
                }
                Values::Numbers(numbers) => {
                    for (item, number) in (0..).zip(numbers) {
                        writer.set_number(column, item, *number)?;
                    }
                }
            }
        }
        Ok(writer)
    }
}

/// Adds the values of a cell, which `|` separates.
fn add_texts(writer: &mut CatalogueWriter, column: ColumnId, item: u32, text: &str) -> Result<(), CatalogueError> {
    texts_of(text).try_for_each(|value| writer.add_value(column, item, value))
}

/// The values of a cell, which `|` separates, without those that are too many.
fn texts_of(text: &str) -> impl Iterator<Item = &str> {
    let values = text.split(ATTRIBUTE_SEPARATOR).map(str::trim).filter(|value| !value.is_empty());
    values.take(ATTRIBUTE_VALUES_PER_CELL_MAX)
}

/// A catalogue that the table does not allow, or that the disk does not hold.
fn not_written(described_as: &str, error: &CatalogueError) -> RunError {
    let message = format!("spec.data.items.filters, {described_as}: {}", chain(error));
    match error {
        CatalogueError::Write(_) => RunError::transient(message),
        _ => RunError::bad_data(message),
    }
}

impl RowSink for CatalogueReader<'_> {
    fn requests(&self) -> &[ColumnRequest] {
        &self.requests
    }

    fn begin(&mut self, _: &str, _: [bool; COLUMNS_REQUESTED_MAX]) -> Result<(), RunError> {
        self.rows.begun = true;
        Ok(())
    }

    fn row(&mut self, cells: &[Cell<'_>; COLUMNS_REQUESTED_MAX]) -> Result<ControlFlow<()>, RunError> {
        let [id, title, available, filters @ ..] = *cells;
        let Some(id) = self.rows.next(id) else { return Ok(ControlFlow::Continue(())) };
        let Some(index) = (self.find)(id).map(|index| index as usize) else {
            self.unknown += 1;
            return Ok(ControlFlow::Continue(()));
        };
        let rows = &mut self.rows;
        set(&mut self.found, index, true);
        set(&mut self.available, index, rows.value(available.flag()).unwrap_or(true));
        if !self.titles.is_empty() {
            let title = rows.text(title);
            let title = title.get(..title.floor_char_boundary(TITLE_BYTES_MAX)).unwrap_or_default();
            set(&mut self.titles, index, title.into());
        }
        for ((filter, values), cell) in self.table.filters.iter().zip(&mut self.filters).zip(filters) {
            match values {
                Values::Texts(texts) => {
                    let text = rows.text(cell);
                    let values: Vec<&str> = texts_of(&text).collect();
                    // Before the values are kept: a long text in each row would take all memory.
                    let longest = values.iter().max_by_key(|value| value.len()).copied().unwrap_or_default();
                    check_value(&filter.request_name(), longest)
                        .map_err(|error| not_written(&self.table.source.described_as, &error))?;
                    let separator = ATTRIBUTE_SEPARATOR.to_string();
                    set(texts, index, (!values.is_empty()).then(|| values.join(&separator).into()));
                }
                Values::Numbers(numbers) => {
                    let number = match (cell, filter.kind) {
                        (Cell::Null, _) => f64::NAN,
                        (cell, FilterKind::Time) => {
                            rows.value(cell.time()).map_or(f64::NAN, |time| seconds(time.micros))
                        }
                        (cell, _) => rows.value(cell.double()).unwrap_or(f64::NAN),
                    };
                    set(numbers, index, number);
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn bad(&mut self, reason: DropReason, rows: u64) {
        self.rows.bad(reason, rows);
    }
}

fn set<T>(values: &mut [T], index: usize, value: T) {
    if let Some(entry) = values.get_mut(index) {
        *entry = value;
    }
}

#[expect(clippy::cast_precision_loss, reason = "a time in f64 seconds is exact to a microsecond")]
fn seconds(micros: i64) -> f64 {
    micros as f64 / SECOND
}
