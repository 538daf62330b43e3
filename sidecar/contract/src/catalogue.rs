//! The catalogue of a revision: titles, availability and filter columns of its items, in the order
//! of its items, apart from the model. A catalogue is replaced without training.

use serde::{Deserialize, Serialize};

use crate::{hash::Digest, timed_id::TimedId};

/// Version of a catalogue: the time of the decision to read the item table, and the hash of all
/// that the catalogue depends on except the revision. Catalogues of several revisions that were
/// made from one reading of the table have one version; equal hashes mean equal content.
pub type CatalogueVersion = TimedId;

/// A catalogue in the store, as the serving config announces it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogueRef {
    /// Text of its [`CatalogueVersion`]. Answers repeat it; pods only compare it.
    pub version: String,
    /// SHA-256 of the file.
    pub digest: Digest,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Key of the file, relative to the prefix of the Recommender:
    /// `catalogue/<version>/<revision>`; see [`crate::KeyLayout::below`].
    pub key: String,
}
