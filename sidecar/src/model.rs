//! A model that serves: a verified snapshot with its checked parameters. Immutable; swapped whole.

use std::sync::Arc;

use factorization::{AlsParams, RowSolver, SolveError, ValidAlsParams};
use model_snapshot::{Snapshot, SnapshotError};
use sidecar_contract::{Algorithm, Answers, Digest, LoadedModel};
use thiserror::Error;

use crate::clock::unix_seconds;

/// Why a snapshot cannot serve.
#[derive(Debug, Error)]
pub enum ModelError {
    /// The file.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// An algorithm that this build does not answer with.
    #[error("algorithm {0}: this build serves als; use an image at least as new as the trainer's")]
    Algorithm(&'static str),
    /// Parameters outside their bounds.
    #[error(transparent)]
    Params(#[from] factorization::ParamsError),
}

/// A loaded revision.
#[derive(Debug)]
pub struct ServingModel {
    /// Its content's name.
    pub digest: Digest,
    /// Its data.
    pub snapshot: Arc<Snapshot>,
    /// What of it answers.
    pub answers: Answers,
    params: ValidAlsParams,
    loaded_at: i64,
}

impl ServingModel {
    /// Wraps a snapshot whose digest the caller has verified.
    ///
    /// # Errors
    /// An algorithm or parameters that this build cannot answer with.
    pub fn new(digest: Digest, snapshot: Snapshot) -> Result<Self, ModelError> {
        let params = match &snapshot.metadata().algorithm {
            Algorithm::Als(als) => AlsParams {
                factors: als.factors,
                iterations: als.iterations,
                regularization: als.regularization,
                regularization_exponent: als.regularization_exponent,
                unobserved_weight: als.unobserved_weight,
            }
            .check()?,
            other @ (Algorithm::Svd(_) | Algorithm::Bpr(_)) => return Err(ModelError::Algorithm(other.name())),
        };
        Ok(Self { digest, snapshot: Arc::new(snapshot), answers: Answers::Full, params, loaded_at: unix_seconds() })
    }

    /// The same revision, with more or less of it answering; its data is shared.
    #[must_use]
    pub fn answering(&self, answers: Answers) -> Self {
        let Self { digest, snapshot, answers: _, params, loaded_at } = self;
        Self { digest: digest.clone(), snapshot: Arc::clone(snapshot), answers, params: *params, loaded_at: *loaded_at }
    }

    /// The solver that folds users in.
    ///
    /// # Errors
    /// Never for a snapshot that was checked when it was opened.
    pub fn fold_in(&self) -> Result<RowSolver<'_>, SolveError> {
        RowSolver::new(self.snapshot.item_factors(), self.snapshot.gram(), &self.params)
    }

    /// What the admin port says of it.
    pub fn describe(&self) -> LoadedModel {
        let metadata = self.snapshot.metadata();
        LoadedModel {
            digest: self.digest.clone(),
            algorithm: metadata.algorithm.name().to_owned(),
            users: metadata.users,
            items: metadata.items,
            factors: u32::try_from(metadata.factors).unwrap_or(u32::MAX),
            answers: self.answers,
            loaded_at: self.loaded_at,
        }
    }
}
