//! Evaluation of a model on the held-out set. Run results and serving configs contain it.

use serde::{Deserialize, Serialize};

use crate::{hash::Digest, open::Open, training::SplitKind};

/// Evaluation of the model and the baseline on the held-out set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// Primary metric: `ndcg` for implicit data, `rmse` for explicit.
    pub metric: String,
    /// Length k of the evaluated lists.
    pub k: u32,
    /// How the held-out set was chosen; absent in results of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Open<SplitKind>>,
    /// Number of test users.
    pub test_users: u64,
    /// Metrics of the fitted model.
    pub model: Measurement,
    /// Metrics of the baseline: popularity (implicit), or global + user + item bias (explicit).
    pub baseline: Measurement,
    /// Relative improvement of `metric` over the baseline; for an error, the relative reduction.
    /// With the 95 % interval of a paired bootstrap over users. Absent if the baseline is zero or
    /// there are no test users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lift: Option<Interval>,
    /// What was popular in the newest part of the training set; absent unless the split is by time
    /// and the data is implicit, and in results of older versions. The gate does not use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recent_baseline: Option<RecentBaseline>,
    /// Comparison with the model that served when the run began; absent if it was not requested or
    /// no model served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incumbent: Option<Comparison>,
    /// Deciles of the test users by activity, the least active first. Informational, so not part of
    /// the serving config.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_activity: Vec<ActivityGroup>,
    /// Evaluation on simulated cold-start items; absent without item features, or if too few items
    /// have some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold_items: Option<ColdItems>,
    /// How the two-hop term of the fitted model is computed; absent without one, and in results of
    /// older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub two_hop: Option<TwoHopMetrics>,
}

/// How a two-hop term is computed, and what that costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TwoHopMetrics {
    /// Form of the term: `walks`, or `pairs` for stored sums of all pairs of items.
    pub form: String,
    /// Maximum number of additions of an answer.
    pub additions_max: u64,
    /// Fraction of the metric that lists lose by that limit, which may be below 0.
    pub loss: f64,
}

impl Metrics {
    /// Word of a split that this build does not know.
    pub(crate) fn unknown_split(&self) -> Option<&str> {
        self.split.as_ref().and_then(Open::unknown)
    }

    /// Word of a comparison that this build does not know.
    pub(crate) fn unknown_comparison(&self) -> Option<&str> {
        self.incumbent.as_ref().and_then(|comparison| comparison.reference.unknown())
    }
}

/// Baseline of recent popularity: items ranked by how many users chose them in the newest part of
/// the training set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecentBaseline {
    /// Begin of that part: Unix time in seconds.
    pub since: i64,
    /// Metrics of its lists.
    pub measurement: Measurement,
    /// Relative improvement of the model over it, computed as [`Metrics::lift`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lift: Option<Interval>,
}

/// Evaluation of cold-start factors. Items are excluded from a separate fit, their factors are
/// computed from their features, and the ranking of these items is compared with the users'
/// interactions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ColdItems {
    /// Number of excluded items.
    pub items: u64,
    /// Users who interacted with an excluded item and with another item.
    pub users: u64,
    /// Mean NDCG@k of these users, with lists of excluded items only.
    pub ndcg: f64,
    /// Mean NDCG@k of a random order.
    pub baseline: f64,
}

/// Comparison with an earlier model on the same users and their same held-out rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// Digest of the earlier model's snapshot.
    pub digest: Digest,
    /// What the new model was compared with; results of older versions are comparisons of
    /// parameters.
    #[serde(default, skip_serializing_if = "Open::is_default")]
    pub reference: Open<ComparisonReference>,
    /// Number of users of this comparison; absent in results of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_users: Option<u64>,
    /// Relative lift over the earlier model, computed as [`Metrics::lift`].
    pub lift: Interval,
}

/// What a new model was compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ComparisonReference {
    /// The earlier model's parameters, fitted to the training set of the new model.
    #[default]
    Parameters,
    /// The earlier model itself, with the training rows folded in. Both models are fitted to rows
    /// that are older than the held-out ones.
    Revision,
}

impl Comparison {
    /// Human-readable description of what the new model was compared with.
    pub fn reference_description(&self) -> String {
        let revision = self.digest.revision();
        match &self.reference {
            Open::Known(ComparisonReference::Revision) => {
                format!("the serving revision {revision} on rows that are newer than its own")
            }
            Open::Known(ComparisonReference::Parameters) => {
                format!("the parameters of the serving revision {revision}, fitted to the same rows")
            }
            Open::Unknown(word) => format!("the serving revision {revision} ({word})"),
        }
    }
}

/// Means over the test users; errors over all held-out ratings of these users. Metrics that do not
/// apply are absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Measurement {
    /// Recall@k.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recall: Option<f64>,
    /// NDCG@k.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ndcg: Option<f64>,
    /// Root mean squared error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rmse: Option<f64>,
    /// Mean absolute error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mae: Option<f64>,
    /// Precision@k.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<f64>,
    /// MAP@k.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map: Option<f64>,
    /// MRR@k.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mrr: Option<f64>,
    /// Catalog coverage: fraction of the items that appear in one or more lists of test users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<f64>,
    /// Gini coefficient of the items' frequencies in lists: 0 if all are equal, near 1 if few items
    /// fill the lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gini: Option<f64>,
}

/// NDCG@k of test users with similar activity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivityGroup {
    /// Min items per user in the training set.
    pub rows_min: u64,
    /// Max items per user in the training set.
    pub rows_max: u64,
    /// Users in the group.
    pub users: u64,
    /// NDCG@k of the model.
    pub model: f64,
    /// NDCG@k of the baseline.
    pub baseline: f64,
}

/// Point estimate with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interval {
    /// Point estimate.
    pub estimate: f64,
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}
