//! What a row of interactions means. Training configs and snapshots contain it.

use serde::{Deserialize, Serialize};

/// Meaning of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Implicit feedback: the rating is a weight; 0 or less is a dislike.
    #[default]
    Implicit,
    /// Explicit rating on a scale.
    Explicit,
}
