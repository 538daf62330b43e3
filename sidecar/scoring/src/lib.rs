//! What scores users and items by a snapshot, for serving and for the comparison with the serving
//! revision.

use algorithms::{AlgorithmError, valid_params};
use factorization::{
    CodeParts, Codes, CodesChecked, CodesError, Degrees, GramForm, GramView, Places, RatingScale, Scorer, SolveError,
    SparseRows, TwoHop, TwoHopScales, ValidParams, two_hop::PairSums,
};
use model_snapshot::{Contents, ItemCodes, Rows, Scale, Seen, Snapshot, TwoHopRows};

/// What is checked and computed once for a snapshot, so that a [`Scorer`] of it is cheap to make.
#[derive(Debug)]
pub struct Scoring {
    params: ValidParams,
    gram_form: GramForm,
    /// `None` without codes.
    codes: Option<CodesChecked>,
    /// Of the codes.
    places: Places,
    /// `None` without a two-hop term.
    two_hop: Option<TwoHopScales>,
}

/// Why a snapshot cannot score.
#[derive(Debug, thiserror::Error)]
pub enum ScoringError {
    /// An algorithm or parameters that this build cannot serve.
    #[error("algorithm {0}")]
    Algorithm(AlgorithmError),
    /// Codes that would hide items from lists.
    #[error("the snapshot's codes of items do not belong to its factors; train again")]
    Codes(#[from] CodesError),
    /// Parts that do not belong to the algorithm.
    #[error("the snapshot does not fit its algorithm")]
    Parts(#[from] SolveError),
}

impl From<AlgorithmError> for ScoringError {
    fn from(error: AlgorithmError) -> Self {
        Self::Algorithm(error)
    }
}

impl Scoring {
    /// Checks the parameters, the codes and the parts of a snapshot.
    ///
    /// # Errors
    /// An algorithm or parts that this build cannot score with.
    pub fn new(snapshot: &Snapshot) -> Result<Self, ScoringError> {
        let params = valid_params(&snapshot.metadata().algorithm, snapshot.metadata().signal)?;
        let biases = snapshot.ratings().map(|(_, _, items)| items);
        let check = |parts| match snapshot.contents() {
            Contents::Unchecked => Codes::check(parts, snapshot.item_factors(), biases),
            Contents::CheckedBefore => Codes::checked_before(parts, snapshot.item_factors(), biases),
        };
        let codes = code_parts(snapshot).map(check).transpose()?;
        let two_hop = params.two_hop().zip(snapshot.two_hop()).map(|(params, walked)| {
            let first_square = match snapshot.metadata().two_hop_first_square {
                Some(square) => square,
                None => snapshot.gram().diag().iter().copied().fold(0.0, f64::max),
            };
            let lists = rows(walked.lists);
            let scales = TwoHopScales::new(&params, first_square, snapshot.item_counts(), histories(snapshot), lists);
            if walked.pairs.is_some() { scales.rounded() } else { scales }
        });
        let scoring =
            Self { params, gram_form: GramForm::of(snapshot.gram()), codes, places: Places::default(), two_hop };
        scoring.scorer(snapshot)?;
        Ok(scoring)
    }

    /// The scorer of the same snapshot.
    ///
    /// # Errors
    /// Parts that do not match, which a snapshot that was checked does not have.
    pub fn scorer<'a>(&'a self, snapshot: &'a Snapshot) -> Result<Scorer<'a>, SolveError> {
        let ratings = snapshot.ratings().map(|(scale, users, items)| {
            let Scale { mean, deviation, low, high } = scale;
            (RatingScale { mean, deviation, low, high }, users, items)
        });
        let parts =
            (snapshot.user_factors(), snapshot.item_factors(), GramView::with_form(snapshot.gram(), self.gram_form));
        let cold = usize::try_from(snapshot.metadata().cold_items).unwrap_or(usize::MAX);
        let degrees =
            Degrees { item_counts: snapshot.item_counts(), mean_degree_weight: snapshot.metadata().mean_degree_weight };
        let codes = code_parts(snapshot).zip(self.codes).and_then(|(parts, checked)| Codes::new(parts, checked));
        let two_hop = self.two_hop.as_ref().zip(snapshot.two_hop()).map(|(scales, parts)| {
            let TwoHopRows { lists, rows: walked, span, pairs } = parts;
            let pairs = pairs.map(|sums| PairSums::new(sums.len().isqrt(), sums));
            TwoHop::new(histories(snapshot), rows(lists), walked.map(rows), scales, span).with_pairs(pairs)
        });
        let scorer = Scorer::new(parts, degrees, ratings, &self.params)?;
        Ok(scorer.with_cold_items(cold).with_codes(codes).with_places(&self.places).with_two_hop(two_hop))
    }
}

/// Items and weights of all users.
fn histories(snapshot: &Snapshot) -> SparseRows<'_> {
    let Seen { offsets, items, weights } = snapshot.all_seen();
    SparseRows::new(offsets, items, weights)
}

fn rows(Rows { offsets, columns, weights }: Rows<'_>) -> SparseRows<'_> {
    SparseRows::new(offsets, columns, weights)
}

/// The codes of a snapshot; `None` in one of an older release or of a small catalogue.
fn code_parts(snapshot: &Snapshot) -> Option<CodeParts<'_>> {
    let ItemCodes { order, codes, scales, bounds } = snapshot.item_codes()?;
    Some(CodeParts { order, codes, scales, bounds })
}
