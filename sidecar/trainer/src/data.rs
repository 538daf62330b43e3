//! stat ► read ► intern ► stat again: from the config's sources to merged interactions with item attributes.

use std::path::Path;

use sidecar_contract::{Digest, RowCounts, TrainingConfig, canonical_json};

use crate::{
    failure::Stop,
    head::read_head,
    interactions::{InteractionReader, RawInteractions},
    items_table::{ItemAttributes, ItemsReader},
    limits::Limits,
    merge::{Merged, merge},
    progress::{Event, Progress, Step},
    read::{Form, read_all},
    run::Secrets,
    source::{Source, Stat},
    weights,
};

/// The sources of a run, found readable in kind, not yet read.
pub(crate) struct Sources<'a> {
    config: &'a TrainingConfig,
    rows: Source,
    rows_form: Form<'a>,
    items: Option<(Source, Form<'a>)>,
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
    /// Of the item table.
    pub(crate) fn items(&self) -> Option<&Stat> {
        self.items.as_ref()
    }

    /// Changes when any source changes.
    pub(crate) fn version(&self) -> Digest {
        let items = self.items.as_ref().map(|items| &items.version);
        Digest::of(canonical_json(&serde_json::json!({ "rows": self.rows.version, "items": items })).as_bytes())
    }
}

impl<'a> Sources<'a> {
    pub(crate) fn new(config: &'a TrainingConfig, data_dir: &Path, secrets: &Secrets) -> Result<Self, Stop> {
        let rows = Source::new(&config.source, "spec.data.source", data_dir, secrets.source.as_ref())?;
        let rows_form = Form { format: config.format, csv: &config.csv, spec_field: "spec.data" };
        rows_form.check()?;
        let items = match &config.items {
            None => None,
            Some(items) => {
                let source = Source::new(&items.source, "spec.data.items.source", data_dir, secrets.items.as_ref())?;
                let form = Form { format: items.format, csv: &items.csv, spec_field: "spec.data.items" };
                form.check()?;
                Some((source, form))
            }
        };
        Ok(Self { config, rows, rows_form, items })
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
        let read = tokio::task::block_in_place(|| self.read_as_is(before, limits, progress, counts));
        // What is wrong with data that moved under the reader may be right by now.
        match read {
            Err(retry @ Stop::Retry { .. }) => Err(retry),
            read => {
                if self.stat().await?.version() != before.version() {
                    return Err(Stop::retry(format!(
                        "{} changed while it was read; the run is tried again",
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
    ) -> Result<Data, Stop> {
        let (mut raw, _) = self.read_rows(before, limits, u64::MAX, progress, counts)?;
        progress.event(&Event::RowsDone {
            read: raw.counts.read,
            kept: raw.counts.kept,
            dropped: &raw.dropped.described(),
        });
        progress.event(&Event::Step(Step::Intern));
        weights::age(&mut raw, &self.config.weights)?;
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

    /// Reads at most so many rows, and says which share of the source that was.
    pub(crate) fn read_rows(
        &self,
        stats: &Stats,
        limits: Limits,
        rows_max: u64,
        progress: &dyn Progress,
        counts: &mut RowCounts,
    ) -> Result<(RawInteractions, f64), Stop> {
        progress.event(&Event::Step(Step::Read));
        let stat = &stats.rows;
        let TrainingConfig { columns, weights, .. } = self.config;
        let mut reader = InteractionReader::new(&self.rows.described_as, columns, &weights.events, limits);
        let heard = |reader: &InteractionReader<'_>, bytes| {
            let (read, kept, dropped) = reader.progress();
            progress.event(&Event::Rows { read, kept, dropped, bytes, bytes_total: stat.size_bytes });
        };
        let read = read_head(&self.rows, stat, self.rows_form, &mut reader, rows_max, &heard);
        *counts = reader.counts();
        let share = read?;
        Ok((reader.finish()?, share))
    }

    pub(crate) fn read_items(&self, stat: Option<&Stat>, interactions: &Merged) -> Result<ItemAttributes, Stop> {
        let (Some((source, form)), Some(config), Some(stat)) = (&self.items, &self.config.items, stat) else {
            return Ok(ItemAttributes::default());
        };
        let mut reader = ItemsReader::new(&source.described_as, config);
        read_all(source, stat, *form, &mut reader, &|_, _| ())?;
        reader.finish(&interactions.item_ids)
    }
}
