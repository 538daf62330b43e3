//! The algorithms: what differs between them outside the mathematics.
//!
//! A config or a snapshot names an algorithm with its parameters ([`Algorithm`]); `factorization`
//! fits and serves with checked parameters ([`ValidParams`]). The crate maps one to the other for
//! the trainer and for serving, because neither `factorization` nor the contract may know the
//! other.
//!
//! An algorithm is a [`Definition`] in a file of its own, and an entry of the list in
//! [`definition()`]. CONTRIBUTING.md has the steps, and `tests/it/tidy.rs` the files that may name
//! an algorithm.

mod als;
mod bpr;
mod definition;
mod draws;
mod error;
mod svd;

use factorization::ValidParams;
use sidecar_contract::{Algorithm, Signal};

pub use definition::{Definition, Search, Simplicity, TrainingPart};
pub use draws::{DataShape, Draws};
pub use error::AlgorithmError;

/// The list of algorithms.
///
/// # Errors
/// This build does not know the algorithm.
pub fn definition(algorithm: &Algorithm) -> Result<&dyn Definition, AlgorithmError> {
    match algorithm {
        Algorithm::Als(als) => Ok(als),
        Algorithm::Svd(svd) => Ok(svd),
        Algorithm::Bpr(bpr) => Ok(bpr),
        Algorithm::Auto(_) => Err(AlgorithmError::NotChosen),
        Algorithm::Unknown { name, .. } => Err(AlgorithmError::Unknown { name: name.clone() }),
    }
}

/// The checked parameters for data of this signal. All parameters must be set, as in a fitted
/// model.
///
/// # Errors
/// This build does not know the algorithm, it does not take the signal, or a parameter is not set
/// or invalid.
pub fn valid_params(algorithm: &Algorithm, signal: Signal) -> Result<ValidParams, AlgorithmError> {
    let definition = definition(algorithm)?;
    if let Some(reason) = definition.unsupported(signal) {
        let others = names_with(|other| other.unsupported(signal).is_none());
        return Err(AlgorithmError::Signal { algorithm: algorithm.name().to_owned(), signal, reason, others });
    }
    let params = definition.valid_params(signal);
    params.map_err(|problem| AlgorithmError::Parameter { algorithm: algorithm.name().to_owned(), problem })
}

/// As [`valid_params`], before the data is known: a default stands in for each parameter that the
/// data will decide.
///
/// # Errors
/// Those of [`valid_params`].
pub fn check(algorithm: &Algorithm, signal: Signal) -> Result<ValidParams, AlgorithmError> {
    match definition(algorithm)?.resolved(signal, None) {
        Some(resolved) => valid_params(&resolved, signal),
        None => valid_params(algorithm, signal),
    }
}

/// Names of the algorithms with this property, for messages: `als or svd`.
pub fn names_with(property: impl Fn(&dyn Definition) -> bool) -> String {
    let has_property = |name: &&str| {
        let algorithm = Algorithm::wire_default(name);
        algorithm.is_some_and(|algorithm| definition(&algorithm).is_ok_and(&property))
    };
    Algorithm::NAMES.into_iter().filter(has_property).collect::<Vec<_>>().join(" or ")
}
