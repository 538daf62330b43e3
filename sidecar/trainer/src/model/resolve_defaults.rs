//! Default parameters that depend on the data.

use std::borrow::Cow;

use algorithms::definition;
use sidecar_contract::{TrainingConfig, canonical_json};

use super::interactions;
use crate::{failure::RunError, merge::InteractionTable, weights::SplitWeighting};

/// The config with all parameters set. Those that the data decides are derived from all rows; the
/// fit that is evaluated uses the same values.
pub(super) fn resolve_defaults<'a>(
    config: &'a TrainingConfig,
    table: &InteractionTable,
) -> Result<Cow<'a, TrainingConfig>, RunError> {
    let definition = definition(&config.algorithm)?;
    let data = if definition.needs_data(config.signal) {
        let all = interactions(table, |_| true)?;
        Some(SplitWeighting::fit(&config.weights, table, &all, |_| true).transform(all))
    } else {
        None
    };
    let Some(algorithm) = definition.resolved(config.signal, data.as_ref()) else {
        return Ok(Cow::Borrowed(config));
    };
    tracing::info!(
        algorithm = canonical_json(&algorithm),
        "a parameter that spec.algorithm does not set is chosen from the data"
    );
    Ok(Cow::Owned(TrainingConfig { algorithm, ..config.clone() }))
}
