//! What a source comes to for a model: counted by the readers and the merging that a run uses, without fitting anything.

use sidecar_contract::{RowCounts, Signal, SplitKind, TrainingConfig};

use crate::{
    data::{Sources, Stats},
    failure::Stop,
    interactions::RawInteractions,
    merge::merge,
    model,
    progress::{Event, Progress, Step},
    run::Options,
};

/// Rows of a source, all or the first ones.
pub struct Rows<'a> {
    config: &'a TrainingConfig,
    sources: Sources<'a>,
    stats: Stats,
    raw: RawInteractions,
    share: f64,
}

/// What the rows come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Rows read, kept, dropped by reason, and merged.
    pub rows: RowCounts,
    /// Which share of the source was looked at, by bytes; 1 is all.
    pub share: f64,
    /// Different items of each user, ascending.
    pub user_degrees: Vec<u32>,
    /// Different users of each item, ascending.
    pub item_degrees: Vec<u32>,
    /// Rows of the user with the most.
    pub busiest_user_rows: u64,
    /// Bytes of all ids.
    pub id_bytes: u64,
    /// The oldest and the newest time, in microseconds since 1970.
    pub times: Option<(i64, i64)>,
    /// Users that a split by time leaves something to measure on; `None` without times.
    pub measurable_by_time: Option<u64>,
    /// The same for a random split.
    pub measurable_at_random: u64,
    /// Items with a title in the item table.
    pub titled: Option<u64>,
}

/// Reads up to `rows_max` rows as the config says. What a run would refuse is refused.
pub async fn read_rows<'a>(
    config: &'a TrainingConfig,
    rows_max: u64,
    progress: &dyn Progress,
    options: &Options,
) -> Result<Rows<'a>, Stop> {
    model::check(config)?;
    let sources = Sources::new(config, &options.data_dir, &options.secrets)?;
    let stats = sources.stat().await?;
    let mut counts = RowCounts::default();
    let read =
        tokio::task::block_in_place(|| sources.read_rows(&stats, options.limits, rows_max, progress, &mut counts));
    progress.event(&Event::Step(Step::PutResult));
    let (raw, share) = read?;
    Ok(Rows { config, sources, stats, raw, share })
}

impl Rows<'_> {
    /// What the rows weigh, or how they rate, ascending.
    pub fn ratings(&self) -> Vec<f32> {
        let mut ratings: Vec<f32> = self.raw.rows.iter().map(|row| row.weight).collect();
        ratings.sort_unstable_by(f32::total_cmp);
        ratings
    }

    /// Merges as the signal says, and counts.
    pub fn profile(self, signal: Signal) -> Result<Profile, Stop> {
        let Self { config, sources, stats, raw, share } = self;
        let config = &TrainingConfig { signal, ..config.clone() };
        let mut rows = raw.counts.clone();
        let mut rows_of_user = vec![0_u64; raw.users.len()];
        for row in &raw.rows {
            if let Some(count) = rows_of_user.get_mut(row.user as usize) {
                *count += 1;
            }
        }
        let times = raw.times.as_ref().and_then(|times| Some((*times.iter().min()?, *times.iter().max()?)));
        let merged = merge(raw, signal);
        rows.merged = merged.duplicates;
        let degree = |bounds: &[u64]| match bounds {
            [start, end] => u32::try_from(end - start).unwrap_or(u32::MAX),
            _ => 0,
        };
        let mut user_degrees: Vec<u32> = merged.offsets.windows(2).map(degree).collect();
        user_degrees.sort_unstable();
        let mut item_degrees = vec![0_u32; merged.item_ids.len()];
        for item in &merged.items {
            if let Some(degree) = item_degrees.get_mut(*item as usize) {
                *degree += 1;
            }
        }
        item_degrees.sort_unstable();
        let measurable = |split| model::measurable_users(config, &merged, split);
        let id_bytes = merged.user_ids.iter().chain(merged.item_ids.iter()).map(|id| id.len() as u64).sum();
        let titles = sources.read_items(stats.items(), &merged)?.titles;
        Ok(Profile {
            rows,
            share,
            user_degrees,
            item_degrees,
            busiest_user_rows: rows_of_user.into_iter().max().unwrap_or(0),
            id_bytes,
            times,
            measurable_by_time: times.map(|_| measurable(SplitKind::Time)).transpose()?,
            measurable_at_random: measurable(SplitKind::Random)?,
            titled: titles.map(|titles| titles.iter().filter(|title| !title.is_empty()).count() as u64),
        })
    }
}

impl Profile {
    /// Different users.
    pub fn users(&self) -> u64 {
        self.user_degrees.len() as u64
    }

    /// Different items.
    pub fn items(&self) -> u64 {
        self.item_degrees.len() as u64
    }

    /// Different pairs of a user and an item.
    pub fn pairs(&self) -> u64 {
        self.rows.kept - self.rows.merged
    }
}
