//! The catalogue of a revision: titles, availability and filter columns of its items, in the order
//! of its items, apart from the model. A catalogue is replaced without training.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hash::{Digest, REVISION_DIGITS};

/// Digits of the time in a version.
const TIME_DIGITS: usize = 10;

/// Version of a catalogue: `<Unix seconds, ten digits>-<digits of the hash of its source>`. Texts
/// sort by time. Catalogues of several revisions that were made from one reading of the item table
/// have one version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CatalogueVersion {
    /// Unix time in seconds of the decision to read the item table.
    pub decided_at: i64,
    /// First digits of the hash of the item table's data version and of the columns that are read.
    /// Equal digits: equal content.
    pub source: String,
}

impl CatalogueVersion {
    /// Version of an item table that is read because of a decision at `decided_at`. `source` is the
    /// hash of all that the catalogue depends on, except the revision.
    pub fn new(decided_at: i64, source: &Digest) -> Self {
        Self { decided_at, source: source.revision().to_owned() }
    }

    /// Parses the output of `Display`.
    pub fn parse(text: &str) -> Option<Self> {
        let (time, source) = text.split_once('-')?;
        let is_time = time.len() == TIME_DIGITS && time.bytes().all(|b| b.is_ascii_digit());
        let is_source =
            source.len() == REVISION_DIGITS && source.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !is_time || !is_source {
            return None;
        }
        Some(Self { decided_at: time.parse().ok()?, source: source.to_owned() })
    }
}

impl fmt::Display for CatalogueVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0width$}-{}", self.decided_at, self.source, width = TIME_DIGITS)
    }
}

/// A catalogue in the store, as the serving config announces it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogueRef {
    /// Text of its [`CatalogueVersion`]. Answers repeat it; pods only compare it.
    pub version: String,
    /// SHA-256 of the file.
    pub digest: Digest,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Key of the file, relative to the prefix of the Recommender:
    /// `catalogue/<version>/<revision>`; see [`crate::KeyLayout::below`].
    pub key: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_round_trip_and_sort_by_time() {
        let source = Digest::of(b"");
        let version = CatalogueVersion::new(1_764_370_000, &source);
        assert_eq!(version.to_string(), "1764370000-e3b0c44298");
        assert_eq!(CatalogueVersion::parse("1764370000-e3b0c44298"), Some(version.clone()));
        let later = CatalogueVersion::new(1_764_370_001, &source);
        assert!(version < later && version.to_string() < later.to_string());
        let earlier = CatalogueVersion::new(7, &source);
        assert_eq!(earlier.to_string(), "0000000007-e3b0c44298");
        assert!(earlier.to_string() < version.to_string());
        for bad in ["1764370000", "1764370000-E3B0C44298", "176437000-e3b0c44298", "17643700001-e3b0c44298", "-"] {
            assert_eq!(CatalogueVersion::parse(bad), None, "{bad}");
        }
    }
}
