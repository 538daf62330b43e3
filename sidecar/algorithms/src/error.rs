//! Why an algorithm can be neither fitted nor served.

use sidecar_contract::{Algorithm, Signal};

/// Why an algorithm can be neither fitted nor served. The message begins with the name of the
/// algorithm or the path of a parameter, both below `spec.algorithm`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AlgorithmError {
    /// An algorithm of a newer version.
    #[error("{name} is not supported by this image, which supports {}: use a newer image", Algorithm::NAMES.join(", "))]
    Unknown {
        /// Name of the algorithm.
        name: String,
    },
    /// A choice in place of an algorithm.
    #[error("auto is not the algorithm of a model, which is {}: a training run chooses one", Algorithm::NAMES.join(", "))]
    NotChosen,
    /// The algorithm does not take data of this signal.
    #[error("{algorithm} is not valid with spec.data.signal: {}, because {reason}: set spec.algorithm.{others}", name(*signal))]
    Signal {
        /// Name of the algorithm.
        algorithm: String,
        /// Signal of the data.
        signal: Signal,
        /// Why the algorithm does not take it.
        reason: &'static str,
        /// Algorithms that take it.
        others: String,
    },
    /// A parameter is not set or invalid.
    #[error("{algorithm}.{problem}")]
    Parameter {
        /// Name of the algorithm.
        algorithm: String,
        /// Name of the parameter, what is wrong, and what is valid.
        problem: String,
    },
}

fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::Implicit => "implicit",
        Signal::Explicit => "explicit",
    }
}
