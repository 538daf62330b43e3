//! Identity of what a short Job makes: when it was decided, and a hash.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hash::{Digest, REVISION_DIGITS};

/// Digits of the time in the text.
const TIME_DIGITS: usize = 10;

/// Time of a decision and the first digits of a hash: `1764370000-3f9a1c20be`. Texts sort by time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimedId {
    /// Unix time in seconds of the decision.
    pub decided_at: i64,
    /// The first ten digits of the hash.
    pub hash: String,
}

/// Text that is not an id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a valid id; expected ten digits, a dash and ten lower-case hex digits")]
pub struct InvalidTimedId(String);

impl TimedId {
    /// Id of a decision at `decided_at`.
    pub fn new(decided_at: i64, hash: &Digest) -> Self {
        Self { decided_at, hash: hash.revision().to_owned() }
    }

    /// Parses the output of `Display`.
    pub fn parse(text: &str) -> Option<Self> {
        let (time, hash) = text.split_once('-')?;
        let is_time = time.len() == TIME_DIGITS && time.bytes().all(|b| b.is_ascii_digit());
        let is_hash =
            hash.len() == REVISION_DIGITS && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !is_time || !is_hash {
            return None;
        }
        Some(Self { decided_at: time.parse().ok()?, hash: hash.to_owned() })
    }
}

impl fmt::Display for TimedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0width$}-{}", self.decided_at, self.hash, width = TIME_DIGITS)
    }
}

impl TryFrom<String> for TimedId {
    type Error = InvalidTimedId;

    fn try_from(text: String) -> Result<Self, InvalidTimedId> {
        Self::parse(&text).ok_or(InvalidTimedId(text))
    }
}

impl From<TimedId> for String {
    fn from(id: TimedId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_and_sort_by_time() {
        let hash = Digest::of(b"");
        let id = TimedId::new(1_764_370_000, &hash);
        assert_eq!(id.to_string(), "1764370000-e3b0c44298");
        assert_eq!(TimedId::parse("1764370000-e3b0c44298"), Some(id.clone()));
        let later = TimedId::new(1_764_370_001, &hash);
        assert!(id < later && id.to_string() < later.to_string());
        let earlier = TimedId::new(7, &hash);
        assert_eq!(earlier.to_string(), "0000000007-e3b0c44298");
        assert!(earlier.to_string() < id.to_string());
        for bad in ["1764370000", "1764370000-E3B0C44298", "176437000-e3b0c44298", "17643700001-e3b0c44298", "-"] {
            assert_eq!(TimedId::parse(bad), None, "{bad}");
        }
    }
}
