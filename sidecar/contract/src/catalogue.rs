//! The catalogue of a revision: titles, availability and filter columns of its items, in the order
//! of its items, apart from the model. A catalogue is replaced without training.

use serde::{Deserialize, Serialize};

use crate::{
    hash::Digest,
    store::StoreConfig,
    timed_id::TimedId,
    training::{Column, Items},
};

/// Version of a catalogue: the time of the decision to read the item table, and the hash of all
/// that the catalogue depends on except the revision. Catalogues of several revisions that were
/// made from one reading of the table have one version; equal hashes mean equal content.
pub type CatalogueVersion = TimedId;

/// Version of the result's format that this build writes.
pub const CATALOGUE_RESULT_VERSION: u32 = 1;

/// What a Job makes a catalogue from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogueConfig {
    /// Unix time in seconds of the decision, by the operator's clock; a part of the version.
    pub decided_at: i64,
    /// Digest of the revision's snapshot.
    pub revision: Digest,
    /// Size of the snapshot in bytes.
    pub snapshot_bytes: u64,
    /// Item table.
    pub items: Items,
    /// Filter columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<FilterColumn>,
    /// The newest catalogue of the Recommender, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<KnownCatalogue>,
    /// Hash in the version of the table that is held. If the table still has it and is not
    /// accepted, there is nothing to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// Hash in the version of a held table that the user accepts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
    /// Hash of what the spec asks for; the result repeats it.
    pub spec_hash: Digest,
    /// Store of the snapshot, the catalogue and the result.
    pub store: StoreConfig,
}

/// The newest catalogue of a Recommender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownCatalogue {
    /// Hash in its version.
    pub source: String,
    /// Whether it belongs to the revision of the config. If the table still has this hash, there is
    /// nothing to do.
    pub is_of_revision: bool,
    /// Items of its revision.
    pub items: u64,
    /// Available items of its revision.
    pub available: u64,
    /// Items of its revision that the table did not have.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Result of a refresh: `catalogue/<version>/<revision>.json`. It is created last and only once,
/// which commits the catalogue. A refresh that finds the table unchanged has no result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogueResult {
    /// Format version of this document; readers reject unknown versions.
    pub version: u32,
    /// Version of the catalogue.
    pub id: CatalogueVersion,
    /// [`CatalogueConfig::spec_hash`].
    pub spec_hash: Digest,
    /// Digest of the revision.
    pub revision: Digest,
    /// The catalogue; absent if the table is held or could not be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalogue: Option<CatalogueRef>,
    /// How table and model match; absent if the table could not be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<ItemCounts>,
    /// Whether the table is held, because more than half of the available items or of the known
    /// ones are gone from it. The catalogue before it keeps serving.
    #[serde(default, skip_serializing_if = "is_false")]
    pub held: bool,
    /// Why the table could not be used; empty if it could.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub failure: String,
    /// Unix time in seconds at the end.
    pub finished_at: i64,
}

/// How an item table and a model match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemCounts {
    /// Items of the model.
    pub items: u64,
    /// Items of the model that are available.
    pub available: u64,
    /// Items of the model that the table does not have. They have no title and are available.
    pub missing: u64,
    /// Rows of the table whose items the model does not have.
    pub unknown: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature of serde")]
fn is_false(value: &bool) -> bool {
    !value
}

/// A column of the item table that requests can filter by. It is no input of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FilterColumn {
    /// Column of the item table.
    pub column: Column,
    /// Name in requests; absent: the name of the column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What its values are.
    #[serde(default)]
    pub kind: FilterKind,
}

impl FilterColumn {
    /// Name in requests. A column without a header has its number.
    pub fn request_name(&self) -> String {
        match (&self.name, &self.column) {
            (Some(name), _) | (None, Column::Name(name)) => name.clone(),
            (None, Column::Index(index)) => index.to_string(),
        }
    }
}

/// What the values of a filter column are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FilterKind {
    /// Texts; several in one field are separated by `|`.
    #[default]
    Category,
    /// Numbers.
    Number,
    /// Points in time.
    Time,
}

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
