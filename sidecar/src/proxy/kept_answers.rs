//! The last answers of users and items, within a bounded memory: the least recently used ones leave
//! first. They are kept as they arrived and are parsed when they are needed.

use std::{
    borrow::Cow,
    sync::{Mutex, PoisonError},
};

use answering::{Item, Part, Source};
use quick_cache::{Weighter, unsync::Cache};
use serde::Deserialize;

use crate::limits::{LAST_ANSWER_BYTES_MAX, LAST_ANSWERS_BYTES_MAX};

/// Memory of an entry besides key and answer, in bytes: two allocations, and its part of the
/// tables.
const ENTRY_BYTES: u64 = 128;
/// Usual size of an entry, in bytes, from which the size of the tables follows.
const ENTRY_BYTES_USUAL: u64 = 1400;

/// What a kept answer is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AnswerKey {
    /// Recommendations for a user.
    User(String),
    /// Items similar to an item.
    Item(String),
}

/// The last answers.
#[derive(Debug)]
pub struct KeptAnswers(Mutex<Cache<AnswerKey, Box<[u8]>, Bytes>>);

#[derive(Clone, Debug)]
struct Bytes;

impl Weighter<AnswerKey, Box<[u8]>> for Bytes {
    fn weight(&self, key: &AnswerKey, answer: &Box<[u8]>) -> u64 {
        let (AnswerKey::User(id) | AnswerKey::Item(id)) = key;
        ENTRY_BYTES + u64::try_from(id.len() + answer.len()).unwrap_or(u64::MAX)
    }
}

impl Default for KeptAnswers {
    fn default() -> Self {
        let entries = usize::try_from(LAST_ANSWERS_BYTES_MAX / ENTRY_BYTES_USUAL).unwrap_or(0);
        Self(Mutex::new(Cache::with_weighter(entries, LAST_ANSWERS_BYTES_MAX, Bytes)))
    }
}

/// A kept answer.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptAnswer {
    /// What answered.
    pub part: Part,
    /// Items, best first, with source [`Source::LastAnswer`].
    pub items: Vec<Item<'static>>,
}

/// The part of an answer's document that is used again.
#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    model: DocumentModel<'a>,
    #[serde(borrow)]
    items: Vec<DocumentItem<'a>>,
}

#[derive(Deserialize)]
struct DocumentModel<'a> {
    #[serde(borrow)]
    revision: Cow<'a, str>,
    #[serde(borrow)]
    variant: Cow<'a, str>,
    #[serde(borrow, default)]
    catalogue: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct DocumentItem<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    title: Option<Cow<'a, str>>,
    score: f32,
}

impl KeptAnswers {
    /// Keeps an answer in place of the earlier one.
    pub fn keep(&self, key: AnswerKey, answer: &[u8]) {
        if answer.len() <= LAST_ANSWER_BYTES_MAX {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, answer.into());
        }
    }

    /// The kept answer, if there is one.
    pub fn get(&self, key: &AnswerKey) -> Option<KeptAnswer> {
        let answer = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()?;
        parse(&answer)
    }
}

/// The items of an answer's document. `None` for a document that is no list of items.
pub fn parse(document: &[u8]) -> Option<KeptAnswer> {
    let Document { model, items } = serde_json::from_slice(document).ok()?;
    let items = items.into_iter().map(|DocumentItem { id, title, score }| Item {
        id: Cow::Owned(id.into_owned()),
        title: title.map(|title| Cow::Owned(title.into_owned())),
        score,
        source: Source::LastAnswer,
        explanation: None,
    });
    let DocumentModel { revision, variant, catalogue } = model;
    let part = Part {
        name: None,
        revision: revision.into_owned(),
        variant: variant.into_owned(),
        catalogue: catalogue.map(Cow::into_owned),
    };
    Some(KeptAnswer { part, items: items.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(padding: usize) -> Vec<u8> {
        let title = "t".repeat(padding);
        serde_json::to_vec(&serde_json::json!({
            "requestId": "r", "model": {"revision": "0123456789", "variant": "default"},
            "items": [{"id": "a", "title": title, "score": 1.5, "source": "model"}, {"id": "b", "score": 1, "source": "fold-in"}],
        }))
        .unwrap()
    }

    #[test]
    fn the_last_answer_is_kept_with_its_revision_and_its_scores() {
        let kept = KeptAnswers::default();
        let key = AnswerKey::User("u".to_owned());
        kept.keep(key.clone(), b"{}");
        kept.keep(key.clone(), &document(3));
        let answer = kept.get(&key).unwrap();
        let items: Vec<_> = answer.items.iter().map(|i| (&*i.id, i.title.as_deref(), i.score)).collect();
        assert_eq!(items, [("a", Some("ttt"), 1.5), ("b", None, 1.0)]);
        assert_eq!(answer.part.revision, "0123456789");
        assert_eq!(kept.get(&AnswerKey::Item("u".to_owned())), None, "an item with the id of a user");
        assert_eq!(parse(b"[1]"), None);
    }

    #[test]
    fn many_users_stay_within_the_memory_and_recent_ones_are_found() {
        let kept = KeptAnswers::default();
        let key = |user: usize| AnswerKey::User(format!("user{user}"));
        let document_of_a_kilobyte = document(1000);
        for user in 0..100_000 {
            kept.keep(key(user), &document_of_a_kilobyte);
        }
        let cache = kept.0.lock().unwrap();
        assert!(cache.weight() <= LAST_ANSWERS_BYTES_MAX, "{}", cache.weight());
        assert!(cache.len() > 1000, "{}", cache.len());
        drop(cache);
        kept.keep(key(7), &vec![b' '; LAST_ANSWER_BYTES_MAX + 1]);
        kept.keep(key(8), &document(10));
        assert!(kept.get(&key(8)).is_some());
    }
}
