//! Lists of known users, kept for repeated questions. A cache belongs to the one value that made
//! its lists: revision, catalogue, variant and mode are then equal for all of them, and the key
//! holds what is left of what a list depends on.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};

use super::{candidates::Candidate, model::Model};
use crate::ask::{Ask, Filter, Page, Query};

/// Memory of an entry besides its candidates, in bytes: the key and the pointer (32), the counts of
/// the pointer and the allocation (32), and its part of the tables (24).
const ENTRY_BYTES: usize = 88;
/// Number of parts with a lock each.
const SHARDS: usize = 16;

/// What a list depends on, within one revision, catalogue, variant and mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListKey {
    user: u32,
    n: usize,
    include_seen: bool,
}

impl ListKey {
    /// The key of a question's list; `None` if the list is not kept: the question names other items
    /// than its user, its user is unknown, or its answer has more than a list.
    pub fn of(model: &Model, ask: &Ask) -> Option<Self> {
        let Ask { request_id: _, query, n, filter, page: Page::Only, explain: false, deadline: _, context: _ } = ask
        else {
            return None;
        };
        let Filter { exclude, include_seen, candidates: None, matching } = filter else { return None };
        let Query::Recommend { user: Some(user), history } = query else { return None };
        if !history.is_empty() || !exclude.is_empty() || !matching.is_empty() {
            return None;
        }
        Some(Self { user: model.snapshot().user_index(user)?, n: *n, include_seen: *include_seen })
    }
}

/// Counts of lookups, shared by all caches of a process.
#[derive(Debug, Default)]
pub struct Lookups {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Lookups {
    /// Number of lists that were found.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Number of lists that were looked up and not found.
    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }
}

/// A cache of lists, bounded by its memory.
pub struct ListCache {
    lists: Cache<ListKey, Arc<[Candidate]>, Bytes>,
    lookups: Arc<Lookups>,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<ListKey, Arc<[Candidate]>> for Bytes {
    fn weight(&self, _: &ListKey, list: &Arc<[Candidate]>) -> u64 {
        (ENTRY_BYTES + size_of_val::<[Candidate]>(list)) as u64
    }
}

impl ListCache {
    /// An empty cache of at most `bytes` bytes; `None` if no list fits.
    pub fn new(bytes: usize, lookups: Arc<Lookups>) -> Option<Self> {
        let lists = bytes / (ENTRY_BYTES + size_of::<Candidate>());
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(lists)
            .weight_capacity(bytes as u64)
            .build()
            .ok()
            .filter(|_| lists > 0)?;
        let lists = Cache::with_options(options, Bytes, DefaultHashBuilder::default(), DefaultLifecycle::default());
        Some(Self { lists, lookups })
    }

    /// The list of a key.
    pub fn get(&self, key: &ListKey) -> Option<Arc<[Candidate]>> {
        let list = self.lists.get(key);
        let count = if list.is_some() { &self.lookups.hits } else { &self.lookups.misses };
        count.fetch_add(1, Ordering::Relaxed);
        list
    }

    /// Keeps a list.
    pub fn insert(&self, key: ListKey, list: &[Candidate]) {
        self.lists.insert(key, list.into());
    }

    /// Memory of the lists.
    pub fn bytes(&self) -> u64 {
        self.lists.weight()
    }
}

impl fmt::Debug for ListCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListCache").field("lists", &self.lists.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Source;

    #[test]
    fn the_cache_is_bounded_by_its_memory_and_counts_lookups() {
        let lookups = Arc::new(Lookups::default());
        let bytes = 1 << 20;
        let cache = ListCache::new(bytes, Arc::clone(&lookups)).unwrap();
        let list = |row| [Candidate { row, score: 1.0, source: Source::Model }; 10];
        let key = |user| ListKey { user, n: 10, include_seen: false };
        for user in 0..100_000 {
            cache.insert(key(user), &list(user));
            assert!(cache.bytes() <= bytes as u64);
        }
        assert!(cache.bytes() > bytes as u64 / 2, "{}", cache.bytes());
        let found = (0..100_000).filter(|user| cache.get(&key(*user)).is_some_and(|kept| *kept == list(*user))).count();
        assert_eq!((lookups.hits(), lookups.misses()), (found as u64, 100_000 - found as u64));
        assert!(found as u64 * (ENTRY_BYTES as u64 + 120) == cache.bytes(), "{found}");
        assert!(ListCache::new(0, lookups).is_none());
    }
}
