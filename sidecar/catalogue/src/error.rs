//! Errors of writing and opening catalogues, and of filters.

use std::path::PathBuf;

use sidecar_contract::Digest;
use tensor_file::TensorFileError;

use crate::limits::{FORMAT_VERSION, KNOWN_BYTES_MAX, VERSION_BYTES_MAX};

/// Error of writing or opening a catalogue.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The file could not be read.
    #[error("cannot read catalogue {path}")]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// The catalogue could not be written.
    #[error("cannot write the catalogue")]
    Write(#[source] std::io::Error),
    /// The file is not a safetensors file, or does not contain a catalogue.
    #[error("not a Recmesh catalogue: {0}")]
    NotACatalogue(String),
    /// The file has the format of another release.
    #[error(
        "catalogue format version {found} is not supported (this build reads version {FORMAT_VERSION}): make it again, or \
         use a release that supports this version"
    )]
    UnknownVersion {
        /// Format version of the file.
        found: u64,
    },
    /// A tensor is missing or not valid.
    #[error("catalogue is corrupt: {tensor}: {problem}")]
    Corrupt {
        /// Name of the tensor.
        tensor: String,
        /// Problem of the tensor.
        problem: String,
    },
    /// The content does not match the digest.
    #[error("catalogue is corrupt: its SHA-256 is {found}, expected {expected}")]
    WrongDigest {
        /// Expected digest.
        expected: Digest,
        /// Digest of the content.
        found: Digest,
    },
    /// The catalogue has the items of another revision.
    #[error(
        "the catalogue belongs to revision {} with {found_items} items, not to revision {} with {items} items: make it again \
         for this revision",
        found.revision(), expected.revision()
    )]
    OtherRevision {
        /// Revision that the catalogue is to be used with.
        expected: Digest,
        /// Items of that revision.
        items: u64,
        /// Revision of the catalogue.
        found: Digest,
        /// Items of the catalogue.
        found_items: u64,
    },
    /// A column that cannot be written.
    #[error("column {column:?}: {problem}")]
    Column {
        /// Name of the column.
        column: String,
        /// Problem of the column, and what to try.
        problem: String,
    },
    /// A version that is not a valid text.
    #[error("version {0:?} is not valid: expected 1 to {VERSION_BYTES_MAX} letters, digits, '.', '_' and '-'")]
    Version(String),
    /// Too many items for one catalogue.
    #[error("{0} items are too many for one catalogue")]
    TooManyItems(usize),
}

impl From<TensorFileError> for CatalogueError {
    fn from(error: TensorFileError) -> Self {
        match error {
            TensorFileError::Container(problem) => Self::NotACatalogue(problem),
            TensorFileError::Corrupt { tensor, problem } => Self::Corrupt { tensor, problem },
        }
    }
}

/// Why a filter cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// The catalogue does not have the column.
    #[error("where: the catalogue has no column {column:?}; {}", known_columns(known))]
    UnknownColumn {
        /// Name in the filter.
        column: String,
        /// Names of all columns.
        known: Vec<String>,
    },
    /// No item has the value.
    #[error("where.{column}: no item has the value {value:?}; values are {}", names(known, *total))]
    UnknownValue {
        /// Name of the column.
        column: String,
        /// Value in the filter.
        value: String,
        /// Some values of the column.
        known: Vec<String>,
        /// Number of values of the column.
        total: usize,
    },
    /// Text in a condition on numbers or times.
    #[error("where.{column}: {value:?} is not a {expected}")]
    NotANumber {
        /// Name of the column.
        column: String,
        /// Value in the filter.
        value: String,
        /// What is expected.
        expected: &'static str,
    },
    /// A range of a category column.
    #[error("where.{column}: the column has categories, which have no order: list values in place of min and max")]
    NotARange {
        /// Name of the column.
        column: String,
    },
    /// A range without values.
    #[error("where.{column}: min is above max; swap them")]
    EmptyRange {
        /// Name of the column.
        column: String,
    },
}

fn known_columns(known: &[String]) -> String {
    if known.is_empty() {
        "it has no filter columns".to_owned()
    } else {
        format!("columns are {}", names(known, known.len()))
    }
}

/// The first of `total` names, as many as fit [`KNOWN_BYTES_MAX`].
fn names(known: &[String], total: usize) -> String {
    let mut text = String::new();
    let mut named = 0;
    for name in known {
        let quoted = format!("{name:?}");
        if text.len() + quoted.len() > KNOWN_BYTES_MAX {
            break;
        }
        if named > 0 {
            text.push_str(", ");
        }
        text.push_str(&quoted);
        named += 1;
    }
    match total - named {
        0 => text,
        rest => format!("{text} and {rest} more"),
    }
}
