//! A loaded revision: a snapshot with checked parameters. Immutable.

use factorization::Scorer;
use model_snapshot::{Contents, Snapshot, SnapshotError};
use ndarray::{ArrayView1, ArrayView2};
use sidecar_contract::Digest;
use snapshot_scoring::{Scoring, ScoringError};

/// Maximum product of the lengths of two vectors, which bounds their inner product. It leaves room
/// below the maximum of single precision, 3.4e38, for biases and for vectors that are folded in.
const PRODUCT_MAX: f64 = 1e30;

/// Why a snapshot cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// An algorithm, parameters or parts that this build cannot serve.
    #[error(transparent)]
    Scoring(#[from] ScoringError),
    /// Finite factors whose products are not.
    #[error(
        "scores overflow single precision: the longest user vector has length {user:e}, the longest item vector {item:e}; train \
         again with more regularization, or without extreme weights"
    )]
    Overflow {
        /// Length of the longest user vector.
        user: f64,
        /// Length of the longest item vector.
        item: f64,
    },
}

/// A loaded revision.
#[derive(Debug)]
pub struct Model {
    digest: Digest,
    snapshot: Snapshot,
    scoring: Scoring,
    loaded_at: i64,
}

impl Model {
    /// Wraps a snapshot whose digest the caller has verified; `loaded_at` is in seconds since 1970.
    ///
    /// # Errors
    /// An algorithm or parameters that this build cannot answer with.
    pub fn new(digest: Digest, snapshot: Snapshot, loaded_at: i64) -> Result<Self, ModelError> {
        if snapshot.contents() == Contents::Unchecked {
            check_products(&snapshot.user_factors(), &snapshot.item_factors())?;
        }
        let scoring = Scoring::new(&snapshot)?;
        Ok(Self { digest, snapshot, scoring, loaded_at })
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
        self.scoring.scorer(&self.snapshot).expect("the parts were checked when the model was made")
    }
}

/// Checks that scores (products of a user and an item) and similarities (of two items) are finite.
fn check_products(users: &ArrayView2<'_, f32>, items: &ArrayView2<'_, f32>) -> Result<(), ModelError> {
    let (user, item) = (max_length(users), max_length(items));
    if user.max(item) * item <= PRODUCT_MAX { Ok(()) } else { Err(ModelError::Overflow { user, item }) }
}

/// Length of the longest row.
fn max_length(rows: &ArrayView2<'_, f32>) -> f64 {
    let square = |row: ArrayView1<'_, f32>| row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
    rows.rows().into_iter().map(square).fold(0.0, f64::max).sqrt()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn factors_whose_products_overflow_are_refused() {
        let (small, large) = (array![[1e-20_f32, 0.0]], array![[0.0, 3e38_f32], [1.0, 1.0]]);
        assert!(check_products(&small.view(), &small.view()).is_ok());
        assert!(check_products(&array![[1e15_f32, 0.0]].view(), &array![[1e14_f32, 1e14]].view()).is_ok());
        for (users, items) in [(&large, &large), (&small, &large), (&large, &array![[1e-5_f32, 0.0]])] {
            let error = check_products(&users.view(), &items.view()).unwrap_err();
            assert!(matches!(error, ModelError::Overflow { .. }), "{error}");
        }
    }
}
