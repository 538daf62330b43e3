//! Tables of interactions and of items, in each format that the trainer reads: sampled as by
//! `suggest`, and read and merged as by a run.

use std::{
    fs::File,
    os::{fd::AsRawFd as _, unix::fs::FileExt as _},
    path::PathBuf,
};

use recommender_trainer::{Options, RunError, local_config, local_source, progress::Silent, read_rows, sample};
use rustix::fs::{MemfdFlags, memfd_create};
use sidecar_contract::{Column, Csv, Format, Items, RowCounts, Signal, TrainingConfig};
use tokio::runtime::Runtime;

/// Maximum number of rows that are read.
const ROWS_MAX: u64 = 10_000;

/// Comma-separated text. Returns whether interactions were read.
pub fn csv(input: &[u8]) -> bool {
    READER.with(|reader| reader.read(Format::Csv, input))
}

/// Tab-separated text. Returns whether interactions were read.
pub fn tsv(input: &[u8]) -> bool {
    READER.with(|reader| reader.read(Format::Tsv, input))
}

/// JSON Lines. Returns whether interactions were read.
pub fn jsonl(input: &[u8]) -> bool {
    READER.with(|reader| reader.read(Format::Jsonl, input))
}

/// Parquet. Returns whether interactions were read.
pub fn parquet(input: &[u8]) -> bool {
    READER.with(|reader| reader.read(Format::Parquet, input))
}

/// The decoders of Parquet may panic on invalid bytes: the trainer catches that and reports a
/// damaged file. libFuzzer's hook ends the process at any panic; this one ignores those in the
/// source files of other packages, which have absolute paths.
pub fn ignore_panics_of_decoders() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.location().is_none_or(|location| !location.file().starts_with('/')) {
            hook(panic);
        }
    }));
}

thread_local! {
    static READER: Reader = Reader::new();
}

/// A file in memory that holds the input, and the runtime that the trainer needs.
struct Reader {
    file: File,
    path: PathBuf,
    runtime: Runtime,
}

impl Reader {
    fn new() -> Self {
        let file = File::from(memfd_create("table", MemfdFlags::CLOEXEC).expect("Linux has files in memory"));
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
        Self { file, path, runtime: runtime.expect("threads can be started") }
    }

    fn read(&self, format: Format, input: &[u8]) -> bool {
        self.file.set_len(0).and_then(|()| self.file.write_all_at(input, 0)).expect("memory suffices");
        self.runtime.block_on(async {
            self.sample(format).await;
            let named = self.config(format);
            let with_items = TrainingConfig { items: Some(self.items(format)), ..named.clone() };
            let mut accepted = self.profile(&named, Signal::Implicit).await;
            accepted |= self.profile(&with_items, Signal::Explicit).await;
            if matches!(format, Format::Csv | Format::Tsv) {
                accepted |= self.profile(&self.numbered(format), Signal::Implicit).await;
            }
            accepted
        })
    }

    async fn sample(&self, format: Format) {
        let csv = Csv { header: false, delimiter: None };
        let source = local_source(&self.path);
        check(sample(&source, Some(format), &csv, "spec.data", ROWS_MAX, true).await);
    }

    /// Reads all rows, merges them, and reads the titles of their items. Returns whether there are
    /// any.
    async fn profile(&self, config: &TrainingConfig, signal: Signal) -> bool {
        let rows = read_rows(config, ROWS_MAX, &Silent, &Options::default()).await;
        let Some(profile) = check(rows).and_then(|rows| check(rows.profile(signal))) else { return false };
        let RowCounts { read, kept, dropped, merged, reinterpreted: _ } = &profile.rows;
        assert_eq!(*read, kept + dropped.values().sum::<u64>(), "{:?}", profile.rows);
        assert_eq!(profile.user_degrees.iter().map(|degree| u64::from(*degree)).sum::<u64>(), kept - merged);
        assert_eq!(profile.item_degrees.iter().map(|degree| u64::from(*degree)).sum::<u64>(), kept - merged);
        *kept > 0
    }

    /// Columns by name: `user_id`, `item_id`, and `rating` and `timestamp` if the table has them.
    fn config(&self, format: Format) -> TrainingConfig {
        TrainingConfig { format: Some(format), ..local_config(&self.path) }
    }

    /// The first four columns of text without a header.
    fn numbered(&self, format: Format) -> TrainingConfig {
        let mut config = self.config(format);
        config.csv.header = false;
        config.columns.user = Column::Index(0);
        config.columns.item = Column::Index(1);
        config.columns.rating = Some(Column::Index(2));
        config.columns.timestamp = Some(Column::Index(3));
        config
    }

    /// The same file as the table of items.
    fn items(&self, format: Format) -> Items {
        let named = |name: &str| Column::Name(name.to_owned());
        Items {
            source: local_source(&self.path),
            format: Some(format),
            csv: Csv::default(),
            id: named("item_id"),
            title: Some(named("title")),
            available: Some(named("available")),
            attributes: vec![named("kind")],
        }
    }
}

/// A table is what it is: an error is permanent, so that no run is repeated because of it.
fn check<T>(read: Result<T, RunError>) -> Option<T> {
    match read {
        Ok(read) => Some(read),
        Err(RunError::Permanent { .. }) => None,
        Err(RunError::Transient { message, .. }) => unreachable!("a table caused an error that is retried: {message}"),
    }
}
