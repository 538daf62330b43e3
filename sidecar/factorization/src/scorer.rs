//! Scores items for a user vector, for models of every algorithm, in memory or mapped from a file.

use std::borrow::Cow;

use ndarray::ArrayView2;

use crate::{
    degrees::Degrees,
    fold_in::{FoldIn, Parts, Ratings, UserVector},
    gram_view::GramView,
    params::ValidParams,
    ratings::{RatingScale, mean_rating},
    row_solver::{SolveError, check_entries},
    top_k::{Catalogue, Codes, ItemBits, KeptItems, Places, ScanCounts, Scored},
    two_hop::{History, TwoHop, TwoHopQuery},
};

/// Borrowed parts of a model, checked for consistency. It is cheap to make.
#[derive(Debug)]
pub struct Scorer<'a> {
    user_factors: ArrayView2<'a, f32>,
    pub(crate) item_factors: ArrayView2<'a, f32>,
    pub(crate) fold_in: Box<dyn FoldIn + 'a>,
    pub(crate) ratings: Option<Ratings<'a>>,
    codes: Option<Codes<'a>>,
    places: Option<&'a Places>,
    pub(crate) two_hop: Option<TwoHop<'a>>,
}

/// What ranks items: products with these factors, plus addends.
struct Query<'a> {
    factors: Cow<'a, [f32]>,
    addends: Option<Vec<f32>>,
}

/// The part of the items that a search is limited to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Part<'a> {
    /// Items that may be in the list.
    pub among: Among<'a>,
    /// The last item of the list that the search continues.
    pub after: Option<u32>,
}

/// Items that may be in a list. A search that also asks for each item whether it is kept gives
/// equal results for all of them, faster the less it reads.
#[derive(Clone, Copy, Debug, Default)]
pub enum Among<'a> {
    /// All items.
    #[default]
    All,
    /// Items of a set, of which most items are not.
    Few(ItemBits<'a>),
    /// These items, ascending and each once.
    Listed(&'a [u32]),
    /// A set that was [prepared](Scorer::kept).
    Kept(&'a KeptItems),
}

impl<'a> Scorer<'a> {
    /// From user factors, item factors and Gram matrix as in [`crate::Model`], in standard layout;
    /// the number of users who chose each item; and, for a model of ratings, the scale, the biases
    /// of users and those of items.
    ///
    /// # Errors
    /// The parts do not match.
    pub fn new(
        (user_factors, item_factors, gram): (ArrayView2<'a, f32>, ArrayView2<'a, f32>, GramView<'a>),
        degrees: Degrees<'a>,
        ratings: Option<(RatingScale, &'a [f32], &'a [f32])>,
        params: &'a ValidParams,
    ) -> Result<Self, SolveError> {
        let ratings = ratings.map(|(scale, users, items)| Ratings { scale, users, items });
        let (users, factors) = user_factors.dim();
        if factors != params.factors() || user_factors.to_slice().is_none() {
            let gram = gram.matrix.dim();
            return Err(SolveError::Shape { rows: users, columns: factors, gram, factors: params.factors() });
        }
        if let Some(Ratings { scale: _, users: biases, items }) = ratings {
            for (biases, rows) in [(biases.len(), users), (items.len(), item_factors.nrows())] {
                if biases != rows {
                    return Err(SolveError::Biases { biases, rows });
                }
            }
        }
        let fold_in = params.fold_in(Parts { items: item_factors, gram, degrees, ratings })?;
        Ok(Self { user_factors, item_factors, fold_in, ratings, codes: None, places: None, two_hop: None })
    }

    /// The same scorer, where the last items are cold-start items, whose factors come from their
    /// attributes (see [`crate::Model::append_items`]). They may be recommended and occur in a
    /// history, but do not change the vectors of other users.
    #[must_use]
    pub fn with_cold_items(mut self, items: usize) -> Self {
        self.fold_in.exclude_cold_items(items);
        self
    }

    /// The same scorer with the codes of its items, which make lists faster and change nothing
    /// else.
    ///
    /// # Panics
    /// If the size of the codes is not that of the items.
    #[must_use]
    pub fn with_codes(mut self, codes: Option<Codes<'a>>) -> Self {
        assert!(codes.is_none_or(|codes| codes.dim() == self.item_factors.dim()), "one code per factor");
        self.codes = codes;
        self
    }

    /// The same scorer with what searches of some items by these codes remember.
    #[must_use]
    pub fn with_places(mut self, places: &'a Places) -> Self {
        self.places = Some(places);
        self
    }

    /// The same scorer with the two-hop term of its parameters, `None` without one.
    ///
    /// # Panics
    /// If the term is of another number of items.
    #[must_use]
    pub fn with_two_hop(mut self, two_hop: Option<TwoHop<'a>>) -> Self {
        let items = self.item_factors.nrows();
        assert!(two_hop.is_none_or(|two_hop| two_hop.items() == items), "one scale per item");
        self.two_hop = two_hop;
        self
    }

    /// The items to search.
    fn catalogue<'b>(&self) -> Catalogue<'b>
    where
        'a: 'b,
    {
        let biases = self.ratings.map(|ratings| ratings.items);
        Catalogue::new(self.item_factors).with_biases(biases).with_codes(self.codes).with_places(self.places)
    }

    /// What ranks the items for a user vector.
    fn query<'b>(&self, vector: &'b UserVector) -> Query<'b> {
        match self.two_hop.zip(vector.history.as_ref()) {
            Some((two_hop, history)) => {
                let TwoHopQuery { factors, addends } = two_hop.query(&vector.factors, history, self.item_factors);
                Query { factors: Cow::Owned(factors), addends: Some(addends) }
            }
            None => Query { factors: Cow::Borrowed(&vector.factors), addends: None },
        }
    }

    /// The scale of a model of ratings.
    pub fn scale(&self) -> Option<&RatingScale> {
        self.ratings.as_ref().map(|ratings| &ratings.scale)
    }

    /// User vector of a user in the training data.
    pub fn stored(&self, index: u32) -> Option<UserVector> {
        let user = index as usize;
        if user >= self.user_factors.nrows() {
            return None;
        }
        let bias = self.ratings.as_ref().and_then(|ratings| ratings.users.get(user)).copied().unwrap_or(0.0);
        let history = self.two_hop.and_then(|two_hop| two_hop.history(index));
        Some(UserVector { history, ..UserVector::new(self.user_factors.row(user).to_vec(), bias) })
    }

    /// User vector of these entries (items ascending, each once), computed as by the fit: the
    /// entries of a stored user give the stored vector, bit for bit.
    ///
    /// # Errors
    /// Entries are out of range, out of order or not finite, or the equations cannot be solved.
    pub fn fold_in(&self, items: &[u32], values: &[f32]) -> Result<UserVector, SolveError> {
        check_entries(items, values, self.item_factors.nrows())?;
        let vector = self.fold_in.fold_in(items, values)?;
        let history = self.two_hop.map(|_| History { items: items.to_vec(), weights: values.to_vec(), user: None });
        Ok(UserVector { history, ..vector })
    }

    /// As [`Self::fold_in`], for entries in any order, which are [merged](Self::merge) first.
    ///
    /// # Errors
    /// Those of [`Self::fold_in`].
    pub fn fold_in_entries(&self, entries: &[(u32, f32)]) -> Result<UserVector, SolveError> {
        let (items, values) = self.merge(entries);
        self.fold_in(&items, &values)
    }

    /// Merges entries in any order into a history: items ascending, each once. Weights of the same
    /// item are added; ratings are clipped to the scale and averaged.
    pub fn merge(&self, entries: &[(u32, f32)]) -> (Vec<u32>, Vec<f32>) {
        let mut sorted = entries.to_vec();
        sorted.sort_unstable_by(|x, y| x.0.cmp(&y.0).then(x.1.total_cmp(&y.1)));
        let merged = sorted.chunk_by(|x, y| x.0 == y.0).map(|same| {
            let values = same.iter().map(|entry| entry.1);
            let value = match self.scale() {
                None => values.reduce(|sum, weight| sum + weight),
                // Clipping would turn NaN into a bound of the scale, but it must be rejected.
                Some(_) if same.iter().any(|entry| entry.1.is_nan()) => None,
                Some(scale) => mean_rating(&mut values.map(|rating| scale.clip(rating)).collect::<Vec<_>>()),
            };
            (same[0].0, value.unwrap_or(f32::NAN))
        });
        merged.unzip()
    }

    /// The `n` best items for a user vector, among those that `keep` accepts. In models of ratings
    /// the score is the predicted rating, clipped to the scale after ranking.
    pub fn best(&self, vector: &UserVector, n: usize, keep: impl Fn(u32) -> bool) -> Vec<Scored> {
        self.best_for_each(std::slice::from_ref(vector), n, |_, item| keep(item)).pop().unwrap_or_default()
    }

    /// [`Self::best`] for several user vectors, with equal results but faster; `keep` also gets the
    /// index of the vector.
    pub fn best_for_each(
        &self,
        vectors: &[UserVector],
        n: usize,
        keep: impl Fn(usize, u32) -> bool,
    ) -> Vec<Vec<Scored>> {
        if self.two_hop.is_some() {
            // The terms of a batch would take the memory of a row of factors for every vector.
            let list = |(index, vector): (usize, &UserVector)| self.counted(vector, n, |item| keep(index, item)).0;
            return vectors.iter().enumerate().map(list).collect();
        }
        let queries: Vec<&[f32]> = vectors.iter().map(|vector| vector.factors.as_slice()).collect();
        let mut lists = self.catalogue().best_for_each(&queries, n, keep);
        for (list, vector) in lists.iter_mut().zip(vectors) {
            self.predict(list, vector);
        }
        lists
    }

    /// [`Self::best`] of a model that only ranks, with what the search read.
    pub fn counted(&self, vector: &UserVector, n: usize, keep: impl Fn(u32) -> bool) -> (Vec<Scored>, ScanCounts) {
        let Query { factors, addends } = self.query(vector);
        let catalogue = self.catalogue().with_addends(addends.as_deref());
        catalogue.counted(&[&*factors], n, |_, item| keep(item)).pop().unwrap_or_default()
    }

    /// [`Self::best`] in a part of the items.
    ///
    /// # Panics
    /// If an item of the part is out of range.
    pub fn best_in(&self, part: Part<'_>, vector: &UserVector, n: usize, keep: impl Fn(u32) -> bool) -> Vec<Scored> {
        let Query { factors, addends } = self.query(vector);
        let mut catalogue = self.catalogue().with_addends(addends.as_deref());
        if let Some(last) = part.after {
            let scored = catalogue.best_of(&[last], &factors, 1, |_| true);
            // No item ranks after one without a place.
            let Some(last) = scored.into_iter().next() else { return Vec::new() };
            catalogue = catalogue.after(Some(last));
        }
        let mut list = match part.among {
            Among::All => catalogue.best(&factors, n, keep),
            Among::Few(bits) => catalogue.keeping_few(Some(bits)).best(&factors, n, keep),
            Among::Listed(items) => catalogue.best_of(items, &factors, n, keep),
            Among::Kept(kept) => catalogue.best_kept(kept, &factors, n, keep),
        };
        self.predict(&mut list, vector);
        list
    }

    /// The `n` items most similar to `item` by cosine, excluding itself; see
    /// [`Catalogue::similar`].
    pub fn similar(&self, item: u32, n: usize, keep: impl Fn(u32) -> bool) -> Vec<Scored> {
        self.catalogue().similar(item, n, keep)
    }

    /// [`Self::similar`] in a part of the items.
    ///
    /// # Panics
    /// If an item of the part is out of range.
    pub fn similar_in(&self, part: Part<'_>, item: u32, n: usize, keep: impl Fn(u32) -> bool) -> Vec<Scored> {
        let mut catalogue = self.catalogue();
        if let Some(last) = part.after {
            let scored = catalogue.similar_of(&[last], item, 1, |_| true);
            let Some(last) = scored.into_iter().next() else { return Vec::new() };
            catalogue = catalogue.after(Some(last));
        }
        match part.among {
            Among::All => catalogue.similar(item, n, keep),
            Among::Few(bits) => catalogue.keeping_few(Some(bits)).similar(item, n, keep),
            Among::Listed(items) => catalogue.similar_of(items, item, n, keep),
            Among::Kept(kept) => catalogue.similar_kept(kept, item, n, keep),
        }
    }

    /// A set of items of these bits for many searches; see [`Catalogue::kept`].
    pub fn kept(&self, bits: ItemBits<'_>, packed_bytes_max: usize) -> Option<KeptItems> {
        self.catalogue().kept(bits, packed_bytes_max)
    }

    /// What the two-hop term adds to the score of each item besides the product of its factors with
    /// the query; `None` without a term.
    pub fn addends(&self, vector: &UserVector) -> Option<Vec<f32>> {
        self.query(vector).addends
    }

    /// Upper bound of the additions of the two-hop term of a history of these items, from the
    /// lengths of their lists; 0 without a term. Items that are out of range do not count.
    pub fn two_hop_additions(&self, items: impl Iterator<Item = u32>) -> usize {
        let Some(two_hop) = &self.two_hop else { return 0 };
        let known = items.filter(|item| (*item as usize) < self.item_factors.nrows());
        two_hop.additions(known)
    }

    /// Turns the scores of a model of ratings into predicted ratings.
    fn predict(&self, list: &mut [Scored], vector: &UserVector) {
        if let Some(scale) = self.scale() {
            for scored in list {
                scored.score = scale.clip(scale.mean + vector.bias + scored.score);
            }
        }
    }

    /// The predicted rating of an item, clipped to the scale; `None` for a model that only ranks,
    /// or an item that is out of range.
    pub fn rating(&self, vector: &UserVector, item: u32) -> Option<f32> {
        let Ratings { scale, users: _, items } = self.ratings?;
        let bias = items.get(item as usize)?;
        let row = self.item_factors.row(item as usize);
        let mut product = [0.0];
        crate::lanes::dots(&vector.factors, row.to_slice()?, &mut product);
        Some(scale.clip(scale.mean + vector.bias + (product[0] + bias)))
    }
}
