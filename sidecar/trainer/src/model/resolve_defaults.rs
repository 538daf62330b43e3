//! Default parameters that depend on the data.

use std::borrow::Cow;

use algorithms::{TrainingPart, definition};
use factorization::Interactions;
use sidecar_contract::{TrainingConfig, canonical_json};

use super::{
    interactions,
    split::{Subset, is_in, split},
};
use crate::{failure::RunError, merge::InteractionTable, weights::SplitWeighting};

/// The config with all parameters set. Those that the data decides are derived from the training
/// part alone, so that no held-out row affects what is measured; the refit on all rows uses the
/// same values. If nothing can be held out, all rows are the training part.
pub(super) fn resolve_defaults<'a>(
    config: &'a TrainingConfig,
    table: &InteractionTable,
) -> Result<Cow<'a, TrainingConfig>, RunError> {
    if !definition(&config.algorithm)?.needs_data(config.signal) {
        return resolved(config, None);
    }
    let subsets = split(config, table)?;
    let is_train = |position: usize| subsets.as_ref().is_none_or(|subsets| is_in(subsets, position, Subset::Train));
    let training = interactions(table, is_train)?;
    let training = SplitWeighting::fit(&config.weights, table, &training, is_train).transform(training, is_train);
    let config = resolved(config, Some(&training))?;
    tracing::info!(
        algorithm = canonical_json(&config.algorithm),
        "a parameter that spec.algorithm does not set is chosen from the data"
    );
    Ok(config)
}

/// The config with all parameters set, from the weighted rows of a training part.
pub(super) fn resolved<'a>(
    config: &'a TrainingConfig,
    training: Option<&Interactions>,
) -> Result<Cow<'a, TrainingConfig>, RunError> {
    let training = training.map(|interactions| TrainingPart { interactions, seed: config.seed });
    Ok(match definition(&config.algorithm)?.resolved(config.signal, training) {
        None => Cow::Borrowed(config),
        Some(algorithm) => Cow::Owned(TrainingConfig { algorithm, ..config.clone() }),
    })
}
