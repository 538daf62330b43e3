//! Maps object keys to relative paths and back. Distinct keys have distinct paths, no path leaves
//! the root, and a key may be a prefix of another (`a` and `a/b`).
//!
//! A key splits at its slashes. The last part is a file `o_<part>`, each other part a directory
//! `d_<part>`. A part longer than `PIECE_BYTES` is split into directories `c_<piece>`, because file
//! systems limit names to 255 bytes. Bytes outside `A-Z a-z 0-9 . _ -` are written `%XX`. The
//! markers separate files from directories, and make `.`, `..` and the empty part ordinary names.

use std::path::{Path, PathBuf};

use crate::limits::{KEY_BYTES_MAX, KEY_SLASHES_MAX};

/// Max bytes of a key part in one name; with every byte escaped (three characters each), the name
/// stays below 255 bytes.
const PIECE_BYTES: usize = 64;
const DIRECTORY: &str = "d_";
const PIECE: &str = "c_";
const OBJECT: &str = "o_";

/// Invalid key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// Empty or too long.
    #[error("key has {0} bytes; expected 1 to {KEY_BYTES_MAX}")]
    Length(usize),
    /// Has too many levels.
    #[error("key has {0} slashes; expected at most {KEY_SLASHES_MAX}")]
    Depth(usize),
    /// Contains a character that XML, the format of listings, cannot represent.
    #[error("key contains the character {0:?}, which a listing cannot represent")]
    Character(char),
}

/// Rejects keys that cannot be stored or listed.
pub fn check(key: &str) -> Result<(), KeyError> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(KeyError::Length(key.len()));
    }
    let slashes = key.matches('/').count();
    if slashes > KEY_SLASHES_MAX {
        return Err(KeyError::Depth(slashes));
    }
    match key.chars().find(|c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')) {
        Some(bad) => Err(KeyError::Character(bad)),
        None => Ok(()),
    }
}

/// Path of an object, relative to the root of the objects.
pub fn to_path(key: &str) -> Result<PathBuf, KeyError> {
    check(key)?;
    let (parents, name) = key.rsplit_once('/').map_or(("", key), |(parents, name)| (parents, name));
    let mut path = directory_of(if parents.len() < key.len() - name.len() { Some(parents) } else { None });
    push_part(&mut path, OBJECT, name);
    Ok(path)
}

/// Deepest directory that contains every key with this prefix.
pub fn prefix_directory(prefix: &str) -> PathBuf {
    directory_of(prefix.rsplit_once('/').map(|(parents, _)| parents))
}

/// Decoded name of a file or directory below the root.
#[derive(Debug, PartialEq, Eq)]
pub enum DecodedName {
    /// A directory: the keys below it continue with these bytes.
    Directory(Vec<u8>),
    /// An object: its key ends with these bytes.
    Object(Vec<u8>),
}

/// Decodes one name of a path from [`to_path`]; `None` for any other name.
pub fn decode_name(name: &str) -> Option<DecodedName> {
    if let Some(part) = name.strip_prefix(DIRECTORY) {
        let mut bytes = unescape(part)?;
        bytes.push(b'/');
        return Some(DecodedName::Directory(bytes));
    }
    if let Some(part) = name.strip_prefix(PIECE) {
        return unescape(part).map(DecodedName::Directory);
    }
    unescape(name.strip_prefix(OBJECT)?).map(DecodedName::Object)
}

/// Key of a path from [`to_path`]; `None` for any other path.
pub fn to_key(path: &Path) -> Option<String> {
    let mut key = Vec::new();
    let mut names = path.iter().peekable();
    while let Some(name) = names.next() {
        match (decode_name(name.to_str()?)?, names.peek()) {
            (DecodedName::Directory(bytes), Some(_)) | (DecodedName::Object(bytes), None) => key.extend(bytes),
            (DecodedName::Directory(_), None) | (DecodedName::Object(_), Some(_)) => return None,
        }
    }
    String::from_utf8(key).ok()
}

fn directory_of(parents: Option<&str>) -> PathBuf {
    let mut path = PathBuf::new();
    for part in parents.into_iter().flat_map(|parents| parents.split('/')) {
        push_part(&mut path, DIRECTORY, part);
    }
    path
}

fn push_part(path: &mut PathBuf, marker: &str, part: &str) {
    let mut rest = part.as_bytes();
    while let Some((piece, after)) = rest.split_at_checked(PIECE_BYTES).filter(|(_, after)| !after.is_empty()) {
        path.push(escape(PIECE, piece));
        rest = after;
    }
    path.push(escape(marker, rest));
}

fn escape(marker: &str, bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut name = String::from(marker);
    for &byte in bytes {
        if is_plain(byte) {
            name.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(name, "%{byte:02X}");
        }
    }
    name
}

fn unescape(name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        if is_plain(byte) {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (byte, digit(rest.next()), digit(rest.next())) {
            (b'%', Some(high), Some(low)) => bytes.push(high << 4 | low),
            _ => return None,
        }
    }
    Some(bytes)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(key: &str) -> String {
        to_path(key).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn paths_are_readable_and_stay_below_the_root() {
        assert_eq!(path("id/shop/movies/runs/0000000001-0a.json"), "d_id/d_shop/d_movies/d_runs/o_0000000001-0a.json");
        assert_eq!(path("a"), "o_a");
        assert_eq!(path("a/"), "d_a/o_");
        assert_eq!(path("/"), "d_/o_");
        assert_eq!(path("../.."), "d_../o_..");
        assert_eq!(path("ä b"), "o_%C3%A4%20b");
        assert_eq!(path(&"x".repeat(64)), format!("o_{}", "x".repeat(64)));
        assert_eq!(path(&"x".repeat(65)), format!("c_{}/o_x", "x".repeat(64)));
        assert_eq!(prefix_directory("id/shop/mov").to_str(), Some("d_id/d_shop"));
        assert_eq!(prefix_directory("id").to_str(), Some(""));
        assert_eq!(check(""), Err(KeyError::Length(0)));
        assert_eq!(check(&"x".repeat(1025)), Err(KeyError::Length(1025)));
        assert_eq!(check("a\0b"), Err(KeyError::Character('\0')));
        assert_eq!(check(&"a/".repeat(16)), Ok(()));
        assert_eq!(check(&"a/".repeat(17)), Err(KeyError::Depth(17)));
        for foreign in ["x", "d_a", "o_a/o_b", "o_%4", "o_%zz", "o_a b"] {
            assert_eq!(to_key(Path::new(foreign)), None, "{foreign}");
        }
    }

    /// Keys with the special cases of the mapping: slashes, dots, markers, escapes, non-ASCII
    /// characters, long parts.
    fn keys() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just(String::new()),
            "[ad./_%c-]{1,4}",
            "\\PC{1,20}",
            (62_usize..67).prop_map(|length| "x".repeat(length)),
            (20_usize..24).prop_map(|length| "ä€".repeat(length)),
        ];
        prop::collection::vec(part, 1..6)
            .prop_map(|parts| parts.join("/"))
            .prop_filter("valid key", |key| check(key).is_ok())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

        #[test]
        fn keys_round_trip(key in keys()) {
            let path = to_path(&key).unwrap();
            prop_assert_eq!(to_key(&path), Some(key.clone()));
            prop_assert!(path.is_relative());
            for name in &path {
                prop_assert!(name.len() <= 255 && name != ".." && name != ".", "{:?}", name);
            }
            prop_assert!(path.as_os_str().len() <= 3 * KEY_BYTES_MAX + 64);
        }

        #[test]
        fn object_paths_never_conflict_with_directories(a in keys(), b in keys()) {
            let (path_a, path_b) = (to_path(&a).unwrap(), to_path(&b).unwrap());
            prop_assert_eq!(a == b, path_a == path_b);
            prop_assert!(a == b || !path_b.starts_with(&path_a));
            prop_assert!(!b.starts_with(&a) || path_b.starts_with(prefix_directory(&a)));
        }
    }
}
