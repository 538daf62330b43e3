//! Profile of a source: statistics from the readers and the merge step of a run, without a fit.

use sidecar_contract::{RowCounts, Signal, SplitKind, TrainingConfig};

use crate::{
    data::Sources,
    failure::RunError,
    feature_table::FeatureTable,
    interactions::RawInteractions,
    make_catalogue::{ItemTable, TableVersion},
    merge::merge,
    model,
    options::Options,
    progress::{Event, Progress, Step},
};

/// All rows of a source, or the first ones.
pub struct Rows<'a> {
    config: &'a TrainingConfig,
    features: Option<FeatureTable>,
    titles: Option<(ItemTable<'a>, TableVersion)>,
    raw: RawInteractions,
    fraction_read: f64,
}

/// Statistics of the rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Rows read, kept, dropped by reason, and merged.
    pub rows: RowCounts,
    /// Fraction of the source's bytes that was read; 1 is the whole source.
    pub fraction_read: f64,
    /// Distinct items of each user, ascending.
    pub user_degrees: Vec<u32>,
    /// Distinct users of each item, ascending.
    pub item_degrees: Vec<u32>,
    /// Number of rows of the most active user.
    pub most_active_user_rows: u64,
    /// Total bytes of all ids.
    pub id_bytes: u64,
    /// The oldest and the newest time, in microseconds since 1970.
    pub times: Option<(i64, i64)>,
    /// Test users of a run with a split by time; `None` without times.
    pub measurable_by_time: Option<u64>,
    /// Test users of a run with a random split.
    pub measurable_at_random: u64,
    /// Items with a title in the item table.
    pub titled: Option<u64>,
    /// Items of the item table without interactions that have item features; `None` without
    /// features.
    pub cold_items: Option<u64>,
}

/// Reads up to `rows_max` rows according to the config. Fails where a run would fail.
pub async fn read_rows<'a>(
    config: &'a TrainingConfig,
    rows_max: u64,
    progress: &dyn Progress,
    options: &Options,
) -> Result<Rows<'a>, RunError> {
    model::check_config(config)?;
    let sources = Sources::new(config, &options.data_dir, &options.secrets)?;
    let stat = sources.stat().await?;
    let features = sources.read_features().await?;
    let titles = match config.items.as_ref().filter(|items| items.title.is_some()) {
        Some(items) => {
            let table = ItemTable::new(items, &[], options)?;
            let version = table.stat().await?;
            Some((table, version))
        }
        None => None,
    };
    let mut counts = RowCounts::default();
    let read =
        tokio::task::block_in_place(|| sources.read_rows(&stat, options.limits, rows_max, progress, &mut counts));
    progress.event(&Event::Step(Step::PutResult));
    let (raw, fraction_read) = read?;
    Ok(Rows { config, features, titles, raw, fraction_read })
}

impl Rows<'_> {
    /// Weights or ratings of the rows, ascending.
    pub fn ratings(&self) -> Vec<f32> {
        let mut ratings: Vec<f32> = self.raw.rows.iter().map(|row| row.weight).collect();
        ratings.sort_unstable_by(f32::total_cmp);
        ratings
    }

    /// Merges duplicates according to the signal and computes the profile.
    pub fn profile(self, signal: Signal) -> Result<Profile, RunError> {
        let Self { config, features, titles, raw, fraction_read } = self;
        let config = &TrainingConfig { signal, ..config.clone() };
        let mut rows = raw.counts.clone();
        let mut rows_of_user = vec![0_u64; raw.users.len()];
        for row in &raw.rows {
            if let Some(count) = rows_of_user.get_mut(row.user as usize) {
                *count += 1;
            }
        }
        let times = raw.times.as_ref().and_then(|times| Some((*times.iter().min()?, *times.iter().max()?)));
        let table = merge(raw, signal, None);
        rows.merged = table.duplicates;
        let degree = |bounds: &[u64]| match bounds {
            [start, end] => u32::try_from(end - start).unwrap_or(u32::MAX),
            _ => 0,
        };
        let mut user_degrees: Vec<u32> = table.offsets.windows(2).map(degree).collect();
        user_degrees.sort_unstable();
        let mut item_degrees = vec![0_u32; table.item_ids.len()];
        for item in &table.items {
            if let Some(degree) = item_degrees.get_mut(*item as usize) {
                *degree += 1;
            }
        }
        item_degrees.sort_unstable();
        let measurable = |split| model::measurable_users(config, &table, split);
        let id_bytes = table.user_ids.iter().chain(table.item_ids.iter()).map(|id| id.len() as u64).sum();
        let features = features.map(|features| features.finish(&table.item_ids)).transpose()?;
        let titled = titles.map(|(items, version)| items.count_titles(&version, &table.item_ids)).transpose()?;
        Ok(Profile {
            rows,
            fraction_read,
            user_degrees,
            item_degrees,
            most_active_user_rows: rows_of_user.into_iter().max().unwrap_or(0),
            id_bytes,
            times,
            measurable_by_time: times.map(|_| measurable(SplitKind::Time)).transpose()?,
            measurable_at_random: measurable(SplitKind::Random)?,
            cold_items: features.map(|features| features.cold_ids.len() as u64),
            titled,
        })
    }
}

impl Profile {
    /// Number of distinct users.
    pub fn users(&self) -> u64 {
        self.user_degrees.len() as u64
    }

    /// Number of distinct items.
    pub fn items(&self) -> u64 {
        self.item_degrees.len() as u64
    }

    /// Number of distinct (user, item) pairs.
    pub fn pairs(&self) -> u64 {
        self.rows.kept - self.rows.merged
    }
}
