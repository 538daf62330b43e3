//! A Recommender that is made of others of its namespace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The rule that makes one answer of those of other Recommenders: exactly one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Compose {
    /// The items of all parts, ranked by the weighted mean of their scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blend: Option<Blend>,
    /// The first part that answers well enough; the next one is asked only if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cascade: Option<Cascade>,
    /// The part that a header or a field of the request selects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<Switch>,
    /// The part to which a user belongs, by a hash of the id. Without a user, that of the history
    /// or of the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitParts>,
}

/// Parameters of a blend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Blend {
    /// The parts with their weights.
    #[schemars(length(min = 2, max = 16))]
    pub parts: Vec<WeightedPart>,
    /// How scores become comparable: rank (the place in the list) or score (0 is the lowest of the
    /// list and 1 the highest; parts of one data.signal only). Default: rank.
    #[serde(default)]
    pub normalize: Normalize,
}

/// A part of a blend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WeightedPart {
    /// Name of a Recommender of this namespace.
    #[schemars(length(min = 1, max = 40))]
    pub name: String,
    /// Weight, 0.001 to 1000. Default: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 0.001, max = 1000.0))]
    pub weight: f64,
}

/// How scores become comparable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Normalize {
    /// By rank.
    #[default]
    Rank,
    /// By the range of the scores.
    Score,
}

/// Parameters of a cascade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cascade {
    /// Names of Recommenders of this namespace, in the order in which they are asked.
    #[schemars(length(min = 2, max = 16), inner(length(min = 1, max = 40)))]
    pub parts: Vec<String>,
    /// Minimum number of items of an answer that is good enough, 1 to 10000; fewer if fewer are
    /// requested. Default: 1.
    #[serde(default = "one_item")]
    #[schemars(range(min = 1, max = 10_000))]
    pub min_items: u32,
    /// Whether a degraded answer is good enough. Default: false.
    #[serde(default)]
    pub accept_degraded: bool,
}

/// Parameters of a switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Switch {
    /// Name of the header whose value selects the part. The prefix is that of the headers that the
    /// sidecar of an app sends on. Example: x-recmesh-segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 11, max = 60), regex(pattern = "^x-recmesh-[a-z0-9-]+$"))]
    pub header: Option<String>,
    /// Field of the request whose value selects the part, in place of header: user (the id) or
    /// query (what the items are for: user, history without a user, or item).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<SwitchField>,
    /// The parts by value.
    #[schemars(length(min = 1, max = 64))]
    pub cases: Vec<SwitchCase>,
    /// The Recommender for all other requests, and in place of one that does not answer.
    #[schemars(length(min = 1, max = 40))]
    pub default: String,
}

/// A field of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SwitchField {
    /// The id of the user.
    User,
    /// What the items are for.
    Query,
}

/// A case of a switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SwitchCase {
    /// Value of the header or of the field.
    #[schemars(length(min = 1, max = 256))]
    pub value: String,
    /// Name of a Recommender of this namespace.
    #[schemars(length(min = 1, max = 40))]
    pub part: String,
}

/// Parameters of a split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SplitParts {
    /// The parts with their shares. Users stay in their part while neither the shares nor their
    /// order change.
    #[schemars(length(min = 2, max = 16))]
    pub parts: Vec<SharedPart>,
    /// Text that is hashed with the id. A different salt reassigns all users.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub salt: String,
}

/// A part of a split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SharedPart {
    /// Name of a Recommender of this namespace.
    #[schemars(length(min = 1, max = 40))]
    pub name: String,
    /// Share of the users, 1 to 1000000, relative to the sum of all shares. Example: 50.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub share: u32,
}

fn one() -> f64 {
    1.0
}

fn one_item() -> u32 {
    1
}
