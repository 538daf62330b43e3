//! A model that serves: a verified snapshot with its checked parameters. Immutable; swapped whole.

use std::sync::Arc;

use factorization::{
    AlsParams, BprParams, Degrees, ExplicitAlsParams, RatingScale, Scorer, SolveError, SvdParams, ValidParams,
};
use model_snapshot::{Snapshot, SnapshotError};
use sidecar_contract::{Algorithm, Answers, BprConfig, Digest, LoadedModel, Signal, SvdConfig};
use thiserror::Error;

use crate::clock::unix_seconds;

/// Why a snapshot cannot serve.
#[derive(Debug, Error)]
pub enum ModelError {
    /// The file.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// An algorithm of another kind of data.
    #[error("algorithm {0} does not answer from ratings: use an image at least as new as the trainer's")]
    Algorithm(&'static str),
    /// Parameters outside their bounds.
    #[error(transparent)]
    Params(#[from] factorization::ParamsError),
    /// Parts that are not those of the algorithm.
    #[error("the snapshot does not fit its algorithm")]
    Parts(#[from] SolveError),
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
    params: ValidParams,
    loaded_at: i64,
}

impl ServingModel {
    /// Wraps a snapshot whose digest the caller has verified.
    ///
    /// # Errors
    /// An algorithm or parameters that this build cannot answer with.
    pub fn new(digest: Digest, snapshot: Snapshot) -> Result<Self, ModelError> {
        let metadata = snapshot.metadata();
        let params = match (&metadata.algorithm, metadata.signal) {
            (Algorithm::Als(als), Signal::Implicit) => ValidParams::Als(
                AlsParams {
                    factors: als.factors,
                    iterations: als.iterations,
                    // What was fitted has one.
                    regularization: als.regularization.unwrap_or(f64::NAN),
                    regularization_exponent: als.regularization_exponent,
                    unobserved_weight: als.unobserved_weight,
                    degree_exponent: als.degree_exponent,
                    degree_return: als.degree_return,
                    ..AlsParams::default()
                }
                .check()?,
            ),
            (Algorithm::Als(als), Signal::Explicit) => ValidParams::ExplicitAls(
                ExplicitAlsParams {
                    factors: als.factors,
                    iterations: als.iterations,
                    // What was fitted has one.
                    regularization: als.regularization.unwrap_or(f64::NAN),
                    regularization_exponent: als.regularization_exponent,
                    samples: als.samples,
                    ..ExplicitAlsParams::default()
                }
                .check()?,
            ),
            (Algorithm::Svd(SvdConfig { factors, iterations, degree_exponent }), _) => ValidParams::Svd(
                SvdParams { factors: *factors, iterations: *iterations, degree_exponent: *degree_exponent }.check()?,
            ),
            (&Algorithm::Bpr(BprConfig { factors, iterations, learning_rate, regularization }), Signal::Implicit) => {
                ValidParams::Bpr(BprParams { factors, iterations, learning_rate, regularization }.check()?)
            }
            (other @ Algorithm::Bpr(_), Signal::Explicit) => return Err(ModelError::Algorithm(other.name())),
        };
        let snapshot = Arc::new(snapshot);
        let model = Self { digest, snapshot, answers: Answers::Full, params, loaded_at: unix_seconds() };
        model.scorer()?;
        Ok(model)
    }

    /// The same revision, with more or less of it answering; its data is shared.
    #[must_use]
    pub fn answering(&self, answers: Answers) -> Self {
        let Self { digest, snapshot, answers: _, params, loaded_at } = self;
        Self { digest: digest.clone(), snapshot: Arc::clone(snapshot), answers, params: *params, loaded_at: *loaded_at }
    }

    /// What turns tastes into items.
    ///
    /// # Errors
    /// Never for a model that was made: its parts were tried.
    pub fn scorer(&self) -> Result<Scorer<'_>, SolveError> {
        let snapshot = &self.snapshot;
        let ratings = snapshot.ratings().map(|(scale, users, items)| {
            let model_snapshot::Scale { mean, deviation, low, high } = scale;
            (RatingScale { mean, deviation, low, high }, users, items)
        });
        let parts = (snapshot.user_factors(), snapshot.item_factors(), snapshot.gram());
        let cold = usize::try_from(snapshot.metadata().cold_items).unwrap_or(usize::MAX);
        let degrees = Degrees { item_counts: snapshot.item_counts(), mean_share: snapshot.metadata().mean_share };
        Ok(Scorer::new(parts, degrees, ratings, &self.params)?.with_cold_items(cold))
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
