//! Cursors: where a list continues. A cursor holds the last item of a page and a digest of the
//! question, so that the server keeps nothing between pages.
//!
//! The key of its MAC is derived from the digest of the snapshot, which every pod that serves the
//! revision has. A client can only continue a list of its own, whatever it knows: the MAC tells
//! damaged texts from cursors, it protects no secret.

use base64_simd::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use sidecar_contract::Digest;

use crate::{
    answer::Source,
    ask::{Ask, Filter, HistoryEntry, Query},
    error::AnswerError,
};

/// Form of the bytes of a cursor; another form gets another number.
const VERSION: u8 = 1;
/// Length of a revision, in bytes: the ten digits that name it.
const REVISION_BYTES: usize = 5;
/// Length of the digest of the question, in bytes.
const QUESTION_BYTES: usize = 8;
/// Length of the MAC, in bytes.
const MAC_BYTES: usize = 16;
/// Length of all before the MAC: version, revision, question, source, row.
const BODY_BYTES: usize = 1 + REVISION_BYTES + QUESTION_BYTES + 1 + 4;
/// Separates this use of the digest from others.
const KEY_CONTEXT: &[u8] = b"recmesh cursor 1";

/// Sources by their number in a cursor. New ones are appended.
const SOURCES: [Source; 4] = [Source::Model, Source::FoldIn, Source::Popular, Source::Similar];

/// The last item of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    /// Its row.
    pub row: u32,
    /// What ranked it.
    pub source: Source,
}

impl Last {
    /// The cursor to the page after this item.
    pub fn encode(self, ask: &Ask, revision: &Digest) -> String {
        let mut bytes = Vec::with_capacity(BODY_BYTES + MAC_BYTES);
        bytes.push(VERSION);
        bytes.extend(revision_bytes(revision));
        bytes.extend(question(ask));
        let source = SOURCES.iter().position(|source| *source == self.source).unwrap_or_default();
        bytes.extend(u8::try_from(source));
        bytes.extend(self.row.to_le_bytes());
        let mac = mac(revision, &bytes).finalize().into_bytes();
        bytes.extend(mac.iter().take(MAC_BYTES));
        URL_SAFE_NO_PAD.encode_to_string(bytes)
    }

    /// The last item of the page that a cursor was given with.
    ///
    /// # Errors
    /// A text that is not a cursor, or a cursor of another revision or question.
    pub fn decode(cursor: &str, ask: &Ask, revision: &Digest) -> Result<Self, AnswerError> {
        let bytes = URL_SAFE_NO_PAD.decode_to_vec(cursor).map_err(|_| AnswerError::CursorInvalid)?;
        let (body, found_mac) = bytes.split_first_chunk::<BODY_BYTES>().ok_or(AnswerError::CursorInvalid)?;
        let [version, rest @ ..] = body;
        let (found_revision, rest) = rest.split_at(REVISION_BYTES);
        let (found_question, rest) = rest.split_at(QUESTION_BYTES);
        let [source, row @ ..] = rest else { return Err(AnswerError::CursorInvalid) };
        let row = <[u8; 4]>::try_from(row).map(u32::from_le_bytes);
        let (Ok(row), Some(source)) = (row, SOURCES.get(usize::from(*source))) else {
            return Err(AnswerError::CursorInvalid);
        };
        if *version != VERSION || found_mac.len() != MAC_BYTES {
            return Err(AnswerError::CursorInvalid);
        }
        if found_revision != revision_bytes(revision) {
            return Err(AnswerError::CursorGone { revision: hex::encode(found_revision) });
        }
        mac(revision, body).verify_truncated_left(found_mac).map_err(|_| AnswerError::CursorInvalid)?;
        if found_question != question(ask) {
            return Err(AnswerError::CursorOfOtherRequest);
        }
        Ok(Self { row, source: *source })
    }
}

fn revision_bytes(revision: &Digest) -> Vec<u8> {
    hex::decode(revision.revision()).unwrap_or_default()
}

fn mac(revision: &Digest, body: &[u8]) -> Hmac<Sha256> {
    let key = Sha256::new().chain_update(KEY_CONTEXT).chain_update(revision.as_str()).finalize();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key may have any length");
    mac.update(body);
    mac
}

/// Digest of what decides the list of a question: everything but the number of items, the page and
/// what does not change it.
fn question(ask: &Ask) -> [u8; QUESTION_BYTES] {
    let Ask { request_id: _, query, n: _, filter, page: _, explain: _, deadline: _, context: _ } = ask;
    let Filter { exclude, include_seen, candidates, matching } = filter;
    let mut hash = Question(Sha256::new());
    match query {
        Query::Recommend { user, history } => {
            hash.number(1);
            hash.texts(user.iter());
            hash.texts(history.iter().map(|HistoryEntry { item, rating: _ }| item));
            for HistoryEntry { item: _, rating } in history {
                hash.number(rating.map_or(u64::MAX, |rating| u64::from(rating.to_bits())));
            }
        }
        Query::Similar { item } => {
            hash.number(2);
            hash.texts([item].into_iter());
        }
    }
    hash.number(u64::from(*include_seen));
    hash.texts(exclude.iter());
    hash.texts(candidates.iter().flatten());
    for (column, condition) in matching.conditions() {
        hash.texts([column].into_iter());
        match condition {
            catalogue::Condition::AnyOf(values) => hash.texts(values.iter()),
            catalogue::Condition::NoneOf(values) => {
                hash.number(1);
                hash.texts(values.iter());
            }
            catalogue::Condition::Range { min, max } => {
                hash.number(2);
                hash.texts(min.iter());
                hash.texts(max.iter());
            }
        }
    }
    hash.0.finalize().first_chunk().copied().unwrap_or_default()
}

/// A hash of texts and numbers, each with its length.
struct Question(Sha256);

impl Question {
    fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    fn texts<'t>(&mut self, texts: impl Iterator<Item = &'t String> + Clone) {
        self.number(texts.clone().count() as u64);
        for text in texts {
            self.number(text.len() as u64);
            self.0.update(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request_id::RequestId;

    fn ask() -> Ask {
        Ask::new(RequestId::new(), Query::Recommend { user: Some("u".to_owned()), history: Vec::new() })
    }

    #[test]
    fn a_cursor_continues_the_same_question_at_the_same_revision_only() {
        let (revision, ask) = (Digest::of(b"model"), ask());
        let last = Last { row: 77, source: Source::FoldIn };
        let cursor = last.encode(&ask, &revision);
        assert_eq!(Last::decode(&cursor, &ask, &revision), Ok(last));
        let more = Ask { n: 500, explain: true, ..ask.clone() };
        assert_eq!(Last::decode(&cursor, &more, &revision), Ok(last));
        let gone = AnswerError::CursorGone { revision: revision.revision().to_owned() };
        assert_eq!(Last::decode(&cursor, &ask, &Digest::of(b"other")), Err(gone));
        let mut matching = catalogue::Filter::default();
        matching.push("genre".to_owned(), catalogue::Condition::AnyOf(vec!["comedy".to_owned()]));
        for filter in [
            Filter { include_seen: true, ..Filter::default() },
            Filter { exclude: vec!["x".to_owned()], ..Filter::default() },
            Filter { matching, ..Filter::default() },
        ] {
            let other = Ask { filter, ..ask.clone() };
            assert_eq!(Last::decode(&cursor, &other, &revision), Err(AnswerError::CursorOfOtherRequest));
        }
    }

    #[test]
    fn a_changed_cursor_is_not_valid() {
        let (revision, ask) = (Digest::of(b"model"), ask());
        let cursor = Last { row: 1, source: Source::Model }.encode(&ask, &revision);
        for at in 0..cursor.len() {
            let mut changed = cursor.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(Last::decode(&changed, &ask, &revision).is_err(), "{at}");
        }
        for text in ["", "*", "AAAA", &cursor[1..], &format!("{cursor}A"), "é"] {
            assert_eq!(Last::decode(text, &ask, &revision), Err(AnswerError::CursorInvalid), "{text}");
        }
    }
}
