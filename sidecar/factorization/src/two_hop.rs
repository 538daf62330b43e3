//! The two-hop term of a score: what the users who share items with a history chose. The crate docs
//! have the formula.
//!
//! A walk goes from the items of the history to their users, and from these to all of their items.
//! It adds in a fixed order, so the term of an item is a function of history and model, bit for
//! bit. It makes at most [`ADDITIONS_MAX`] additions: of a history that needs more, each hop takes
//! what weighs most.
//!
//! Of few items the sums of all pairs of items are stored, and added up instead of a walk.
//!
//! - `rows`: sparse rows; `index`: which entries are walked; `scales`: the powers of degrees;
//!   `walk`: the two hops, over each `visit`, in the memory of `scratch`; `heaviest`: the visits of a
//!   long walk; `pairs`: sums of pairs; `represented`: what is subtracted, because the factors
//!   represent it; `explain`: the part of each item of the history.

mod explain;
mod heaviest;
mod index;
mod pairs;
mod represented;
mod rows;
mod scales;
mod scratch;
#[cfg(test)]
mod tests;
mod visit;
mod walk;

use ndarray::{Array2, ArrayView2};

pub(crate) use self::represented::{Span, Spectrum};
pub use self::{
    index::{TwoHopIndex, USERS_PER_ITEM_MAX},
    pairs::{PAIR_ITEMS_MAX, PAIR_SOURCES_MAX, PairSums, TwoHopPairs},
    rows::{OwnedRows, Row, SparseRows},
    scales::TwoHopScales,
    walk::ADDITIONS_MAX,
};
use crate::{interactions::Interactions, two_hop_params::TwoHopParams};

/// A history in the terms of a walk.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// Items, ascending and each once.
    pub items: Vec<u32>,
    /// Their weights.
    pub weights: Vec<f32>,
    /// The user whose stored row the history is. A walk does not visit that row: it would only add
    /// to the items of the history.
    pub user: Option<u32>,
}

/// The rows of a model that are walked, and what they are multiplied by. It is cheap to make.
#[derive(Clone, Copy, Debug)]
pub struct TwoHop<'a> {
    /// Items of each user: all of them, including those that are not walked.
    histories: SparseRows<'a>,
    /// Users of each item that is walked.
    users_of_items: SparseRows<'a>,
    /// Items of each user that are walked; the histories unless some items are sampled.
    items_of_users: SparseRows<'a>,
    scales: &'a TwoHopScales,
    /// K; `None`: the identity.
    span: Option<ArrayView2<'a, f64>>,
    /// Sums of all pairs of items, which take the place of walks.
    pairs: Option<PairSums<'a>>,
    /// Maximum number of additions of a walk.
    additions_max: usize,
}

/// What ranks the items of a history: the score of an item is its product with the factors, plus
/// its addend.
#[derive(Clone, Debug)]
pub(crate) struct TwoHopQuery {
    pub(crate) factors: Vec<f32>,
    pub(crate) addends: Vec<f32>,
}

impl<'a> TwoHop<'a> {
    /// From the histories of the stored users, the index in both orientations (`None`: the
    /// histories are walked), the scales of both, and K of the item factors (`None`: they are those
    /// of a decomposition).
    ///
    /// # Panics
    /// If the sizes do not match, or K is not in standard layout.
    pub fn new(
        histories: SparseRows<'a>,
        users_of_items: SparseRows<'a>,
        items_of_users: Option<SparseRows<'a>>,
        scales: &'a TwoHopScales,
        span: Option<ArrayView2<'a, f64>>,
    ) -> Self {
        let items_of_users = items_of_users.unwrap_or(histories);
        assert_eq!(users_of_items.len(), scales.items(), "one list of users per item");
        assert!(items_of_users.len() <= scales.users(), "one scale per user");
        assert!(span.is_none_or(|span| span.is_standard_layout()), "K in standard layout");
        Self { histories, users_of_items, items_of_users, scales, span, pairs: None, additions_max: ADDITIONS_MAX }
    }

    /// The same term by the sums of pairs of items. The scales must be rounded.
    ///
    /// # Panics
    /// If there are more items in pairs than items.
    #[must_use]
    pub fn with_pairs(self, pairs: Option<PairSums<'a>>) -> Self {
        assert!(pairs.is_none_or(|pairs| pairs.items() <= self.items()), "pairs of items of the model");
        Self { pairs, ..self }
    }

    /// Number of items.
    pub(crate) fn items(&self) -> usize {
        self.scales.items()
    }

    /// The stored history of a user; `None` if there is none.
    pub(crate) fn history(&self, user: u32) -> Option<History> {
        ((user as usize) < self.histories.len()).then(|| {
            let row = self.histories.row(user as usize);
            let weights = (0..row.columns.len()).map(|at| row.value(at)).collect();
            History { items: row.columns.to_vec(), weights, user: Some(user) }
        })
    }

    /// The query of a user vector with this history, for these item factors.
    pub(crate) fn query(&self, user: &[f32], history: &History, factors: ArrayView2<'_, f32>) -> TwoHopQuery {
        let represented = self.represented(history, factors);
        let mut addends = self.terms(history);
        self.restore(&represented, factors, &mut addends);
        #[expect(clippy::cast_possible_truncation, reason = "queries are in single precision")]
        let factors = user.iter().zip(&represented).map(|(user, less)| (f64::from(*user) - less) as f32).collect();
        TwoHopQuery { factors, addends }
    }

    /// The query of a user vector with this history less the user vector: as the query is linear in
    /// c, that of c = 1 gives those of all weights.
    pub(crate) fn correction(&self, history: &History, factors: ArrayView2<'_, f32>) -> TwoHopQuery {
        self.query(&vec![0.0; factors.ncols()], history, factors)
    }

    /// Upper bound of the additions of the walk from these items, from the lengths of their lists;
    /// without a walk, the number of additions of a walk that take as long.
    pub(crate) fn additions(&self, items: impl Iterator<Item = u32>) -> usize {
        if let Some(pairs) = self.pairs {
            return items.count().min(PAIR_SOURCES_MAX).saturating_mul(pairs.items()) / pairs::ADDITIONS_PER_STEP;
        }
        let lists: usize = items.map(|item| self.users_of_items.row(item as usize).columns.len()).sum();
        let mean = self.items_of_users.entries().div_ceil(self.items_of_users.len().max(1));
        lists.saturating_add(lists.saturating_mul(mean)).min(ADDITIONS_MAX)
    }
}

/// The rows of a fitted model that are walked, in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct TwoHopModel {
    pub(crate) histories: OwnedRows,
    pub(crate) index: TwoHopIndex,
    pub(crate) scales: TwoHopScales,
    pub(crate) spectrum: Spectrum,
    /// K; `None` if the factors are those of a decomposition.
    pub(crate) span: Option<Array2<f64>>,
    pub(crate) pairs: Option<TwoHopPairs>,
    /// Maximum number of additions of a walk.
    additions_max: usize,
}

/// How a term is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TwoHopForm {
    /// Through the rows of users.
    Walks,
    /// From the sums of all pairs of items.
    Pairs,
}

impl TwoHopForm {
    /// Name in results of runs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Walks => "walks",
            Self::Pairs => "pairs",
        }
    }
}

impl TwoHopModel {
    /// Of the fitted data of a decomposition. `counts` are the numbers of users of the items.
    pub(crate) fn of_decomposition(
        data: &Interactions,
        counts: &[u32],
        (params, spectrum): (&TwoHopParams, Spectrum),
        seed: u64,
    ) -> Self {
        let (histories, index) = (OwnedRows::of(data), TwoHopIndex::new(data, params.users_per_item_min, seed));
        let lists = index.users_of_items().view();
        let scales = TwoHopScales::new(params, spectrum.first, counts, histories.view(), lists);
        let model = Self { histories, index, scales, spectrum, span: None, pairs: None, additions_max: ADDITIONS_MAX };
        let walked = model.view().items_of_users;
        if TwoHopPairs::are_faster(model.histories.view(), &model.index, walked) { model.with_pairs() } else { model }
    }

    /// The same rows with the sums of their pairs of items.
    fn with_pairs(mut self) -> Self {
        self.scales = self.scales.rounded();
        let pairs = TwoHopPairs::new(&self.index, self.view().items_of_users, &self.scales);
        Self { pairs: Some(pairs), ..self }
    }

    /// Of the fitted data of other item factors.
    pub(crate) fn of_span(
        data: &Interactions,
        counts: &[u32],
        (params, span): (&TwoHopParams, Span),
        seed: u64,
    ) -> Self {
        let Span { matrix, spectrum } = span;
        Self { span: Some(matrix), ..Self::of_decomposition(data, counts, (params, spectrum), seed) }
    }

    /// K and λ₁, unless the factors are those of a decomposition: those follow from its Gram
    /// matrix.
    pub fn span(&self) -> Option<(ArrayView2<'_, f64>, f64)> {
        self.span.as_ref().map(|matrix| (matrix.view(), self.spectrum.first))
    }

    /// How the term is computed.
    pub fn form(&self) -> TwoHopForm {
        self.pairs.as_ref().map_or(TwoHopForm::Walks, |_| TwoHopForm::Pairs)
    }

    /// Maximum number of additions for a history.
    pub fn additions_max(&self) -> usize {
        self.pairs().map_or(self.additions_max, |pairs| PAIR_SOURCES_MAX * pairs.items())
    }

    /// Removes the limit of walks, to measure what it costs.
    pub fn remove_limit(&mut self) {
        self.additions_max = usize::MAX;
    }

    /// Sums of pairs of items, of few items.
    pub fn pairs(&self) -> Option<PairSums<'_>> {
        self.pairs.as_ref().map(TwoHopPairs::view)
    }

    /// The index, which a snapshot contains.
    pub fn index(&self) -> &TwoHopIndex {
        &self.index
    }

    /// The term.
    pub(crate) fn view(&self) -> TwoHop<'_> {
        let (lists, rows) = (self.index.users_of_items().view(), self.index.items_of_users());
        let span = self.span.as_ref().map(|span| span.view());
        let term = TwoHop::new(self.histories.view(), lists, rows.map(OwnedRows::view), &self.scales, span);
        TwoHop { additions_max: self.additions_max, ..term.with_pairs(self.pairs()) }
    }

    /// Gives items without users to a model to which items are appended.
    pub(crate) fn append_items(&mut self, items: usize) {
        self.index.append_items(items);
        self.scales.append_items(items);
    }

    /// Replaces the histories of the users that have one in `histories`. They are not walked.
    pub(crate) fn with_histories(&mut self, histories: &Interactions) {
        self.index.keep_rows(&self.histories);
        self.histories.replace(histories);
    }
}
