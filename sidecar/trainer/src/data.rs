//! stat ► read ► intern ► stat again: from the config's sources to merged interactions with item
//! attributes.

use std::{ops::ControlFlow, path::Path};

use sidecar_contract::{Digest, RowCounts, TrainingConfig, canonical_json};

use crate::{
    failure::RunError,
    interactions::{InteractionReader, RawInteractions},
    items_table::{ItemAttributes, ItemsReader},
    limits::Limits,
    merge::{InteractionTable, merge},
    options::Secrets,
    preview::read_preview,
    progress::{Event, Progress, Step},
    read::{TableFormat, read_all},
    reinterpreted::Reinterpretation,
    source::{Source, Stat},
    weights,
};

/// The sources of a run. Their types are supported; nothing has been read yet.
pub(crate) struct Sources<'a> {
    config: &'a TrainingConfig,
    rows: Source,
    rows_format: TableFormat<'a>,
    items: Option<(Source, TableFormat<'a>)>,
}

/// Content of the sources.
pub(crate) struct Data {
    pub(crate) interactions: InteractionTable,
    pub(crate) attributes: ItemAttributes,
}

/// Stats of all sources at one point in time.
pub(crate) struct Stats {
    rows: Stat,
    items: Option<Stat>,
}

impl Stats {
    /// Stat of the item table.
    pub(crate) fn items(&self) -> Option<&Stat> {
        self.items.as_ref()
    }

    /// Data version; it changes when any source changes.
    pub(crate) fn version(&self) -> Digest {
        let items = self.items.as_ref().map(|items| &items.version);
        Digest::of(canonical_json(&serde_json::json!({ "rows": self.rows.version, "items": items })).as_bytes())
    }
}

impl<'a> Sources<'a> {
    pub(crate) fn new(config: &'a TrainingConfig, data_dir: &Path, secrets: &Secrets) -> Result<Self, RunError> {
        let rows = Source::new(&config.source, "spec.data.source", data_dir, secrets.source.as_ref())?;
        let rows_format = TableFormat { format: config.format, csv: &config.csv, spec_field: "spec.data" };
        rows_format.check()?;
        let items = match &config.items {
            None => None,
            Some(items) => {
                let source = Source::new(&items.source, "spec.data.items.source", data_dir, secrets.items.as_ref())?;
                let table_format = TableFormat { format: items.format, csv: &items.csv, spec_field: "spec.data.items" };
                table_format.check()?;
                Some((source, table_format))
            }
        };
        Ok(Self { config, rows, rows_format, items })
    }

    pub(crate) async fn stat(&self) -> Result<Stats, RunError> {
        let rows = self.rows.stat().await?;
        let items = match &self.items {
            Some((source, _)) => Some(source.stat().await?),
            None => None,
        };
        Ok(Stats { rows, items })
    }

    /// Reads all sources. `counts` is updated even if the read fails.
    pub(crate) async fn read(
        &self,
        before: &Stats,
        limits: Limits,
        progress: &dyn Progress,
        counts: &mut RowCounts,
    ) -> Result<Data, RunError> {
        let read = tokio::task::block_in_place(|| self.read_as_is(before, limits, progress, counts));
        // If the data changed during the read, an error in it may be fixed by now: the run is
        // retried instead of failed.
        match read {
            Err(error @ RunError::Transient { .. }) => Err(error),
            read => {
                if self.stat().await?.version() != before.version() {
                    return Err(RunError::transient(format!(
                        "{} changed while it was being read; the run will be retried",
                        self.rows.described_as
                    )));
                }
                read
            }
        }
    }

    fn read_as_is(
        &self,
        before: &Stats,
        limits: Limits,
        progress: &dyn Progress,
        counts: &mut RowCounts,
    ) -> Result<Data, RunError> {
        let (mut raw, _) = self.read_rows(before, limits, u64::MAX, progress, counts)?;
        progress.event(&Event::RowsDone {
            read: raw.counts.read,
            kept: raw.counts.kept,
            dropped: &raw.dropped.described(),
            reinterpreted: &raw.reinterpreted.described(),
        });
        progress.event(&Event::Step(Step::Intern));
        let far_ahead = weights::apply_time_decay(&mut raw, &self.config.weights)?;
        if far_ahead > 0 {
            counts.reinterpreted.insert(Reinterpretation::FarAhead.as_str().to_owned(), far_ahead);
            progress.event(&Event::FarAhead { rows: far_ahead });
        }
        let interactions = merge(raw, self.config.signal);
        counts.merged = interactions.duplicates;
        progress.event(&Event::Interned {
            users: interactions.user_ids.len() as u64,
            items: interactions.item_ids.len() as u64,
            interactions: interactions.items.len() as u64,
        });
        let attributes = self.read_items(before.items.as_ref(), &interactions)?;
        Ok(Data { interactions, attributes })
    }

    /// Reads up to `rows_max` rows; also returns the fraction of the source's bytes that was read.
    pub(crate) fn read_rows(
        &self,
        stats: &Stats,
        limits: Limits,
        rows_max: u64,
        progress: &dyn Progress,
        counts: &mut RowCounts,
    ) -> Result<(RawInteractions, f64), RunError> {
        progress.event(&Event::Step(Step::Read));
        let stat = &stats.rows;
        let TrainingConfig { columns, weights, .. } = self.config;
        let mut reader = InteractionReader::new(&self.rows.described_as, columns, &weights.events, limits);
        let report_progress = |reader: &InteractionReader<'_>, bytes| {
            let (read, kept, dropped) = reader.progress();
            progress.event(&Event::Rows { read, kept, dropped, bytes, bytes_total: stat.size_bytes });
        };
        let read = read_preview(&self.rows, stat, self.rows_format, &mut reader, rows_max, &report_progress);
        *counts = reader.counts();
        let fraction_read = read?;
        Ok((reader.finish()?, fraction_read))
    }

    pub(crate) fn read_items(
        &self,
        stat: Option<&Stat>,
        interactions: &InteractionTable,
    ) -> Result<ItemAttributes, RunError> {
        let (Some((source, table_format)), Some(config), Some(stat)) = (&self.items, &self.config.items, stat) else {
            return Ok(ItemAttributes::default());
        };
        let mut reader = ItemsReader::new(&source.described_as, config);
        // `ItemsReader` never breaks.
        let _: ControlFlow<()> = read_all(source, stat, *table_format, &mut reader, &|_, _| ())?;
        reader.finish(&interactions.item_ids)
    }
}
