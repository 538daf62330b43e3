//! Content hashes, which name revisions and compare documents.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// SHA-256 as 64 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// Hex digits of a digest that form the revision name.
pub const REVISION_DIGITS: usize = 10;

/// Text that is not a digest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a valid digest; expected 64 lower-case hex digits")]
pub struct InvalidDigest(String);

impl Digest {
    /// Digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(hex::encode(Sha256::digest(bytes)))
    }

    /// Digest from a computed hash.
    pub fn from_hash(hash: [u8; 32]) -> Self {
        Self(hex::encode(hash))
    }

    /// All 64 hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first ten hex digits: the human-readable revision name.
    pub fn revision(&self) -> &str {
        self.0.get(..REVISION_DIGITS).unwrap_or(&self.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        let hex = text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex { Ok(Self(text)) } else { Err(InvalidDigest(text)) }
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// JSON with sorted keys and without white space: equal documents yield equal bytes.
///
/// # Panics
/// Never: every type of this crate serializes (string keys, finite or null numbers).
pub fn canonical_json<T: Serialize>(value: &T) -> String {
    // `serde_json::Value` keeps its maps sorted, because the `preserve_order` feature is off; a
    // test verifies this.
    serde_json::to_value(value).map(|v| v.to_string()).expect("contract types serialize")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_of_the_empty_message_matches_the_test_vector() {
        // FIPS 180-4 test vector for the empty message.
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").as_str(), empty);
        assert_eq!(Digest::of(b"").revision(), "e3b0c44298");
    }

    #[test]
    fn keys_are_sorted() {
        let value: serde_json::Value = serde_json::from_str(r#"{"b": 1, "a": {"d": 1, "c": 2}}"#).unwrap();
        assert_eq!(canonical_json(&value), r#"{"a":{"c":2,"d":1},"b":1}"#);
    }
}
