//! Training: from rows in a file or bucket to a snapshot and a run result in the store.
//!
//! ```text
//! stat ► read ► intern ► split ► tune ► fit ► measure ► refit ► put snapshot ► put runs/<run>.json (create-only)
//! ```
//! [`run`] is what the trainer's Job does; [`train_to_file`], [`evaluate`] and [`tune`] are the same steps without a store.
//! Equal rows in any order, on any number of threads, give an equal snapshot. Bad rows are counted and left out; a source
//! that cannot be what the resource says fails with what to change. Ids of users appear in no message, but for the first
//! line of a table, which is listed when a column is not found in it.
//!
//! The functions that train need a multi-threaded tokio runtime: they do the arithmetic in place.

mod data;
mod dropped;
mod failure;
mod head;
mod hint;
mod interactions;
mod interner;
mod items_table;
mod kinds;
pub mod limits;
mod merge;
mod model;
mod offline;
mod profile;
pub mod progress;
mod read;
mod run;
mod sample;
mod source;
mod table;
mod timestamp;
mod weights;

pub use failure::{FailureReason, Stop};
pub use hint::{termination_message, write_termination_message};
pub use limits::Limits;
pub use model::{Trained, Tuned, memory_forecast};
pub use offline::{TrainedFile, describe_metrics, evaluate, local_config, local_source, train_to_file, tune};
pub use profile::{Profile, Rows, read_rows};
pub use progress::Progress;
pub use run::{Finished, Options, Secrets, run};
pub use sample::{COLUMNS_SAMPLED_MAX, ROWS_SAMPLED_MAX, Sample, Values, sample};
pub use table::format::format_of;
pub use timestamp::day;
