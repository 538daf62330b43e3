//! What is fitted, and its parameters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is fitted: exactly one of the fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlgorithmSpec {
    /// Alternating least squares on all users times all items. It minimizes, over the sum of all observed pairs, a·ŷ² −
    /// 2b·ŷ, plus unobservedWeight times the sum of ŷ² over all pairs, plus regularization times each row's squared
    /// length times (n + unobservedWeight·N) to the power of regularizationExponent, where n is the number of the row's
    /// pairs and N of all it could have. With data.signal: explicit it fits ratings by mean, biases of users and items and
    /// factors, over observed pairs alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub als: Option<Als>,
    /// Truncated singular value decomposition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub svd: Option<Svd>,
    /// Bayesian personalized ranking: learns which of two items somebody would choose, by steps, on one thread; for data.signal: implicit
    /// only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bpr: Option<Bpr>,
}

impl Default for AlgorithmSpec {
    /// `als: {}`.
    fn default() -> Self {
        Self { als: Some(Als::default()), svd: None, bpr: None }
    }
}

/// The one algorithm of an [`AlgorithmSpec`].
#[derive(Clone, Debug, PartialEq)]
pub enum ChosenAlgorithm {
    /// `algorithm.als`.
    Als(Als),
    /// `algorithm.svd`.
    Svd(Svd),
    /// `algorithm.bpr`.
    Bpr(Bpr),
}

impl AlgorithmSpec {
    /// The one that is set; `None` unless exactly one is.
    pub fn chosen(self) -> Option<ChosenAlgorithm> {
        match (self.als, self.svd, self.bpr) {
            (Some(als), None, None) => Some(ChosenAlgorithm::Als(als)),
            (None, Some(svd), None) => Some(ChosenAlgorithm::Svd(svd)),
            (None, None, Some(bpr)) => Some(ChosenAlgorithm::Bpr(bpr)),
            _ => None,
        }
    }
}

/// Parameters of ALS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Als {
    /// Numbers that describe a user or an item, 1 to 1024. More fit finer tastes, and cost memory and time. Default: 64.
    #[schemars(range(min = 1, max = 1024))]
    pub factors: u32,
    /// Passes over all users and all items, 1 to 1000. Default: 15.
    #[schemars(range(min = 1, max = 1000))]
    pub iterations: u32,
    /// How strongly factors are pulled to zero, 0 to 1000000. Absent: what suits data of such a shape, so that an average user's
    /// row is pulled with the root of how many interactions it has; status.model.parameters has the number. With data.signal: explicit
    /// it is relative to the ratings' standard deviation and above 0; absent: 0.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub regularization: Option<f64>,
    /// How regularization grows with the number of a row's interactions, 0 (not at all) to 2. Default: 1.
    #[schemars(range(min = 0.0, max = 2.0))]
    pub regularization_exponent: f64,
    /// Weight of pairs that were not observed, against 1 for those that were, 0 to 10000; for data.signal: implicit only.
    /// Absent: 0.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 10_000.0))]
    pub unobserved_weight: Option<f64>,
    /// How much less what busy users and popular items do counts, 0 (no less) to 1; for data.signal: implicit only. The mean
    /// weight stays what it was. Absent: 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub degree_exponent: Option<f64>,
    /// How much of what degreeExponent takes off popular items have back in lists, 0 (nothing) to 1; goes with degreeExponent above 0.
    /// Absent: 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub degree_return: Option<f64>,
    /// Draws samples from where the passes end, and serves their mean: better predicted ratings, in more time; for data.signal:
    /// explicit only. regularizationExponent: 0.5 goes well with it. Absent: what the passes end at is served. Example: {}.
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
            degree_return: None,
            sampling: None,
        }
    }
}

/// How ratings are sampled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Sampling {
    /// Samples that are averaged, 1 to 1000; 10 more come first and are left out. Default: 50.
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
    /// Singular values that are kept, 1 to 1024. Default: 64.
    #[schemars(range(min = 1, max = 1024))]
    pub factors: u32,
    /// Passes over the data at most, 1 to 1000; it ends once nothing changes. Default: 10.
    #[schemars(range(min = 1, max = 1000))]
    pub iterations: u32,
    /// How much less what busy users and popular items do counts, 0 (no less) to 1; for data.signal: implicit only. Absent: 0.5, or 0
    /// with data.signal: explicit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub degree_exponent: Option<f64>,
}

impl Default for Svd {
    fn default() -> Self {
        Self { factors: 64, iterations: 10, degree_exponent: None }
    }
}

/// Parameters of BPR.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Bpr {
    /// Numbers that describe a user or an item, 1 to 1024. Default: 64.
    #[schemars(range(min = 1, max = 1024))]
    pub factors: u32,
    /// Passes over the interactions, 1 to 1000. Default: 100.
    #[schemars(range(min = 1, max = 1000))]
    pub iterations: u32,
    /// How far a step goes, 0.000001 to 10. Default: 0.05.
    #[schemars(range(min = 0.000_001, max = 10.0))]
    pub learning_rate: f64,
    /// How strongly factors are pulled to zero, 0 to 1000000; times learningRate at most 1. Default: 0.003.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub regularization: f64,
}

impl Default for Bpr {
    fn default() -> Self {
        Self { factors: 64, iterations: 100, learning_rate: 0.05, regularization: 0.003 }
    }
}
