//! A Recommender that is made of others; rendered by the operator into the ConfigMap of its pods.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    access::Access,
    hash::{Digest, canonical_json},
    open::Open,
    serving::ServingLimits,
    unknown::UnknownValues,
};

/// Maximum number of parts of a composition.
pub const PARTS_MAX: usize = 16;

/// Configuration of the pods of a composition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompositionConfig {
    /// Namespace of the Recommender and of its parts.
    pub namespace: String,
    /// Name of the Recommender.
    pub name: String,
    /// How the answers of the parts become one.
    pub rule: Rule,
    /// The parts that the rule names, in their order.
    pub parts: Vec<PartConfig>,
    /// Request limits.
    #[serde(default)]
    pub limits: ServingLimits,
    /// Who may ask the pods.
    #[serde(default, skip_serializing_if = "Access::is_default")]
    pub access: Access,
}

/// A part: another Recommender of the namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartConfig {
    /// Name of the Recommender.
    pub name: String,
    /// ServiceAccount of its serving pods, which are asked with mutual TLS. Absent: without TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// Addresses (`HOST:PORT`) in place of those of its Service; for a composition outside of
    /// Kubernetes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// What one request may ask it for.
    #[serde(default)]
    pub limits: ServingLimits,
}

/// How the answers of the parts become one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Rule {
    /// The items of all parts, ranked by the sum of weighted scores.
    Blend(Blend),
    /// The first part that answers well enough.
    Cascade(Cascade),
    /// The part that the request selects.
    Switch(Switch),
    /// The part to which the user belongs.
    Split(Split),
}

/// Parameters of a blend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Blend {
    /// The parts with their weights.
    pub parts: Vec<WeightedPart>,
    /// How the scores of different parts become comparable. A pod that does not know it blends by
    /// rank.
    #[serde(default)]
    pub normalize: Open<Normalize>,
}

/// A part of a blend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WeightedPart {
    /// Name of the Recommender.
    pub name: String,
    /// Weight of its scores, above 0.
    pub weight: f64,
}

/// How scores become comparable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Normalize {
    /// By their ranks.
    #[default]
    Rank,
    /// By the lowest and the highest score of each list.
    Score,
}

/// Parameters of a cascade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cascade {
    /// The parts in the order in which they are asked.
    pub parts: Vec<String>,
    /// Minimum number of items of an answer that is good enough; fewer if fewer are requested.
    pub min_items: u32,
    /// Whether a degraded answer is good enough.
    #[serde(default)]
    pub accept_degraded: bool,
}

/// Parameters of a switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Switch {
    /// What of the request selects the part.
    #[serde(flatten)]
    pub by: SwitchBy,
    /// The parts by value.
    pub cases: Vec<SwitchCase>,
    /// The part for all other requests.
    pub default: String,
}

/// What of a request selects the part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SwitchBy {
    /// The value of the header with this name, in lower case.
    Header(String),
    /// A field.
    Field(SwitchField),
}

/// A field of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SwitchField {
    /// The id of the user.
    User,
    /// What the items are for: `user`, `history` (without a user) or `item`.
    Query,
}

/// A case of a switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SwitchCase {
    /// The value.
    pub value: String,
    /// Name of the Recommender.
    pub part: String,
}

/// Parameters of a split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Split {
    /// The parts with their shares.
    pub parts: Vec<SharedPart>,
    /// Text that is hashed with the id of the user. A different salt reassigns all users.
    #[serde(default)]
    pub salt: String,
}

/// A part of a split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedPart {
    /// Name of the Recommender.
    pub name: String,
    /// Its share of the users, relative to the sum of all shares; above 0.
    pub share: u32,
}

impl CompositionConfig {
    /// Hash that a pod reports once it has applied the config.
    pub fn hash(&self) -> Digest {
        Digest::of(canonical_json(self).as_bytes())
    }

    /// Values of a newer operator that this build does not know, for [`crate::ModelReport`].
    pub fn unknown_values(&self) -> Vec<String> {
        let mut unknown = UnknownValues::default();
        if let Rule::Blend(blend) = &self.rule {
            unknown.add("rule.blend.normalize", blend.normalize.unknown());
        }
        self.access.add_unknown(&mut unknown);
        unknown.into_list()
    }
}

impl Rule {
    /// Names of its parts in the order of the rule, each once.
    pub fn parts(&self) -> Vec<&str> {
        let all: Vec<&str> = match self {
            Self::Blend(blend) => blend.parts.iter().map(|part| part.name.as_str()).collect(),
            Self::Cascade(cascade) => cascade.parts.iter().map(String::as_str).collect(),
            Self::Switch(switch) => {
                let cases = switch.cases.iter().map(|case| case.part.as_str());
                cases.chain([switch.default.as_str()]).collect()
            }
            Self::Split(split) => split.parts.iter().map(|part| part.name.as_str()).collect(),
        };
        let mut parts = Vec::with_capacity(all.len());
        for part in all {
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        parts
    }

    /// Digest of the rule. Its first ten digits are the revision of the composition.
    pub fn digest(&self) -> Digest {
        Digest::of(canonical_json(self).as_bytes())
    }

    /// Name of the rule.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Blend(_) => "blend",
            Self::Cascade(_) => "cascade",
            Self::Switch(_) => "switch",
            Self::Split(_) => "split",
        }
    }

    /// Name of the header that selects the part, if one does.
    pub fn header(&self) -> Option<&str> {
        match self {
            Self::Switch(Switch { by: SwitchBy::Header(name), .. }) => Some(name),
            _ => None,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.kind(), self.parts().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn each_part_is_named_once_and_in_the_order_of_the_rule() {
        let switch = rule(
            r#"{"switch": {"header": "x-recmesh-segment", "cases": [{"value": "new", "part": "b"},
                {"value": "old", "part": "a"}, {"value": "odd", "part": "b"}], "default": "a"}}"#,
        );
        assert_eq!(switch.parts(), ["b", "a"]);
        assert_eq!(switch.header(), Some("x-recmesh-segment"));
        let cascade = rule(r#"{"cascade": {"parts": ["c", "a"], "minItems": 1}}"#);
        assert_eq!((cascade.parts(), cascade.header()), (vec!["c", "a"], None));
    }

    #[test]
    fn a_rule_is_its_digest_and_an_unknown_normalization_is_kept() {
        let blend = |normalize: &str| {
            rule(&format!(r#"{{"blend": {{"normalize": "{normalize}", "parts": [{{"name": "a", "weight": 1}}]}}}}"#))
        };
        assert_eq!(blend("rank").digest(), rule(r#"{"blend": {"parts": [{"name": "a", "weight": 1.0}]}}"#).digest());
        assert_ne!(blend("rank").digest(), blend("score").digest());
        let field = rule(r#"{"switch": {"field": "query", "cases": [], "default": "a"}}"#);
        assert!(matches!(field, Rule::Switch(Switch { by: SwitchBy::Field(SwitchField::Query), .. })));
        let config = CompositionConfig {
            namespace: "shop".to_owned(),
            name: "home".to_owned(),
            rule: blend("median"),
            parts: Vec::new(),
            limits: ServingLimits::default(),
            access: Access::default(),
        };
        assert_eq!(config.unknown_values().len(), 1);
        let text = canonical_json(&config);
        assert_eq!(crate::read::<CompositionConfig>(&text).unwrap().hash, config.hash());
    }
}
