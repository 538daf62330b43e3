//! The best items for a query, exactly: the items, their order and the bits of their scores are
//! those of a scan of every item in single precision. Higher scores come first, equal scores are
//! ordered by index.
//!
//! - `flat`: that scan. A small catalogue is searched so.
//! - `cascade`: the scan by `codes` of four bits a factor, which are stored with the items. A
//!   proven upper bound (`bound`) leaves few items to score in single precision, and few blocks to
//!   read. `subset` is the same for some of the items, `kept` for items of many searches.
//! - `score`: inner products (with biases and addends) and cosines.
//! - Internal: `best` (the bounded list), `allowances` (addends in the order of the codes),
//!   `by_addend` (items with large addends), `encode` (makes codes), `layout` (where a code is), `item_bits` (sets as bits), `bfloat` and
//!   `squares` (their numbers), `kernel` (vector instructions).

mod allowances;
mod best;
mod bfloat;
mod bound;
mod by_addend;
mod cascade;
mod codes;
mod encode;
mod flat;
mod item_bits;
mod kept;
mod kernel;
mod layout;
mod score;
mod squares;
mod subset;
#[cfg(test)]
mod tests;

use ndarray::{ArrayView2, CowArray, Ix2};

pub use self::{
    cascade::ScanCounts,
    codes::{BOUNDS, CodeParts, Codes, CodesChecked, CodesError},
    encode::ItemCodes,
    item_bits::ItemBits,
    kept::KeptItems,
    layout::{BLOCK_ITEMS, block_bytes, blocks},
    subset::Places,
};
use self::{
    cascade::{BLOCKS_BEFORE_CHECK, Search},
    score::Scoring,
};
use crate::{lanes::dots, simd};

/// Maximum number of factors of a catalogue that is scanned flat although it has codes.
const FLAT_FACTORS_MAX: usize = 64 * 1024;

/// Items whose factors are requested from memory before one of some items is scored.
const PREFETCHED: usize = 16;
/// Factors in a cache line.
const LINE_FACTORS: usize = 16;

/// An item and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// Row of the item factors.
    pub item: u32,
    /// ⟨query, item⟩ plus bias and addend, or a cosine similarity.
    pub score: f32,
}

/// Whether a flat scan of the items is as fast as one by codes.
pub(crate) fn is_small(items: usize, factors: usize) -> bool {
    items.saturating_mul(factors) <= FLAT_FACTORS_MAX
}

/// Items to search.
#[derive(Clone, Debug)]
pub struct Catalogue<'a> {
    /// items × factors, in standard layout.
    factors: CowArray<'a, f32, Ix2>,
    biases: Option<&'a [f32]>,
    addends: Option<&'a [f32]>,
    codes: Option<Codes<'a>>,
    places: Option<&'a Places>,
    bits: Option<ItemBits<'a>>,
    after: Option<Scored>,
}

impl<'a> Catalogue<'a> {
    /// Items (items × factors).
    pub fn new(item_factors: ArrayView2<'a, f32>) -> Self {
        let factors = match item_factors.to_slice() {
            Some(_) => CowArray::from(item_factors),
            None => CowArray::from(item_factors.as_standard_layout().into_owned()),
        };
        Self { factors, biases: None, addends: None, codes: None, places: None, bits: None, after: None }
    }

    /// The same items with biases, which are added to inner products.
    ///
    /// # Panics
    /// If the number of biases is not that of items.
    #[must_use]
    pub fn with_biases(self, biases: Option<&'a [f32]>) -> Self {
        assert!(biases.is_none_or(|biases| biases.len() == self.factors.nrows()), "one bias per item");
        Self { biases, ..self }
    }

    /// The same items with addends, which are added to inner products after biases.
    ///
    /// # Panics
    /// If the number of addends is not that of items.
    #[must_use]
    pub fn with_addends(self, addends: Option<&'a [f32]>) -> Self {
        assert!(addends.is_none_or(|addends| addends.len() == self.factors.nrows()), "one addend per item");
        Self { addends, ..self }
    }

    /// The same items with their codes, which were checked against these factors and biases. They
    /// make a search faster and change nothing else.
    ///
    /// # Panics
    /// If the size of the codes is not that of the items.
    #[must_use]
    pub fn with_codes(self, codes: Option<Codes<'a>>) -> Self {
        assert!(codes.is_none_or(|codes| codes.dim() == self.factors.dim()), "one code per factor");
        Self { codes, ..self }
    }

    /// The same items with the places of the codes: [`Self::best_of`] then reads few of many items.
    #[must_use]
    pub fn with_places(self, places: Option<&'a Places>) -> Self {
        Self { places, ..self }
    }

    /// The same items, for searches that keep few of them, at most those of `bits`: what may reach
    /// the list is tested before it is scored.
    #[must_use]
    pub fn keeping_few(self, bits: Option<ItemBits<'a>>) -> Self {
        Self { bits, ..self }
    }

    /// A set of items, prepared for many searches; `None` where a search of all items is as fast.
    /// The codes of its items are copied if the copy takes at most this number of bytes.
    pub fn kept(&self, bits: ItemBits<'_>, packed_bytes_max: usize) -> Option<KeptItems> {
        let codes = self.codes.filter(|codes| !is_small(codes.dim().0, codes.dim().1))?;
        Some(KeptItems::new(bits, &codes, packed_bytes_max))
    }

    /// The same items less those that rank before `last` or are it: searches then continue a list
    /// whose last item it was, in the same order and without repeats. Its score must be that of the
    /// same query.
    #[must_use]
    pub fn after(self, last: Option<Scored>) -> Self {
        Self { after: last, ..self }
    }

    /// The `n` best items by inner product with `query` (factors), among those that `keep` accepts;
    /// fewer if it accepts fewer. Items whose score is NaN are never included.
    ///
    /// # Panics
    /// If the length of `query` is not the number of factors.
    pub fn best(&self, query: &[f32], n: usize, keep: impl Fn(u32) -> bool) -> Vec<Scored> {
        self.best_for_each(&[query], n, |_, item| keep(item)).pop().unwrap_or_default()
    }

    /// [`Self::best`] for several queries, with equal results but faster; `keep` also gets the
    /// index of the query.
    ///
    /// # Panics
    /// As [`Self::best`].
    pub fn best_for_each(&self, queries: &[&[f32]], n: usize, keep: impl Fn(usize, u32) -> bool) -> Vec<Vec<Scored>> {
        self.counted(queries, n, keep).into_iter().map(|(list, _)| list).collect()
    }

    /// [`Self::best_for_each`], with what each search read. A flat scan scores every item.
    ///
    /// # Panics
    /// As [`Self::best`].
    pub fn counted(
        &self,
        queries: &[&[f32]],
        n: usize,
        keep: impl Fn(usize, u32) -> bool,
    ) -> Vec<(Vec<Scored>, ScanCounts)> {
        let scoring = Scoring::Product { biases: self.biases, addends: self.addends };
        self.search(queries, n, keep, scoring)
    }

    /// The `n` best of some items, ascending and each once. It reads nothing else, so it is faster
    /// than [`Self::best`] with few items.
    ///
    /// # Panics
    /// As [`Self::best`], or if an item is out of range.
    pub fn best_of(&self, items: &[u32], query: &[f32], n: usize, keep: impl Fn(u32) -> bool) -> Vec<Scored> {
        let scoring = Scoring::Product { biases: self.biases, addends: self.addends };
        self.search_of(items, query, n, keep, scoring)
    }

    /// The `n` best of the items of a set that was [prepared](Self::kept) for these items.
    ///
    /// # Panics
    /// As [`Self::best`].
    pub fn best_kept(&self, kept: &KeptItems, query: &[f32], n: usize, keep: impl Fn(u32) -> bool) -> Vec<Scored> {
        let scoring = Scoring::Product { biases: self.biases, addends: self.addends };
        self.search_kept(kept, query, n, keep, scoring)
    }

    /// The `n` items most similar to `item` by cosine, excluding itself; none if `item` is out of
    /// range. The similarity to an item whose factors are all 0 is 0.
    pub fn similar(&self, item: u32, n: usize, keep: impl Fn(u32) -> bool) -> Vec<Scored> {
        let Some((query, scoring)) = self.similarity(item) else { return Vec::new() };
        let lists = self.search(&[&query], n, |_, other| other != item && keep(other), scoring);
        lists.into_iter().next().map(|(list, _)| list).unwrap_or_default()
    }

    /// [`Self::similar`] of some items only, ascending and each once; see [`Self::best_of`].
    ///
    /// # Panics
    /// If an item of `items` is out of range.
    pub fn similar_of(&self, items: &[u32], item: u32, n: usize, keep: impl Fn(u32) -> bool) -> Vec<Scored> {
        let Some((query, scoring)) = self.similarity(item) else { return Vec::new() };
        self.search_of(items, &query, n, |other| other != item && keep(other), scoring)
    }

    /// [`Self::similar`] of the items of a set; see [`Self::best_kept`].
    pub fn similar_kept(&self, kept: &KeptItems, item: u32, n: usize, keep: impl Fn(u32) -> bool) -> Vec<Scored> {
        let Some((query, scoring)) = self.similarity(item) else { return Vec::new() };
        self.search_kept(kept, &query, n, |other| other != item && keep(other), scoring)
    }

    /// The query and the scores of items similar to `item`; `None` if it is out of range.
    fn similarity(&self, item: u32) -> Option<(Vec<f32>, Scoring<'static>)> {
        let item = item as usize;
        let query = (item < self.factors.nrows()).then(|| self.factors.row(item).to_vec())?;
        let query_length = norm(&query);
        Some((query, Scoring::Cosine { query_length }))
    }

    fn search_of(
        &self,
        items: &[u32],
        query: &[f32],
        n: usize,
        keep: impl Fn(u32) -> bool,
        scoring: Scoring<'_>,
    ) -> Vec<Scored> {
        let rows = self.rows(&[query]);
        if let (Some(codes), Some(places)) = (self.codes.filter(|codes| subset::pays(items.len(), codes)), self.places)
            && let Some(search) = Search::new(query, scoring, n, &codes)
        {
            return subset::scan(search.after(self.after), items, places.of(&codes), &codes, rows, &keep).0;
        }
        self.score_each(items, query, n, keep, scoring)
    }

    fn search_kept(
        &self,
        kept: &KeptItems,
        query: &[f32],
        n: usize,
        keep: impl Fn(u32) -> bool,
        scoring: Scoring<'_>,
    ) -> Vec<Scored> {
        let Some(codes) = self.codes else { return Vec::new() };
        match Search::new(query, scoring, n, &codes) {
            Some(search) => kept.scan(search.after(self.after), &codes, self.rows(&[query]), &keep).0,
            None => self.score_each(&kept.items(&codes), query, n, keep, scoring),
        }
    }

    /// The best of some items, whose scores are all computed.
    fn score_each(
        &self,
        items: &[u32],
        query: &[f32],
        n: usize,
        keep: impl Fn(u32) -> bool,
        scoring: Scoring<'_>,
    ) -> Vec<Scored> {
        let rows = self.rows(&[query]);
        let row_of = |item: u32| &rows[item as usize * query.len()..][..query.len()];
        let mut best = best::Best::new(n, items.len()).after(self.after);
        for (at, &item) in items.iter().enumerate() {
            if let Some(&ahead) = items.get(at + PREFETCHED) {
                row_of(ahead).chunks(LINE_FACTORS).for_each(simd::prefetch);
            }
            let row = row_of(item);
            let mut product = [0.0];
            dots(query, row, &mut product);
            best.push(item, scoring.score(product[0], item as usize, || row), &keep);
        }
        best.into_list()
    }

    fn search(
        &self,
        queries: &[&[f32]],
        n: usize,
        keep: impl Fn(usize, u32) -> bool,
        scoring: Scoring<'_>,
    ) -> Vec<(Vec<Scored>, ScanCounts)> {
        let (items, factors) = self.factors.dim();
        let rows = self.rows(queries);
        let codes = self.codes.filter(|_| !is_small(items, factors));
        if let Some(codes) = codes {
            let searches = queries.iter().map(|query| {
                let search = Search::new(query, scoring, n, &codes)?.among(self.bits);
                Some(search.after(self.after))
            });
            // Models whose products are near the limits of single precision are refused at load, so
            // a query that is too long for the bounds is an extreme history.
            if let Some(searches) = searches.collect::<Option<Vec<_>>>() {
                return match (self.places, scoring.addends_alone()) {
                    (Some(places), Some(_)) => {
                        let scan = |(index, search)| {
                            let search = (search, BLOCKS_BEFORE_CHECK);
                            cascade::scan_with_addends(search, &codes, places.of(&codes), rows, &|item| {
                                keep(index, item)
                            })
                        };
                        searches.into_iter().enumerate().map(scan).collect()
                    }
                    _ => cascade::scan(searches, &codes, rows, keep),
                };
            }
        }
        let lists = flat::scan(queries, rows, items, (n, self.after), keep, scoring);
        lists.into_iter().map(|list| (list, ScanCounts { scored: items, coded: 0 })).collect()
    }

    /// The factors, one row after the other. Checks the lengths of the queries.
    fn rows(&self, queries: &[&[f32]]) -> &[f32] {
        for query in queries {
            assert_eq!(query.len(), self.factors.ncols(), "one query entry per factor");
        }
        self.factors.as_slice().unwrap_or_default()
    }
}

/// ‖row‖ in single precision.
fn norm(row: &[f32]) -> f32 {
    let mut square = [0.0];
    dots(row, row, &mut square);
    square[0].sqrt()
}
