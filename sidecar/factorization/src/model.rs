//! A fitted model: two factor matrices and the data that fold-in needs. Immutable.

use ndarray::Array2;

use crate::{params::ValidParams, ratings::RatingScale, two_hop::TwoHopModel};

/// A fitted model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// users × factors.
    pub user_factors: Array2<f32>,
    /// items × factors.
    pub item_factors: Array2<f32>,
    /// factors × factors: VᵀV of the item factors; Σ² for SVD.
    pub gram: Array2<f64>,
    /// Number of users who chose each item, for fold-in into SVD of weights and into ALS with a
    /// degree exponent; otherwise empty.
    pub item_counts: Vec<u32>,
    /// Mean degree weight of the training data, for ALS with a degree exponent.
    pub mean_degree_weight: Option<f64>,
    /// Scale and biases of a model of ratings.
    pub ratings: Option<RatingBiases>,
    /// What the two-hop term walks, in a model with one.
    pub two_hop: Option<TwoHopModel>,
    /// Parameters of the fit.
    pub params: ValidParams,
}

/// Rating scale and biases of a model of ratings.
#[derive(Clone, Debug, PartialEq)]
pub struct RatingBiases {
    /// Scale of the ratings.
    pub scale: RatingScale,
    /// Biases of users.
    pub users: Vec<f32>,
    /// Biases of items.
    pub items: Vec<f32>,
}
