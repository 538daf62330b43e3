//! Sets of items of filters that requests repeat, prepared for searches. A cache belongs to one
//! revision with one catalogue.

use std::{fmt, sync::Arc};

use catalogue::{Filter, ItemSet};
use factorization::{ItemBits, KeptItems, Scorer};
use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};

use crate::limits::{FILTER_CACHE_BYTES_MAX, FILTER_CACHE_MODEL_DIVISOR, FILTER_SETS_PER_CACHE_MIN};

/// Memory of an entry besides its filter and its set, in bytes: values, pointers, and its part of
/// the tables.
const ENTRY_BYTES: usize = 256;
/// Memory of an entry by which the number of entries is estimated, in bytes.
const TYPICAL_BYTES: usize = 16 * 1024;

/// The items that pass a filter.
#[derive(Debug)]
pub enum Selected<'a> {
    /// Evaluated for one request.
    Once(ItemSet<'a>),
    /// Kept for many.
    Prepared(Arc<PreparedSet>),
}

/// A set of items with what makes searches of it fast.
#[derive(Debug)]
pub struct PreparedSet {
    items: ItemSet<'static>,
    kept: Option<KeptItems>,
}

impl Selected<'_> {
    /// The items.
    pub fn items(&self) -> &ItemSet<'_> {
        match self {
            Self::Once(items) => items,
            Self::Prepared(set) => &set.items,
        }
    }

    /// What a search reads in place of all items.
    pub fn kept(&self) -> Option<&KeptItems> {
        match self {
            Self::Once(_) => None,
            Self::Prepared(set) => set.kept.as_ref(),
        }
    }
}

/// What is known of a filter.
#[derive(Clone)]
enum Entry {
    /// A request had it. A filter that no other request has costs no more than its evaluation.
    Seen,
    Prepared(Arc<PreparedSet>),
}

/// A cache of sets, bounded by its memory.
pub struct FilterCache {
    sets: Cache<Filter, Entry, Bytes>,
    set_bytes_max: usize,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<Filter, Entry> for Bytes {
    fn weight(&self, filter: &Filter, entry: &Entry) -> u64 {
        let set = match entry {
            Entry::Seen => 0,
            Entry::Prepared(set) => set.bytes(),
        };
        (ENTRY_BYTES + filter.memory_bytes() + set) as u64
    }
}

impl PreparedSet {
    fn bytes(&self) -> usize {
        size_of_val(self.items.bits()) + self.kept.as_ref().map_or(0, KeptItems::bytes)
    }
}

impl FilterCache {
    /// An empty cache for a model of this size; `None` if no filter fits.
    pub fn new(model_bytes: u64) -> Option<Self> {
        let of_model = usize::try_from(model_bytes / FILTER_CACHE_MODEL_DIVISOR).unwrap_or(usize::MAX);
        let bytes = of_model.min(FILTER_CACHE_BYTES_MAX);
        // Parts with a lock each would be too small for a set.
        let options = OptionsBuilder::new()
            .shards(1)
            .estimated_items_capacity(bytes / TYPICAL_BYTES)
            .weight_capacity(bytes as u64)
            .build()
            .ok()
            .filter(|_| bytes >= ENTRY_BYTES)?;
        let sets = Cache::with_options(options, Bytes, DefaultHashBuilder::default(), DefaultLifecycle::default());
        Some(Self { sets, set_bytes_max: bytes / FILTER_SETS_PER_CACHE_MIN })
    }

    /// The items of a filter. `evaluate` is called unless they are in the cache, which keeps them
    /// from the second request on.
    ///
    /// # Errors
    /// Those of `evaluate`.
    pub fn select<'a, E>(
        &self,
        filter: &Filter,
        scorer: &Scorer<'_>,
        evaluate: impl FnOnce() -> Result<Option<ItemSet<'a>>, E>,
    ) -> Result<Option<Selected<'a>>, E> {
        let entry = self.sets.get(filter);
        if let Some(Entry::Prepared(set)) = entry {
            return Ok(Some(Selected::Prepared(set)));
        }
        let Some(items) = evaluate()? else { return Ok(None) };
        if entry.is_none() {
            self.sets.insert(filter.clone(), Entry::Seen);
            return Ok(Some(Selected::Once(items)));
        }
        let items = items.into_bits();
        let kept = scorer.kept(ItemBits(items.bits()), self.set_bytes_max);
        let set = Arc::new(PreparedSet { items, kept });
        self.sets.insert(filter.clone(), Entry::Prepared(Arc::clone(&set)));
        Ok(Some(Selected::Prepared(set)))
    }

    /// Memory of the cache.
    pub fn bytes(&self) -> u64 {
        self.sets.weight()
    }
}

impl fmt::Debug for FilterCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilterCache").field("sets", &self.sets.len()).finish_non_exhaustive()
    }
}
