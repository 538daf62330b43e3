//! read item features ► stat ► read ► intern ► stat again: from the config's sources to merged
//! interactions with item features.

use std::{ops::ControlFlow, path::Path};

use sidecar_contract::{Digest, Items, RowCounts, TrainingConfig, canonical_json};

use crate::{
    failure::RunError,
    feature_table::{FeatureReader, FeatureTable},
    half_life::{self, HalfLife},
    interactions::{InteractionReader, RawInteractions},
    item_features::ItemFeatures,
    limits::Limits,
    merge::{InteractionTable, merge},
    options::Secrets,
    preview::read_preview,
    progress::{Event, Progress, Step},
    read::{TableFormat, read_all},
    reinterpreted::Reinterpretation,
    source::{Source, Stat},
};

/// The sources of a run. Their types are supported; nothing has been read yet.
pub(crate) struct Sources<'a> {
    config: &'a TrainingConfig,
    rows: Source,
    rows_format: TableFormat<'a>,
    /// The item table, if the model depends on it: if it has attribute columns.
    items: Option<(Source, TableFormat<'a>, &'a Items)>,
}

/// Content of the sources.
pub(crate) struct Data {
    pub(crate) interactions: InteractionTable,
    /// Features of the items, including cold-start items; `None` without attribute columns.
    pub(crate) features: Option<ItemFeatures>,
}

impl Data {
    /// Number of cold-start items.
    pub(crate) fn cold_items(&self) -> usize {
        self.features.as_ref().map_or(0, |features| features.cold_ids.len())
    }
}

/// Data version: it changes when the source of the interactions changes, or the features of an
/// item. No other column of the item table changes it.
pub(crate) fn data_version(rows: &Stat, features: Option<&FeatureTable>) -> Digest {
    let items = features.map(FeatureTable::version);
    Digest::of(canonical_json(&serde_json::json!({ "rows": rows.version, "items": items })).as_bytes())
}

impl<'a> Sources<'a> {
    pub(crate) fn new(config: &'a TrainingConfig, data_dir: &Path, secrets: &Secrets) -> Result<Self, RunError> {
        let rows = Source::new(&config.source, "spec.data.source", data_dir, secrets.source.as_ref())?;
        let rows_format = TableFormat { format: config.format, csv: &config.csv, spec_field: "spec.data" };
        rows_format.check()?;
        let items = match config.items.as_ref().filter(|items| !items.attributes.is_empty()) {
            None => None,
            Some(items) => {
                let source = Source::new(&items.source, "spec.data.items.source", data_dir, secrets.items.as_ref())?;
                let table_format = TableFormat { format: items.format, csv: &items.csv, spec_field: "spec.data.items" };
                table_format.check()?;
                Some((source, table_format, items))
            }
        };
        Ok(Self { config, rows, rows_format, items })
    }

    /// State of the interactions.
    pub(crate) async fn stat(&self) -> Result<Stat, RunError> {
        self.rows.stat().await
    }

    /// Reads the attribute columns of the item table; `None` without such columns.
    pub(crate) async fn read_features(&self) -> Result<Option<FeatureTable>, RunError> {
        let Some((source, table_format, items)) = &self.items else { return Ok(None) };
        let before = source.stat().await?;
        let read = tokio::task::block_in_place(|| {
            let mut reader = FeatureReader::new(&source.described_as, items);
            // The reader never breaks.
            let _: ControlFlow<()> = read_all(source, &before, *table_format, &mut reader, &|_, _| ())?;
            reader.finish()
        });
        unless_changed(source, &before, read).await.map(Some)
    }

    /// Reads the interactions. `counts` is updated even if the read fails.
    pub(crate) async fn read(
        &self,
        before: &Stat,
        features: Option<FeatureTable>,
        limits: Limits,
        progress: &dyn Progress,
        counts: &mut RowCounts,
    ) -> Result<Data, RunError> {
        let read = tokio::task::block_in_place(|| self.read_as_is(before, features, limits, progress, counts));
        unless_changed(&self.rows, before, read).await
    }

    fn read_as_is(
        &self,
        before: &Stat,
        features: Option<FeatureTable>,
        limits: Limits,
        progress: &dyn Progress,
        counts: &mut RowCounts,
    ) -> Result<Data, RunError> {
        let (raw, _) = self.read_rows(before, limits, u64::MAX, progress, counts)?;
        progress.event(&Event::RowsDone {
            read: raw.counts.read,
            kept: raw.counts.kept,
            dropped: &raw.dropped.described(),
            reinterpreted: &raw.reinterpreted.described(),
        });
        progress.event(&Event::Step(Step::Intern));
        let far_ahead = half_life::far_ahead(&raw, &self.config.weights)?;
        if far_ahead > 0 {
            counts.reinterpreted.insert(Reinterpretation::FarAhead.as_str().to_owned(), far_ahead);
            progress.event(&Event::FarAhead { rows: far_ahead });
        }
        let interactions = merge(raw, self.config.signal, HalfLife::of(&self.config.weights));
        counts.merged = interactions.duplicates;
        progress.event(&Event::Interned {
            users: interactions.user_ids.len() as u64,
            items: interactions.item_ids.len() as u64,
            interactions: interactions.items.len() as u64,
        });
        let features = features.map(|features| features.finish(&interactions.item_ids)).transpose()?;
        Ok(Data { interactions, features })
    }

    /// Reads up to `rows_max` rows; also returns the fraction of the source's bytes that was read.
    pub(crate) fn read_rows(
        &self,
        stat: &Stat,
        limits: Limits,
        rows_max: u64,
        progress: &dyn Progress,
        counts: &mut RowCounts,
    ) -> Result<(RawInteractions, f64), RunError> {
        progress.event(&Event::Step(Step::Read));
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
}

/// What was read, unless the source changed during the read: then an error in it may be fixed by
/// now, and the run is retried instead of failed.
async fn unless_changed<T>(source: &Source, before: &Stat, read: Result<T, RunError>) -> Result<T, RunError> {
    match read {
        Err(error @ RunError::Transient { .. }) => Err(error),
        read if source.stat().await?.version == before.version => read,
        _ => Err(RunError::transient(format!(
            "{} changed while it was being read; the run will be retried",
            source.described_as
        ))),
    }
}
