//! Training: from rows in a file or bucket to a snapshot and a run result in the store.
//!
//! ```text
//! stat ► read ► intern ► split ► tune ► fit ► measure ► refit
//!      ► put snapshot ► put runs/<run>.json (create-only)
//! ```
//! [`run`] is the entry point of the trainer's Job; [`train_to_file`], [`evaluate`] and [`tune`]
//! run the same steps without a store. Equal rows in any order, on any number of threads, give an
//! equal snapshot. Invalid rows are dropped and counted. A source that does not match the resource
//! fails the run, and the message names the field to change. Messages contain no user ids. One
//! exception is the first line of a table: it is listed when a column is not found in it.
//!
//! The functions that train need a multi-threaded tokio runtime because they compute in place
//! (`block_in_place`).

mod catalogue_run;
mod data;
mod dropped;
mod events;
mod failure;
mod feature_table;
mod gzip;
mod half_life;
mod interactions;
mod interner;
mod item_features;
mod item_rows;
pub mod limits;
mod make_catalogue;
mod memory_limit;
mod merge;
mod model;
mod offline;
mod options;
mod preview;
mod profile;
pub mod progress;
mod read;
mod reinterpreted;
mod row_forms;
mod run;
mod sample;
mod snapshot_size;
mod source;
mod table;
mod termination_message;
mod time_units;
mod timestamp;
mod weights;

pub use catalogue_run::{Refreshed, refresh_catalogue};
pub use failure::{FailureReason, RetryReason, RunError};
pub use limits::Limits;
pub use make_catalogue::{ItemTable, MadeCatalogue, ModelItems, TableVersion};
pub use memory_limit::MemoryLimit;
pub use model::{Trained, Tuned, memory_forecast};
pub use offline::{TrainedFile, describe_metrics, evaluate, local_config, local_source, train_to_file, tune};
pub use options::{Options, Secrets};
pub use profile::{Profile, Rows, read_rows};
pub use progress::Progress;
pub use run::{Finished, run};
pub use sample::{COLUMNS_SAMPLED_MAX, ROWS_SAMPLED_MAX, Sample, Values, sample};
pub use snapshot_size::SnapshotSize;
pub use table::format::format_of;
pub use termination_message::{termination_message, write_termination_message};
pub use timestamp::day;
