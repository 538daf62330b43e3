//! Key layout in the store, below the prefix of a Recommender.
//!
//! ```text
//! <installation id>/<namespace>/<name>/snapshots/<sha256>.safetensors
//!                                      runs/<number, ten digits>-<fingerprint, ten digits>.json
//!                                      catalogue/<version>/<revision, 64 digits>
//!                                      catalogue/<version>/<revision, 64 digits>.json
//!                                      batches/<id>.json
//! ```
//! The JSON document beside a catalogue is created after it, exactly once, and commits it.
//! Numbers are padded so that keys sort in the order of the runs.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{hash::Digest, timed_id::TimedId};

/// Digits of the run number in a key.
const NUMBER_DIGITS: usize = 10;
/// Hex digits of the fingerprint in a key and in the name of a Job.
pub const FINGERPRINT_DIGITS: usize = 10;

/// Id of a run: its number and the hash of its attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunId {
    /// Increases from 1 within a Recommender. The result of a lower number never replaces that of a
    /// higher one.
    pub number: u32,
    /// First digits of the attempt's hash, so that the name identifies the inputs.
    pub attempt: String,
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0width$}-{}", self.number, self.attempt, width = NUMBER_DIGITS)
    }
}

impl RunId {
    /// Parses the output of `Display`.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, attempt) = text.split_once('-')?;
        let canonical = number.len() == NUMBER_DIGITS && number.bytes().all(|b| b.is_ascii_digit());
        let hex = attempt.len() == FINGERPRINT_DIGITS && attempt.bytes().all(|b| b.is_ascii_hexdigit());
        if !canonical || !hex {
            return None;
        }
        Some(Self { number: number.parse().ok()?, attempt: attempt.to_owned() })
    }
}

/// Keys below the prefix of one Recommender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyLayout {
    prefix: String,
}

impl KeyLayout {
    /// Layout below `prefix`, which ends with a slash, or is empty for a plain directory.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    /// `<installation id>/<namespace>/<name>/`.
    pub fn recommender_prefix(installation_id: &str, namespace: &str, name: &str) -> String {
        format!("{installation_id}/{namespace}/{name}/")
    }

    /// Key of the snapshot with this digest.
    pub fn snapshot(&self, digest: &Digest) -> String {
        format!("{}snapshots/{digest}.safetensors", self.prefix)
    }

    /// Key of the result of this run.
    pub fn run(&self, run: &RunId) -> String {
        format!("{}runs/{run}.json", self.prefix)
    }

    /// Prefix of all run results.
    pub fn runs(&self) -> String {
        format!("{}runs/", self.prefix)
    }

    /// Prefix of all snapshots.
    pub fn snapshots(&self) -> String {
        format!("{}snapshots/", self.prefix)
    }

    /// Key of an object whose key relative to the prefix is given.
    pub fn below(&self, relative: &str) -> String {
        format!("{}{relative}", self.prefix)
    }

    /// Key of the catalogue of a revision, relative to the prefix.
    pub fn relative_catalogue(version: &TimedId, revision: &Digest) -> String {
        format!("catalogue/{version}/{revision}")
    }

    /// Key of the catalogue of a revision.
    pub fn catalogue(&self, version: &TimedId, revision: &Digest) -> String {
        self.below(&Self::relative_catalogue(version, revision))
    }

    /// Key of the document that commits that catalogue.
    pub fn catalogue_result(&self, version: &TimedId, revision: &Digest) -> String {
        format!("{}.json", self.catalogue(version, revision))
    }

    /// Prefix of all catalogues and of the documents that commit them.
    pub fn catalogues(&self) -> String {
        format!("{}catalogue/", self.prefix)
    }

    /// Parses a key of [`Self::catalogue_result`].
    pub fn parse_catalogue_result_key(&self, key: &str) -> Option<(TimedId, Digest)> {
        let (version, revision) = key.strip_prefix(&self.catalogues())?.strip_suffix(".json")?.split_once('/')?;
        Some((TimedId::parse(version)?, Digest::try_from(revision.to_owned()).ok()?))
    }

    /// Key of the result of a batch.
    pub fn batch(&self, id: &TimedId) -> String {
        format!("{}{id}.json", self.batches())
    }

    /// Prefix of all results of batches.
    pub fn batches(&self) -> String {
        format!("{}batches/", self.prefix)
    }

    /// Parses a key of [`Self::batch`].
    pub fn parse_batch_key(&self, key: &str) -> Option<TimedId> {
        TimedId::parse(key.strip_prefix(&self.batches())?.strip_suffix(".json")?)
    }

    /// Parses a key of [`Self::run`].
    pub fn parse_run_key(&self, key: &str) -> Option<RunId> {
        RunId::parse(key.strip_prefix(&self.runs())?.strip_suffix(".json")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn catalogue_keys_round_trip() {
        let keys = KeyLayout::new(KeyLayout::recommender_prefix("1b2c", "shop", "movies"));
        let (version, revision) = (TimedId::new(1_764_370_000, &Digest::of(b"")), Digest::of(b"model"));
        let file = keys.catalogue(&version, &revision);
        assert_eq!(file, format!("1b2c/shop/movies/catalogue/1764370000-e3b0c44298/{revision}"));
        assert_eq!(keys.parse_catalogue_result_key(&file), None);
        let result = keys.catalogue_result(&version, &revision);
        assert_eq!(keys.parse_catalogue_result_key(&result), Some((version, revision)));
    }

    #[test]
    fn batch_keys_round_trip() {
        let keys = KeyLayout::new(KeyLayout::recommender_prefix("1b2c", "shop", "movies"));
        let id = TimedId::new(1_764_370_000, &Digest::of(b""));
        assert_eq!(keys.batch(&id), "1b2c/shop/movies/batches/1764370000-e3b0c44298.json");
        assert_eq!(keys.parse_batch_key(&keys.batch(&id)), Some(id));
        assert_eq!(keys.parse_batch_key("1b2c/shop/movies/batches/1764370000.json"), None);
    }

    #[test]
    fn run_keys_round_trip() {
        let keys = KeyLayout::new(KeyLayout::recommender_prefix("1b2c", "shop", "movies"));
        let run = RunId { number: 12, attempt: "0123456789".into() };
        assert_eq!(keys.run(&run), "1b2c/shop/movies/runs/0000000012-0123456789.json");
        assert_eq!(keys.parse_run_key(&keys.run(&run)), Some(run));
        for bad in ["1b2c/shop/movies/runs/12-0123456789.json", "1b2c/shop/movies/runs/0000000012.json", "x"] {
            assert_eq!(keys.parse_run_key(bad), None, "{bad}");
        }
    }
}
