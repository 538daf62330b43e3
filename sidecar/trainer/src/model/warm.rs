//! A fit on all rows that starts from an earlier model. What is measured never does: the earlier model has learned from the rows
//! that are kept, so its lists would be good on them for the wrong reason.

use factorization::{Earlier, FitError, ValidParams};
use model_snapshot::Snapshot;
use sidecar_contract::{Algorithm, TrainingConfig, WarmStart};

use super::check;
use crate::{
    failure::{FailureReason, Stop},
    merge::Merged,
};

/// An earlier model, and which of its rows are in the data.
pub(super) struct Warm<'a> {
    snapshot: &'a Snapshot,
    users: Vec<Option<u32>>,
    items: Vec<Option<u32>>,
    iterations: u32,
}

impl<'a> Warm<'a> {
    /// `None` where the config asks for none.
    pub(super) fn of(
        config: &TrainingConfig,
        snapshot: Option<&'a Snapshot>,
        merged: &Merged,
    ) -> Result<Option<Self>, Stop> {
        let Some(WarmStart { digest, iterations }) = &config.warm_start else { return Ok(None) };
        let refused = |message: String| Err(Stop::failed(FailureReason::ConfigInvalid, message));
        let Some(snapshot) = snapshot else {
            return refused(
                "a start from an earlier model is for the command line: --warm-start model.safetensors".to_owned(),
            );
        };
        if snapshot.digest() != *digest {
            return refused(format!("the model to start from is {}, expected {digest}", snapshot.digest()));
        }
        let Algorithm::Als(als) = &config.algorithm else {
            return refused(format!(
                "{} has nothing to start from an earlier model with: use als, or start without it",
                config.algorithm.name()
            ));
        };
        let metadata = snapshot.metadata();
        if (metadata.algorithm.name(), metadata.signal) != (config.algorithm.name(), config.signal) {
            return refused(format!(
                "the model to start from is {} of {:?} data: expected {} of {:?} data, or start without it",
                metadata.algorithm.name(),
                metadata.signal,
                config.algorithm.name(),
                config.signal
            ));
        }
        let (given, expected) = (snapshot.factors(), als.factors as usize);
        if given != expected {
            return refused(FitError::Start { given, expected }.to_string());
        }
        Ok(Some(Self {
            snapshot,
            users: merged.user_ids.iter().map(|id| snapshot.user_index(id)).collect(),
            items: merged.item_ids.iter().map(|id| snapshot.item_index(id)).collect(),
            iterations: *iterations,
        }))
    }

    /// Parameters of the fit: the config's, with as few sweeps as the start leaves to make.
    pub(super) fn params(&self, config: &TrainingConfig) -> Result<ValidParams, Stop> {
        let mut algorithm = config.algorithm.clone();
        if let Algorithm::Als(als) = &mut algorithm {
            als.iterations = self.iterations;
        }
        check(&TrainingConfig { algorithm, ..config.clone() })
    }

    pub(super) fn earlier(&self) -> Earlier<'_> {
        Earlier {
            user_factors: self.snapshot.user_factors(),
            item_factors: self.snapshot.item_factors(),
            user_biases: self.snapshot.ratings().map_or(&[], |(_, users, _)| users),
            users: &self.users,
            items: &self.items,
        }
    }
}
