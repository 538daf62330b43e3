//! The algorithm and its parameters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Compose;

/// The algorithm and its parameters: exactly one of the fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlgorithmSpec {
    /// Alternating least squares (ALS). For implicit data the objective is the sum over all
    /// observed pairs of a·ŷ² − 2b·ŷ, plus unobservedWeight times the sum of ŷ² over all pairs,
    /// plus regularization times the squared norm of each row times (n + unobservedWeight·N) to the
    /// power of regularizationExponent. n is the number of the row's observed pairs, N the number
    /// of all pairs that the row could have. With data.signal: explicit it fits the ratings by a
    /// global mean, user and item biases, and factors, over the observed pairs only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub als: Option<Als>,
    /// Truncated singular value decomposition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub svd: Option<Svd>,
    /// Bayesian personalized ranking (BPR): learns which of two items a user prefers, by stochastic
    /// gradient descent on one thread. For data.signal: implicit only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bpr: Option<Bpr>,
    /// Chooses one of the algorithms that suit the data, with its parameters, by a search before
    /// each run's fit: the simplest one within one standard error of the best. An algorithm or a
    /// number of factors that needs more memory than training.resources.limits or
    /// serving.resources.limits allow is not tried. status.model.algorithm and
    /// status.model.parameters show the choice, status.model.search what was tried. Example: {}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto: Option<Auto>,
    /// Other Recommenders of this namespace answer: nothing is trained, and data is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compose: Option<Compose>,
}

impl Default for AlgorithmSpec {
    /// `als: {}`.
    fn default() -> Self {
        Self { als: Some(Als::default()), svd: None, bpr: None, auto: None, compose: None }
    }
}

/// The algorithm that an [`AlgorithmSpec`] sets.
#[derive(Clone, Debug, PartialEq)]
pub struct ChosenAlgorithm {
    /// Name of its field.
    pub name: String,
    /// Its parameters as in the spec; those without a value are absent.
    pub parameters: Map<String, Value>,
}

impl AlgorithmSpec {
    /// Returns the algorithm that is set, or `None` unless exactly one is set.
    pub fn chosen(&self) -> Option<ChosenAlgorithm> {
        let Ok(Value::Object(set)) = serde_json::to_value(self) else { return None };
        let mut set = set.into_iter();
        match (set.next(), set.next()) {
            (Some((name, Value::Object(parameters))), None) => Some(ChosenAlgorithm { name, parameters }),
            _ => None,
        }
    }
}

/// Parameters of ALS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Als {
    /// Number of latent factors, 1 to 1024. More factors capture finer preferences and cost more
    /// memory and time. Default: 64.
    #[schemars(range(min = 1, max = 1024))]
    pub factors: u32,
    /// Number of iterations, 1 to 1000. Each updates all users, then all items. Default: 15.
    #[schemars(range(min = 1, max = 1000))]
    pub iterations: u32,
    /// L2 regularization strength (λ), 0 to 1000000. Absent: chosen from the data (ADR 20);
    /// status.model.parameters shows the value. With data.signal: explicit it is relative to the
    /// standard deviation of the ratings and must be above 0; absent: 0.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub regularization: Option<f64>,
    /// How regularization scales with the number of a row's interactions: an exponent from 0
    /// (constant) to 2. Default: 1.
    #[schemars(range(min = 0.0, max = 2.0))]
    pub regularization_exponent: f64,
    /// Weight of an unobserved pair relative to an observed one, 0 to 10000. For data.signal:
    /// implicit only. Absent: 0.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 10_000.0))]
    pub unobserved_weight: Option<f64>,
    /// Popularity debiasing exponent: down-weights active users and popular items, 0 (off) to 1.
    /// The mean weight does not change. For data.signal: implicit only. Absent: 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub degree_exponent: Option<f64>,
    /// How much of the popularity debiasing is undone at ranking time, 0 (nothing) to 1. Requires
    /// degreeExponent above 0. Absent: 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub popularity_boost: Option<f64>,
    /// Popularity debiasing exponent of users in the two-hop term, 0 (off) to 1; degreeExponent
    /// then applies to its items only. For data.signal: implicit only. Absent: degreeExponent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub user_degree_exponent: Option<f64>,
    /// Weight of the two-hop term, 0 (off) to 10000: how much an item counts that shares users with
    /// the user's items, besides what the factors represent of it. For data.signal: implicit only.
    /// Absent: chosen on a tenth of the training part; status.model.parameters shows the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 10_000.0))]
    pub co_occurrence_weight: Option<f64>,
    /// Items with fewer users take no part in the two-hop term, 1 to 1000, so that no list repeats
    /// the choices of a few users. Absent: 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_users_per_item: Option<u32>,
    /// Refines the ALS fit by Gibbs sampling and serves the posterior mean: better predicted
    /// ratings, longer training. For data.signal: explicit only. regularizationExponent: 0.5 works
    /// well with it. Absent: the ALS fit is served. Example: {}.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling: Option<Sampling>,
}

impl Default for Als {
    fn default() -> Self {
        Self {
            factors: 64,
            iterations: 15,
            regularization: None,
            regularization_exponent: 1.0,
            unobserved_weight: None,
            degree_exponent: None,
            popularity_boost: None,
            user_degree_exponent: None,
            co_occurrence_weight: None,
            min_users_per_item: None,
            sampling: None,
        }
    }
}

/// Parameters of Gibbs sampling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Sampling {
    /// Number of samples that are averaged, 1 to 1000, after 10 discarded burn-in samples. Default:
    /// 50.
    #[schemars(range(min = 1, max = 1000))]
    pub samples: u32,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { samples: 50 }
    }
}

/// Parameters of truncated SVD.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Svd {
    /// Number of singular values, 1 to 1024. Default: 64.
    #[schemars(range(min = 1, max = 1024))]
    pub factors: u32,
    /// Maximum number of iterations, 1 to 1000. The solver stops earlier on convergence. Default:
    /// 10.
    #[schemars(range(min = 1, max = 1000))]
    pub iterations: u32,
    /// Popularity debiasing exponent: down-weights active users and popular items, 0 (off) to 1.
    /// For data.signal: implicit only. Absent: 0.5, or 0 with data.signal: explicit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub degree_exponent: Option<f64>,
    /// Popularity debiasing exponent of users, 0 (off) to 1; degreeExponent then applies to items
    /// only. For data.signal: implicit only. Absent: degreeExponent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub user_degree_exponent: Option<f64>,
    /// Weight of the two-hop term, 0 (off) to 10000: how much an item counts that shares users with
    /// the user's items, besides what the factors represent of it. For data.signal: implicit only.
    /// Absent: chosen on a tenth of the training part; status.model.parameters shows the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 10_000.0))]
    pub co_occurrence_weight: Option<f64>,
    /// Items with fewer users take no part in the two-hop term, 1 to 1000, so that no list repeats
    /// the choices of a few users. Absent: 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_users_per_item: Option<u32>,
}

impl Default for Svd {
    fn default() -> Self {
        Self {
            factors: 64,
            iterations: 10,
            degree_exponent: None,
            user_degree_exponent: None,
            co_occurrence_weight: None,
            min_users_per_item: None,
        }
    }
}

/// Parameters of BPR.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Bpr {
    /// Number of latent factors, 1 to 1024. Default: 64.
    #[schemars(range(min = 1, max = 1024))]
    pub factors: u32,
    /// Number of passes over the interactions (epochs), 1 to 1000. Default: 100.
    #[schemars(range(min = 1, max = 1000))]
    pub iterations: u32,
    /// Step size of the gradient descent, 0.000001 to 10. Default: 0.05.
    #[schemars(range(min = 0.000_001, max = 10.0))]
    pub learning_rate: f64,
    /// L2 regularization strength (λ), 0 to 1000000. Its product with learningRate must be at most
    /// 1. Default: 0.003.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub regularization: f64,
}

impl Default for Bpr {
    fn default() -> Self {
        Self { factors: 64, iterations: 100, learning_rate: 0.05, regularization: 0.003 }
    }
}

/// Limits of the search that chooses an algorithm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Auto {
    /// Maximum number of fits, 1 to 1000: one of each algorithm with its defaults, the others with
    /// random parameters by successive halving. Equal data, spec and seed give an equal choice.
    /// Default: 24.
    #[schemars(range(min = 1, max = 1000))]
    pub fits: u32,
    /// Maximum number of latent factors, 1 to 1024. Default: 128.
    #[schemars(range(min = 1, max = 1024))]
    pub factors_max: u32,
    /// Time after which no new fit starts, from 10s to 168h, in h, m and s. It counts towards
    /// training.deadline. A search that is stopped by it may choose another algorithm in the next
    /// run. Default: 20m.
    #[schemars(length(min = 2, max = 20))]
    pub budget: String,
}

impl Default for Auto {
    fn default() -> Self {
        Self { fits: 24, factors_max: 128, budget: "20m".to_owned() }
    }
}
