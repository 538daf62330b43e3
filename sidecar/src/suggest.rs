//! Suggests a resource for a data file. Everything here is pure, and gives a reason for each guess.
//!
//! ```text
//! shape: delimiter, header ► columns: user, item, … ► signal ► sizes: factors, memory
//!                                                             ├► resource: YAML for a cluster
//!                                                             └► report: text for a terminal
//! ```
//! Names of columns and files may be printed; values of id columns never are.

pub mod columns;
pub mod location;
pub mod report;
pub mod resource;
pub mod shape;
pub mod signal;
pub mod sizes;

use recommender_trainer::{Profile, RunError};
use sidecar_contract::TrainingConfig;

use self::{columns::Columns, location::DataLocation, signal::SignalGuess, sizes::Sizes};

/// What was detected and chosen.
#[derive(Debug)]
pub struct Suggestion {
    /// `metadata.name`.
    pub name: String,
    /// The file or directory, as given on the command line.
    pub path: String,
    /// Training config; the resource renders the same settings.
    pub config: TrainingConfig,
    /// Short description of the file's format.
    pub shape: String,
    /// Roles of the columns, with reasons.
    pub columns: Columns,
    /// The same for the item table, and its path as given.
    pub items: Option<(Columns, String)>,
    /// What a row means, with the reason.
    pub signal: SignalGuess,
    /// Statistics of the rows.
    pub profile: Profile,
    /// The ratings of the rows, ascending; empty if each row counts 1.
    pub ratings: Vec<f32>,
    /// Where the cluster reads the interactions.
    pub location: DataLocation,
    /// Where the cluster reads the item table.
    pub items_location: Option<DataLocation>,
    /// Settings that depend on the size of the data.
    pub sizes: Sizes,
}

/// An error about the content of the data.
pub fn bad_data(message: impl Into<String>) -> RunError {
    RunError::Permanent { reason: recommender_trainer::FailureReason::DataInvalid, message: message.into() }
}

/// `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Wraps text to lines of at most `width` characters. The first line starts with `first`, the
/// others with `indent`; longer words stay whole.
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
