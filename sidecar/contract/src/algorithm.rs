//! Algorithms and their parameters. Training configs, run results and snapshots contain them.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
    ser::SerializeMap as _,
};
use serde_json::{Map, Value, json};

use crate::{auto::AutoConfig, signal::Signal};

const ALS: &str = "als";
const SVD: &str = "svd";
const BPR: &str = "bpr";
const AUTO: &str = "auto";

/// Default of the minimum number of users of an item in the two-hop term.
const DEFAULT_USERS_MIN: u32 = 5;

/// Exactly one algorithm with its parameters; in JSON, an object with the name as its only key.
///
/// The operator shows an unknown algorithm by its name and passes it on. The trainer and the
/// serving pods refuse it, because they cannot compute with it.
#[derive(Clone, Debug, PartialEq)]
pub enum Algorithm {
    /// Alternating least squares.
    Als(AlsConfig),
    /// Truncated singular value decomposition.
    Svd(SvdConfig),
    /// Bayesian personalized ranking.
    Bpr(BprConfig),
    /// The one that a search chooses: of a training config only, never of a model.
    Auto(AutoConfig),
    /// An algorithm of a newer version. It serializes unchanged.
    Unknown {
        /// Its name.
        name: String,
        /// Its parameters.
        parameters: Value,
    },
}

impl Algorithm {
    /// Names of the algorithms of models that this build knows.
    pub const NAMES: [&str; 3] = [ALS, SVD, BPR];

    /// Name in the resource, in metrics and in the output of `kubectl get`.
    pub fn name(&self) -> &str {
        match self {
            Self::Als(_) => ALS,
            Self::Svd(_) => SVD,
            Self::Bpr(_) => BPR,
            Self::Auto(_) => AUTO,
            Self::Unknown { name, .. } => name,
        }
    }

    /// Name of the algorithm if this build does not know it.
    pub fn unknown(&self) -> Option<&str> {
        match self {
            Self::Als(_) | Self::Svd(_) | Self::Bpr(_) | Self::Auto(_) => None,
            Self::Unknown { name, .. } => Some(name),
        }
    }

    /// The algorithm with this name and these parameters; the others have their defaults for data
    /// of this signal.
    ///
    /// # Errors
    /// A parameter has the wrong type.
    pub fn with_defaults(name: &str, signal: Signal, given: Map<String, Value>) -> serde_json::Result<Self> {
        let defaults = match name {
            ALS => {
                let defaults = AlsConfig::defaults_for(signal);
                let degree_exponent = given.get("degreeExponent").and_then(Value::as_f64);
                let popularity_boost =
                    AlsConfig::default_popularity_boost(degree_exponent.unwrap_or(defaults.degree_exponent));
                Self::Als(AlsConfig { popularity_boost, ..defaults })
            }
            SVD => {
                let degree_exponent = SvdConfig::default_degree_exponent(signal);
                let co_occurrence_weight = default_co_occurrence_weight(signal);
                Self::Svd(SvdConfig { degree_exponent, co_occurrence_weight, ..SvdConfig::default() })
            }
            BPR => Self::Bpr(BprConfig::default()),
            AUTO => Self::Auto(AutoConfig::default()),
            _ => Self::Unknown { name: name.to_owned(), parameters: Value::Object(Map::new()) },
        };
        let mut parameters = defaults.parameters();
        parameters.extend(given);
        serde_json::from_value(json!({ name: parameters }))
    }

    /// The algorithm with this name and the parameters that a serialized config omits; `None` if
    /// this build does not know it. [`Self::with_defaults`] has those that a user does not set.
    pub fn wire_default(name: &str) -> Option<Self> {
        match name {
            ALS => Some(Self::Als(AlsConfig::WIRE_DEFAULT)),
            SVD => Some(Self::Svd(SvdConfig::default())),
            BPR => Some(Self::Bpr(BprConfig::default())),
            AUTO => Some(Self::Auto(AutoConfig::default())),
            _ => None,
        }
    }

    /// Whether scores have a two-hop term. False if this build does not know the algorithm.
    pub fn has_two_hop_term(&self) -> bool {
        match self {
            Self::Als(AlsConfig { co_occurrence_weight, .. }) | Self::Svd(SvdConfig { co_occurrence_weight, .. }) => {
                co_occurrence_weight.is_some_and(|weight| weight > 0.0)
            }
            Self::Bpr(_) | Self::Auto(_) | Self::Unknown { .. } => false,
        }
    }

    /// The parameters by name. Those that are 0 and may be omitted are absent.
    pub fn parameters(&self) -> Map<String, Value> {
        let parameters = match self {
            Self::Als(parameters) => json!(parameters),
            Self::Svd(parameters) => json!(parameters),
            Self::Bpr(parameters) => json!(parameters),
            Self::Auto(limits) => json!(limits),
            Self::Unknown { parameters, .. } => parameters.clone(),
        };
        match parameters {
            Value::Object(parameters) => parameters,
            _ => Map::new(),
        }
    }
}

impl Serialize for Algorithm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::Als(parameters) => map.serialize_entry(ALS, parameters)?,
            Self::Svd(parameters) => map.serialize_entry(SVD, parameters)?,
            Self::Bpr(parameters) => map.serialize_entry(BPR, parameters)?,
            Self::Auto(limits) => map.serialize_entry(AUTO, limits)?,
            Self::Unknown { name, parameters } => map.serialize_entry(name, parameters)?,
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Algorithm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ByName)
    }
}

/// Reads an object with one key.
struct ByName;

impl<'de> Visitor<'de> for ByName {
    type Value = Algorithm;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with one key, the name of an algorithm")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Algorithm, A::Error> {
        let not_one = || A::Error::invalid_length(0, &self);
        let name: String = map.next_key()?.ok_or_else(not_one)?;
        let algorithm = match name.as_str() {
            ALS => Algorithm::Als(map.next_value()?),
            SVD => Algorithm::Svd(map.next_value()?),
            BPR => Algorithm::Bpr(map.next_value()?),
            AUTO => Algorithm::Auto(map.next_value()?),
            _ => Algorithm::Unknown { parameters: map.next_value()?, name },
        };
        match map.next_key::<IgnoredAny>()? {
            None => Ok(algorithm),
            Some(_) => Err(A::Error::invalid_length(2, &self)),
        }
    }
}

/// Parameters of ALS; `factorization` defines the objectives and the valid ranges.
/// `unobserved_weight` does not apply to explicit data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default = "wire_default")]
pub struct AlsConfig {
    /// Number of factors.
    pub factors: u32,
    /// Iterations; each updates all users, then all items.
    pub iterations: u32,
    /// L2 regularization strength λ. `None` in a request: chosen from the data. Always set in a
    /// result.
    pub regularization: Option<f64>,
    /// Exponent ν: how λ scales with the number of a row's interactions.
    pub regularization_exponent: f64,
    /// Weight α₀ of unobserved pairs.
    pub unobserved_weight: f64,
    /// Popularity debiasing exponent η; 0 for explicit data. Omitted if 0, as in models that
    /// predate the field.
    #[serde(skip_serializing_if = "is_default")]
    pub degree_exponent: f64,
    /// Popularity boost ρ, the fraction of the debiasing that is undone at ranking time; 0 if η is
    /// 0. Omitted if 0.
    #[serde(skip_serializing_if = "is_default")]
    pub popularity_boost: f64,
    /// Exponent η′ of users in the two-hop term; `None`: η. Omitted if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_degree_exponent: Option<f64>,
    /// Weight c of the two-hop term; 0: no term. `None` in a request: chosen from the data. Always
    /// set in a result. Omitted if 0, as in models that predate the field.
    #[serde(skip_serializing_if = "is_no_weight")]
    pub co_occurrence_weight: Option<f64>,
    /// Items with fewer users take no part in the two-hop term. Omitted if it is the default.
    #[serde(skip_serializing_if = "is_default_users_min")]
    pub min_users_per_item: u32,
    /// Gibbs samples whose mean is served; only for explicit data. 0 disables sampling and is
    /// omitted.
    #[serde(skip_serializing_if = "is_default")]
    pub samples: u32,
}

fn wire_default() -> AlsConfig {
    AlsConfig::WIRE_DEFAULT
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl AlsConfig {
    /// Values of fields that a serialized config omits. They differ from
    /// [`AlsConfig::defaults_for`], which applies if the user sets no parameters.
    pub const WIRE_DEFAULT: Self = Self {
        factors: 64,
        iterations: 15,
        regularization: Some(0.003),
        regularization_exponent: 1.0,
        unobserved_weight: 0.1,
        degree_exponent: 0.0,
        popularity_boost: 0.0,
        user_degree_exponent: None,
        co_occurrence_weight: Some(0.0),
        min_users_per_item: DEFAULT_USERS_MIN,
        samples: 0,
    };

    /// Parameters that the user does not set. ADR 20 has the measurements for implicit data.
    pub fn defaults_for(signal: Signal) -> Self {
        match signal {
            Signal::Implicit => Self {
                regularization: None,
                unobserved_weight: 0.3,
                degree_exponent: 0.5,
                popularity_boost: Self::default_popularity_boost(0.5),
                co_occurrence_weight: default_co_occurrence_weight(signal),
                ..Self::WIRE_DEFAULT
            },
            Signal::Explicit => Self { regularization: None, ..Self::WIRE_DEFAULT },
        }
    }

    /// Human-readable λ.
    pub fn regularization_text(&self) -> String {
        self.regularization.map_or_else(|| "automatic".to_owned(), |lambda| lambda.to_string())
    }

    /// Default of ρ for this η.
    pub fn default_popularity_boost(degree_exponent: f64) -> f64 {
        if degree_exponent > 0.0 { 0.5 } else { 0.0 }
    }
}

/// Parameters of truncated SVD; `factorization` defines them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SvdConfig {
    /// Number of factors, that is, of retained singular values.
    pub factors: u32,
    /// Max iterations.
    pub iterations: u32,
    /// Popularity debiasing exponent η; 0 for explicit data.
    pub degree_exponent: f64,
    /// That of users, η′; `None`: η. Omitted if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_degree_exponent: Option<f64>,
    /// Weight c of the two-hop term; 0: no term. `None` in a request: chosen from the data. Always
    /// set in a result. Omitted if 0, as in models that predate the field.
    #[serde(skip_serializing_if = "is_no_weight")]
    pub co_occurrence_weight: Option<f64>,
    /// Items with fewer users take no part in the two-hop term. Omitted if it is the default.
    #[serde(skip_serializing_if = "is_default_users_min")]
    pub min_users_per_item: u32,
}

#[expect(clippy::ref_option, reason = "serde passes a reference")]
fn is_no_weight(weight: &Option<f64>) -> bool {
    weight.is_some_and(is_zero)
}

fn is_zero(weight: f64) -> bool {
    weight == 0.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_default_users_min(users: &u32) -> bool {
    *users == DEFAULT_USERS_MIN
}

/// Default of c for this signal: chosen from the data, or no term for ratings.
fn default_co_occurrence_weight(signal: Signal) -> Option<f64> {
    match signal {
        Signal::Implicit => None,
        Signal::Explicit => Some(0.0),
    }
}

impl SvdConfig {
    /// Default of η for this signal.
    pub fn default_degree_exponent(signal: Signal) -> f64 {
        match signal {
            Signal::Implicit => 0.5,
            Signal::Explicit => 0.0,
        }
    }
}

impl Default for SvdConfig {
    fn default() -> Self {
        Self {
            factors: 64,
            iterations: 10,
            degree_exponent: Self::default_degree_exponent(Signal::Implicit),
            user_degree_exponent: None,
            co_occurrence_weight: Some(0.0),
            min_users_per_item: DEFAULT_USERS_MIN,
        }
    }
}

/// Parameters of BPR; `factorization` defines them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BprConfig {
    /// Number of factors.
    pub factors: u32,
    /// Epochs.
    pub iterations: u32,
    /// Learning rate γ.
    pub learning_rate: f64,
    /// L2 regularization strength λ.
    pub regularization: f64,
}

impl Default for BprConfig {
    fn default() -> Self {
        Self { factors: 64, iterations: 100, learning_rate: 0.05, regularization: 0.003 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::canonical_json;

    fn read(text: &str) -> Result<Algorithm, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn every_algorithm_round_trips_by_its_name() {
        let known = [
            Algorithm::Als(AlsConfig::WIRE_DEFAULT),
            Algorithm::Svd(SvdConfig::default()),
            Algorithm::Bpr(BprConfig::default()),
        ];
        assert_eq!(known.each_ref().map(Algorithm::name), Algorithm::NAMES);
        for algorithm in known {
            let text = canonical_json(&algorithm);
            assert!(text.starts_with(&format!("{{\"{}\":{{", algorithm.name())), "{text}");
            assert_eq!(algorithm.unknown(), None);
            assert_eq!(read(&text).unwrap(), algorithm);
        }
    }

    #[test]
    fn parameters_that_are_not_given_have_the_defaults_of_the_signal() {
        let with = |name: &str, signal, given: &str| {
            Algorithm::with_defaults(name, signal, serde_json::from_str(given).unwrap()).unwrap()
        };
        for signal in [Signal::Implicit, Signal::Explicit] {
            assert_eq!(with("als", signal, "{}"), Algorithm::Als(AlsConfig::defaults_for(signal)));
            assert_eq!(with("bpr", signal, "{}"), Algorithm::Bpr(BprConfig::default()));
            let degree_exponent = SvdConfig::default_degree_exponent(signal);
            assert_eq!(
                with("svd", signal, "{}"),
                Algorithm::Svd(SvdConfig {
                    degree_exponent,
                    co_occurrence_weight: default_co_occurrence_weight(signal),
                    ..SvdConfig::default()
                })
            );
        }
        // The default of the popularity boost depends on the degree exponent.
        for (given, degree_exponent, popularity_boost) in [
            (r#"{"degreeExponent": 0}"#, 0.0, 0.0),
            (r#"{"degreeExponent": 0.2}"#, 0.2, 0.5),
            (r#"{"degreeExponent": 0.2, "popularityBoost": 0.1}"#, 0.2, 0.1),
        ] {
            let expected = AlsConfig { degree_exponent, popularity_boost, ..AlsConfig::defaults_for(Signal::Implicit) };
            assert_eq!(with("als", Signal::Implicit, given), Algorithm::Als(expected));
        }
        let given = r#"{"factors": 8, "samples": 50, "regularization": 0.25, "learningRate": 1}"#;
        let expected = AlsConfig {
            factors: 8,
            samples: 50,
            regularization: Some(0.25),
            ..AlsConfig::defaults_for(Signal::Explicit)
        };
        assert_eq!(with("als", Signal::Explicit, given), Algorithm::Als(expected));
        assert_eq!(with("slim", Signal::Implicit, "{}").unknown(), Some("slim"));
        let wrong =
            Algorithm::with_defaults("bpr", Signal::Implicit, serde_json::from_str(r#"{"factors": 0.5}"#).unwrap());
        assert!(wrong.is_err());
    }

    #[test]
    fn wire_defaults_are_what_an_empty_object_means() {
        for name in Algorithm::NAMES {
            assert_eq!(Algorithm::wire_default(name), Some(read(&format!("{{\"{name}\":{{}}}}")).unwrap()));
        }
        assert_eq!(Algorithm::wire_default("slim"), None);
    }

    #[test]
    fn auto_is_read_and_written_with_its_limits() {
        let given = serde_json::from_str(r#"{"fits": 9}"#).unwrap();
        let auto = Algorithm::with_defaults("auto", Signal::Implicit, given).unwrap();
        assert_eq!((auto.name(), auto.unknown()), ("auto", None));
        let text = r#"{"auto":{"budgetSeconds":1200,"factorsMax":128,"fits":9}}"#;
        assert_eq!(canonical_json(&auto), text);
        assert_eq!(read(text).unwrap(), auto);
        assert_eq!(read(r#"{"auto":{}}"#).unwrap(), Algorithm::wire_default("auto").unwrap());
    }

    #[test]
    fn an_unknown_algorithm_keeps_its_parameters() {
        let text = r#"{"slim":{"alpha":0.1,"layers":[8,4],"seed":18446744073709551615}}"#;
        let algorithm = read(text).unwrap();
        assert_eq!((algorithm.name(), algorithm.unknown()), ("slim", Some("slim")));
        assert_eq!(canonical_json(&algorithm), text);
    }

    #[test]
    fn invalid_parameters_of_a_known_algorithm_are_an_error() {
        for text in [r#"{"als":{"factors":-1}}"#, "{}", r#"{"als":{},"svd":{}}"#, r#"{"slim":{},"als":{}}"#, r#""als""#]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
