//! The decisions: whether to train now, whether a model passes, which revision should serve. Pure: facts in, decisions out.

mod gate;
mod hashes;
mod retention;
mod serving;
mod training;

pub use gate::{Verdict, gate};
pub use hashes::{attempt, config_hash, training_config};
pub use retention::{Garbage, Named, garbage, orphans};
pub use serving::{Choice, Serving, digest, incumbent, loads_first, names, pin, serving};
pub use training::{Backoff, Training, is_trained, training};

#[cfg(test)]
mod tests;
