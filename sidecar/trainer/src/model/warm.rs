//! Warm start of the fit on all rows from an earlier model. The fit that is evaluated has no warm
//! start: the earlier model was trained on the held-out rows, so they would leak into the metrics.

use algorithms::definition;
use factorization::{FitError, ValidParams, WarmStart};
use model_snapshot::Snapshot;
use sidecar_contract::{TrainingConfig, WarmStartConfig};

use super::check;
use crate::{
    failure::{FailureReason, RunError},
    merge::InteractionTable,
};

/// An earlier model, and its rows for the users and items in the data.
pub(super) struct WarmStartModel<'a> {
    snapshot: &'a Snapshot,
    users: Vec<Option<u32>>,
    items: Vec<Option<u32>>,
    iterations: u32,
}

impl<'a> WarmStartModel<'a> {
    /// Whether a fit of the config can start from the earlier model: a search may have chosen
    /// another algorithm or number of factors.
    pub(super) fn suits(config: &TrainingConfig, snapshot: &Snapshot) -> Result<bool, RunError> {
        let metadata = snapshot.metadata();
        Ok(definition(&config.algorithm)?.has_warm_start()
            && metadata.algorithm.name() == config.algorithm.name()
            && snapshot.factors() == check(config)?.factors())
    }

    /// Validates the earlier model; `None` if the config has no warm start.
    pub(super) fn new(
        config: &TrainingConfig,
        snapshot: Option<&'a Snapshot>,
        table: &InteractionTable,
    ) -> Result<Option<Self>, RunError> {
        let Some(WarmStartConfig { digest, iterations }) = &config.warm_start else { return Ok(None) };
        let invalid = |message: String| Err(RunError::permanent(FailureReason::ConfigInvalid, message));
        let Some(snapshot) = snapshot else {
            return invalid(
                "a warm start is supported on the command line only: --warm-start model.safetensors".to_owned(),
            );
        };
        if snapshot.digest() != *digest {
            return invalid(format!("the model for the warm start is {}, expected {digest}", snapshot.digest()));
        }
        if !definition(&config.algorithm)?.has_warm_start() {
            return invalid(format!(
                "{} does not support a warm start: use {}, or remove the warm start",
                config.algorithm.name(),
                algorithms::names_with(|algorithm| algorithm.has_warm_start())
            ));
        }
        let metadata = snapshot.metadata();
        if (metadata.algorithm.name(), metadata.signal) != (config.algorithm.name(), config.signal) {
            return invalid(format!(
                "the model for the warm start is {} of {:?} data: expected {} of {:?} data; use another model, or remove the warm start",
                metadata.algorithm.name(),
                metadata.signal,
                config.algorithm.name(),
                config.signal
            ));
        }
        let (given, expected) = (snapshot.factors(), check(config)?.factors());
        if given != expected {
            return invalid(FitError::WarmStart { given, expected }.to_string());
        }
        Ok(Some(Self {
            snapshot,
            users: table.user_ids.iter().map(|id| snapshot.user_index(id)).collect(),
            items: table.item_ids.iter().map(|id| snapshot.item_index(id)).collect(),
            iterations: *iterations,
        }))
    }

    /// Parameters of the fit: the config's, with the warm start's number of iterations.
    pub(super) fn params(&self, config: &TrainingConfig) -> Result<ValidParams, RunError> {
        let algorithm = definition(&config.algorithm)?.with_iterations(self.iterations);
        check(&TrainingConfig { algorithm, ..config.clone() })
    }

    /// The initial factors of the fit.
    pub(super) fn warm_start(&self) -> WarmStart<'_> {
        WarmStart {
            user_factors: self.snapshot.user_factors(),
            item_factors: self.snapshot.item_factors(),
            user_biases: self.snapshot.ratings().map_or(&[], |(_, users, _)| users),
            users: &self.users,
            items: &self.items,
        }
    }
}
