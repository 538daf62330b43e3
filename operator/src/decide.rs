//! The decisions: whether to train now, whether a model passes, which revision should serve. Pure: facts in, decisions out.

mod due;
mod gate;
mod hashes;
mod retention;
mod serving;
mod training;

pub use due::{Cause, Due, Past, due, is_honoured, is_trained, newest_model};
pub use gate::{Verdict, gate};
pub use hashes::{attempt, config_hash, training_config, wanted};
pub use retention::{Garbage, Named, garbage, orphans};
pub use serving::{Choice, Serving, digest, incumbent, loads_first, names, pin, serving};
pub use training::{Backoff, Failures, Rhythm, Training, failures, training};

#[cfg(test)]
mod tests;
