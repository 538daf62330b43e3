//! From a look at somebody's data to a resource for it: everything here is pure, and says why it thinks so.
//!
//! ```text
//! shape: delimiter, header ► columns: which is what ► signal: events or opinions ► sizes: factors, memory
//!                                                  └► resource: YAML for a cluster; report: text for a person
//! ```
//! Names of columns and files may be repeated; what stands in a column of ids, never.

pub mod columns;
pub mod place;
pub mod report;
pub mod resource;
pub mod shape;
pub mod signal;
pub mod sizes;

use recommender_trainer::{Profile, Stop};
use sidecar_contract::TrainingConfig;

use self::{columns::Columns, place::Place, signal::SignalGuess, sizes::Sizes};

/// All that was found out and chosen.
#[derive(Debug)]
pub struct Suggestion {
    /// `metadata.name`.
    pub name: String,
    /// The file or directory as it was named.
    pub path: String,
    /// What a run is told; the resource says the same.
    pub config: TrainingConfig,
    /// How the table is written, in a few words.
    pub shape: String,
    /// Which column is what, and why.
    pub columns: Columns,
    /// The same of the item table, and how that was named.
    pub items: Option<(Columns, String)>,
    /// What a row means, and why.
    pub signal: SignalGuess,
    /// What the rows come to.
    pub profile: Profile,
    /// The ratings of the rows, ascending; empty where a row counts 1.
    pub ratings: Vec<f32>,
    /// Where a cluster finds the data, and the item table.
    pub place: Place,
    /// See [`Self::place`].
    pub items_place: Option<Place>,
    /// What is chosen by size.
    pub sizes: Sizes,
}

/// The data is not what it should be.
pub fn bad_data(message: impl Into<String>) -> Stop {
    Stop::Failed { reason: recommender_trainer::FailureReason::DataInvalid, message: message.into() }
}

/// `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Lines of at most `width` characters, each behind `indent`; longer words stay whole.
pub fn wrapped(text: &str, first: &str, indent: &str, width: usize) -> String {
    let mut lines = first.to_owned();
    let mut used = first.chars().count();
    let mut at_start = true;
    for word in text.split(' ') {
        let length = word.chars().count();
        if !at_start && used + 1 + length > width {
            lines.push('\n');
            lines.push_str(indent);
            (used, at_start) = (indent.chars().count(), true);
        }
        if !at_start {
            lines.push(' ');
            used += 1;
        }
        lines.push_str(word);
        used += length;
        at_start = false;
    }
    lines.push('\n');
    lines
}
