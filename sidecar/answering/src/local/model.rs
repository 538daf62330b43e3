//! A loaded revision: a snapshot with checked parameters. Immutable.

use algorithms::{AlgorithmError, valid_params};
use factorization::{Degrees, GramForm, GramView, RatingScale, Scorer, SolveError, ValidParams};
use model_snapshot::{Snapshot, SnapshotError};
use sidecar_contract::Digest;

/// Why a snapshot cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// An algorithm or parameters that this build cannot serve.
    #[error("algorithm {0}")]
    Algorithm(AlgorithmError),
    /// Parts that do not belong to the algorithm.
    #[error("the snapshot does not fit its algorithm")]
    Parts(#[from] SolveError),
}

impl From<AlgorithmError> for ModelError {
    fn from(error: AlgorithmError) -> Self {
        Self::Algorithm(error)
    }
}

/// A loaded revision.
#[derive(Debug)]
pub struct Model {
    digest: Digest,
    snapshot: Snapshot,
    params: ValidParams,
    gram_form: GramForm,
    loaded_at: i64,
}

impl Model {
    /// Wraps a snapshot whose digest the caller has verified; `loaded_at` is in seconds since 1970.
    ///
    /// # Errors
    /// An algorithm or parameters that this build cannot answer with.
    pub fn new(digest: Digest, snapshot: Snapshot, loaded_at: i64) -> Result<Self, ModelError> {
        let params = valid_params(&snapshot.metadata().algorithm, snapshot.metadata().signal)?;
        let gram_form = GramForm::of(snapshot.gram());
        let model = Self { digest, snapshot, params, gram_form, loaded_at };
        model.try_scorer()?;
        Ok(model)
    }

    /// SHA-256 of the snapshot: the name of the revision.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The data.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// When the model was loaded, in seconds since 1970.
    pub fn loaded_at(&self) -> i64 {
        self.loaded_at
    }

    /// What turns user vectors into items.
    #[expect(clippy::missing_panics_doc, reason = "the parts were checked when the model was made")]
    pub fn scorer(&self) -> Scorer<'_> {
        self.try_scorer().expect("the parts were checked when the model was made")
    }

    fn try_scorer(&self) -> Result<Scorer<'_>, SolveError> {
        let snapshot = &self.snapshot;
        let ratings = snapshot.ratings().map(|(scale, users, items)| {
            let model_snapshot::Scale { mean, deviation, low, high } = scale;
            (RatingScale { mean, deviation, low, high }, users, items)
        });
        let parts =
            (snapshot.user_factors(), snapshot.item_factors(), GramView::with_form(snapshot.gram(), self.gram_form));
        let cold = usize::try_from(snapshot.metadata().cold_items).unwrap_or(usize::MAX);
        let degrees =
            Degrees { item_counts: snapshot.item_counts(), mean_degree_weight: snapshot.metadata().mean_degree_weight };
        Ok(Scorer::new(parts, degrees, ratings, &self.params)?.with_cold_items(cold))
    }
}
