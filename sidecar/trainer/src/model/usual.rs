//! Parameters that nobody named and that hang on the data.

use std::borrow::Cow;

use factorization::{ExplicitAlsParams, usual_regularization};
use sidecar_contract::{Algorithm, AlsConfig, Signal, TrainingConfig};

use super::{interactions, tune::rounded};
use crate::{failure::Stop, merge::Merged, weights::PartWeights};

/// The config with a number for λ: of ALS on implicit data the one that suits all rows, which the fit that is measured has, too.
pub(super) fn completed<'a>(config: &'a TrainingConfig, merged: &Merged) -> Result<Cow<'a, TrainingConfig>, Stop> {
    let Algorithm::Als(als @ AlsConfig { regularization: None, .. }) = &config.algorithm else {
        return Ok(Cow::Borrowed(config));
    };
    let regularization = match config.signal {
        Signal::Explicit => ExplicitAlsParams::default().regularization,
        Signal::Implicit => {
            let all = interactions(merged, |_| true)?;
            let all = PartWeights::of(&config.weights, merged, &all, |_| true).weigh(all);
            rounded(usual_regularization(&all, als.unobserved_weight, als.regularization_exponent))
        }
    };
    tracing::info!(regularization, "spec.algorithm.als.regularization is absent: this one suits the data");
    let algorithm = Algorithm::Als(AlsConfig { regularization: Some(regularization), ..als.clone() });
    Ok(Cow::Owned(TrainingConfig { algorithm, ..config.clone() }))
}
