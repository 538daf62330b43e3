//! Bias baseline of ratings: r̂ = μ + b_user + c_item. A model of ratings must beat it, and
//! explicit SVD factorizes its residuals.
//!
//! The biases minimize `Σ_observed (r − μ − b − c)² + β Σ b² + β Σ c²` with β = [`BIAS_SHRINKAGE`]
//! (Koren 2010, "Factor in the neighbors: scalable and accurate collaborative filtering", section
//! 2.1), by alternately solving all items and all users.

use crate::{interactions::Interactions, ratings::RatingScale};

/// β: shrinkage of a bias toward 0, equivalent to this many ratings with no bias. The error of the
/// baseline on MovieLens-100K is minimal near this value.
pub const BIAS_SHRINKAGE: f64 = 3.0;
/// Iterations over items and users; each leaves a small fraction of the distance to the minimum.
const ITERATIONS: usize = 30;

/// Bias baseline.
#[derive(Clone, Debug, PartialEq)]
pub struct Biases {
    /// Scale of the ratings.
    pub scale: RatingScale,
    /// b, by user.
    pub user: Vec<f32>,
    /// c, by item.
    pub item: Vec<f32>,
}

impl Biases {
    /// Fits the biases; `None` without ratings.
    pub fn fit(ratings: &Interactions) -> Option<Self> {
        let scale = RatingScale::from_ratings(ratings)?;
        let by_item = ratings.transpose();
        let mut user = vec![0.0; ratings.users()];
        let mut item = vec![0.0; ratings.items()];
        for _ in 0..ITERATIONS {
            solve_all(&by_item, &scale, &user, &mut item);
            solve_all(ratings, &scale, &item, &mut user);
        }
        Some(Self { scale, user, item })
    }

    /// Solves the biases of users that have ratings here and were not part of the fit. Biases of
    /// other users and of items stay.
    #[must_use]
    pub fn fold_in(mut self, ratings: &Interactions) -> Self {
        for user in (0..ratings.users()).filter(|user| !ratings.row(*user).0.is_empty()) {
            let (items, values) = ratings.row(user);
            self.user[user] = solve_bias(&self.scale, &self.item, items, values);
        }
        self
    }

    /// All items by descending bias (ties by index).
    #[expect(clippy::cast_possible_truncation, reason = "items ≤ INDEX_MAX")]
    pub fn items_by_bias(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.item.len() as u32).collect();
        order.sort_by(|x, y| self.item[*y as usize].total_cmp(&self.item[*x as usize]).then(x.cmp(y)));
        order
    }

    /// μ + b + c, clipped to the scale; an unknown user or item has a bias of 0.
    pub fn rating(&self, user: u32, item: u32) -> f32 {
        let of = |biases: &[f32], row: u32| biases.get(row as usize).copied().unwrap_or(0.0);
        self.scale.clip(self.scale.mean + of(&self.user, user) + of(&self.item, item))
    }
}

fn solve_all(rows: &Interactions, scale: &RatingScale, fixed: &[f32], solved: &mut [f32]) {
    for (row, bias) in solved.iter_mut().enumerate() {
        let (indexes, ratings) = rows.row(row);
        *bias = solve_bias(scale, fixed, indexes, ratings);
    }
}

/// The bias of one row with the other side fixed. Indexes must be in range.
pub(crate) fn solve_bias(scale: &RatingScale, fixed: &[f32], indexes: &[u32], ratings: &[f32]) -> f32 {
    let residuals = indexes
        .iter()
        .zip(ratings)
        .map(|(&index, &rating)| f64::from(rating) - f64::from(scale.mean) - f64::from(fixed[index as usize]));
    #[expect(clippy::cast_possible_truncation, reason = "smaller than the maximum difference of two ratings")]
    {
        (residuals.sum::<f64>() / (indexes.len() as f64 + BIAS_SHRINKAGE)) as f32
    }
}
