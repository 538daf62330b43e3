//! The metadata entry of the file.

use serde::{Deserialize, Serialize};
use sidecar_contract::{Digest, canonical_json};

use crate::{
    error::CatalogueError,
    limits::{COLUMN_NAME_BYTES_MAX, COLUMNS_MAX, FORMAT_VERSION, VERSION_BYTES_MAX},
};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ColumnKind {
    /// Any number of text values for each item.
    Category,
    /// At most one number for each item.
    Number,
    /// At most one time for each item, in seconds since 1970.
    Time,
}

/// Description of a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: ColumnKind,
}

/// Description of a catalogue. Contains no time, host or path of its making.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    pub(crate) format_version: u64,
    pub(crate) version: String,
    pub(crate) revision: Digest,
    pub(crate) items: u64,
    /// Sorted by name.
    pub(crate) columns: Vec<Column>,
}

/// The part of the entry that every reader must understand.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Requirements {
    format_version: u64,
}

impl Metadata {
    pub(crate) fn to_json(&self) -> String {
        canonical_json(self)
    }

    /// Parses and checks the entry of a file.
    pub(crate) fn from_json(text: &str) -> Result<Self, CatalogueError> {
        let malformed = |error: serde_json::Error| CatalogueError::NotACatalogue(format!("metadata: {error}"));
        // Before the rest, which may have another form in another version.
        let Requirements { format_version } = serde_json::from_str(text).map_err(malformed)?;
        if format_version != FORMAT_VERSION {
            return Err(CatalogueError::UnknownVersion { found: format_version });
        }
        let metadata: Self = serde_json::from_str(text).map_err(malformed)?;
        metadata.check()?;
        Ok(metadata)
    }

    fn check(&self) -> Result<(), CatalogueError> {
        let bad = |problem: &str| Err(CatalogueError::NotACatalogue(format!("metadata: {problem}")));
        check_version(&self.version)?;
        if self.items > u64::from(u32::MAX) {
            return bad("the number of items exceeds 32 bits");
        }
        if self.columns.len() > COLUMNS_MAX {
            return bad("too many columns");
        }
        let names = || self.columns.iter().map(|column| &column.name);
        if !names().all(|name| is_column_name(name)) || !names().is_sorted_by(|before, after| before < after) {
            return bad("the names of the columns are not valid, not sorted or not unique");
        }
        Ok(())
    }
}

/// Whether a text can be the name of a column.
pub(crate) fn is_column_name(name: &str) -> bool {
    (1..=COLUMN_NAME_BYTES_MAX).contains(&name.len())
}

/// Checks the version of a catalogue.
pub(crate) fn check_version(version: &str) -> Result<(), CatalogueError> {
    let is_valid = (1..=VERSION_BYTES_MAX).contains(&version.len())
        && version.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if is_valid {
        Ok(())
    } else {
        let shown = version.get(..version.floor_char_boundary(VERSION_BYTES_MAX)).unwrap_or_default();
        Err(CatalogueError::Version(shown.to_owned()))
    }
}
