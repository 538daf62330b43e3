//! stat ► read ► intern ► stat again: from the config's sources to merged interactions with item attributes.

use std::path::Path;

use sidecar_contract::{Digest, RowCounts, TrainingConfig, canonical_json};

use crate::{
    delimited::delimiter,
    failure::Stop,
    interactions::{InteractionReader, RawInteractions},
    items_table::{ItemAttributes, ItemsReader},
    limits::Limits,
    merge::{Merged, merge},
    progress::{Event, Progress, Step},
    records::{RecordCutter, Row},
    source::{Source, Stat},
};

/// The sources of a run, found readable in kind, not yet read.
pub(crate) struct Sources<'a> {
    config: &'a TrainingConfig,
    rows: Source,
    rows_delimiter: u8,
    items: Option<(Source, u8)>,
}

/// What the sources hold.
pub(crate) struct Data {
    pub(crate) interactions: Merged,
    pub(crate) attributes: ItemAttributes,
}

/// Stats of all sources at one moment.
pub(crate) struct Stats {
    rows: Stat,
    items: Option<Stat>,
}

impl Stats {
    /// Changes when any source changes.
    pub(crate) fn version(&self) -> Digest {
        let items = self.items.as_ref().map(|items| &items.version);
        Digest::of(canonical_json(&serde_json::json!({ "rows": self.rows.version, "items": items })).as_bytes())
    }
}

impl<'a> Sources<'a> {
    pub(crate) fn new(config: &'a TrainingConfig, data_dir: &Path) -> Result<Self, Stop> {
        let rows = Source::new(&config.source, "spec.data.source", data_dir)?;
        let rows_delimiter =
            delimiter(config.format, &config.csv, &config.source.url, &rows.described_as, "spec.data")?;
        let items = match &config.items {
            None => None,
            Some(items) => {
                let source = Source::new(&items.source, "spec.data.items.source", data_dir)?;
                let url = &items.source.url;
                let delimiter = delimiter(items.format, &items.csv, url, &source.described_as, "spec.data.items")?;
                Some((source, delimiter))
            }
        };
        Ok(Self { config, rows, rows_delimiter, items })
    }

    pub(crate) async fn stat(&self) -> Result<Stats, Stop> {
        let rows = self.rows.stat().await?;
        let items = match &self.items {
            Some((source, _)) => Some(source.stat().await?),
            None => None,
        };
        Ok(Stats { rows, items })
    }

    /// Reads everything. `counts` is kept up to date, also for a run that fails on the way.
    pub(crate) async fn read(
        &self,
        before: &Stats,
        limits: Limits,
        progress: &dyn Progress,
        counts: &mut RowCounts,
    ) -> Result<Data, Stop> {
        let raw = self.read_interactions(&before.rows, limits, progress, counts).await?;
        progress.event(&Event::RowsDone {
            read: raw.counts.read,
            kept: raw.counts.kept,
            dropped: &raw.dropped.described(),
        });
        progress.event(&Event::Step(Step::Intern));
        let interactions = tokio::task::block_in_place(|| merge(raw));
        counts.merged = interactions.duplicates;
        progress.event(&Event::Interned {
            users: interactions.user_ids.len() as u64,
            items: interactions.item_ids.len() as u64,
            interactions: interactions.items.len() as u64,
        });
        let attributes = self.read_items(&interactions).await?;
        if self.stat().await?.version() != before.version() {
            return Err(Stop::retry(format!(
                "{} changed while it was read; the run is tried again",
                self.rows.described_as
            )));
        }
        Ok(Data { interactions, attributes })
    }

    async fn read_interactions(
        &self,
        stat: &Stat,
        limits: Limits,
        progress: &dyn Progress,
        counts: &mut RowCounts,
    ) -> Result<RawInteractions, Stop> {
        progress.event(&Event::Step(Step::Read));
        let mut reader =
            InteractionReader::new(&self.rows.described_as, &self.config.columns, &self.config.csv, limits);
        let read = read_all(&self.rows, self.rows_delimiter, &mut reader, InteractionReader::row, |reader, bytes| {
            let (read, kept, dropped) = reader.progress();
            progress.event(&Event::Rows { read, kept, dropped, bytes, bytes_total: stat.size_bytes });
        });
        let read = read.await;
        *counts = reader.counts();
        read?;
        reader.finish()
    }

    async fn read_items(&self, interactions: &Merged) -> Result<ItemAttributes, Stop> {
        let (Some((source, delimiter)), Some(config)) = (&self.items, &self.config.items) else {
            return Ok(ItemAttributes::default());
        };
        let mut reader = ItemsReader::new(&source.described_as, config);
        read_all(source, *delimiter, &mut reader, ItemsReader::row, |_, _| ()).await?;
        reader.finish(&interactions.item_ids)
    }
}

/// Feeds every row of a source to `reader`; `after_chunk` hears how many bytes were read.
async fn read_all<R>(
    source: &Source,
    delimiter: u8,
    reader: &mut R,
    row: impl Fn(&mut R, Row<'_>) -> Result<(), Stop>,
    after_chunk: impl Fn(&R, u64),
) -> Result<(), Stop> {
    let mut chunks = source.read().await?;
    let mut cutter = RecordCutter::new(delimiter);
    let mut bytes = 0;
    while let Some(chunk) = chunks.next().await? {
        bytes += chunk.len() as u64;
        cutter.feed(&chunk, &mut |found: Row<'_>| row(reader, found))?;
        after_chunk(reader, bytes);
    }
    cutter.finish(&mut |found: Row<'_>| row(reader, found))
}
