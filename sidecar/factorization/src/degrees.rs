//! Degree weighting: down-weights active users and popular items. See the crate docs.

use std::borrow::Cow;

use ndarray::{Array2, s};

use crate::{interactions::Interactions, params::ValidAlsParams, popularity::popularity};

/// Degrees of the training data that fold-in needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Degrees<'a> {
    /// Number of users who chose each item.
    pub item_counts: &'a [u32],
    /// Mean degree weight of the training data; `None` without degree weights.
    pub mean_degree_weight: Option<f64>,
}

/// The weights that implicit ALS fits: the given ones, or with a degree exponent each times its
/// degree weight over the mean of all degree weights. With degree weights also returns the number
/// of users who chose each item and that mean, for [`Degrees`].
pub(crate) fn degree_weighted<'a>(
    interactions: &'a Interactions,
    params: &ValidAlsParams,
) -> (Cow<'a, Interactions>, Option<(Vec<u32>, f64)>) {
    if !params.has_degrees() {
        return (Cow::Borrowed(interactions), None);
    }
    let (item_counts, _) = popularity(interactions);
    let item_weights: Vec<f64> = item_counts.iter().map(|count| params.degree_weight(*count)).collect();
    let user_weights: Vec<f64> =
        (0..interactions.users()).map(|user| params.degree_weight(likes(interactions.row(user).1))).collect();
    let mut sum = 0.0;
    for (user, user_weight) in user_weights.iter().enumerate() {
        let items = interactions.row(user).0.iter();
        sum += user_weight * items.map(|item| item_weights[*item as usize]).sum::<f64>();
    }
    let mean_degree_weight = sum / interactions.nnz() as f64;
    let mut values = Vec::with_capacity(interactions.nnz());
    for (user, user_weight) in user_weights.iter().enumerate() {
        let (items, weights) = interactions.row(user);
        values.extend(
            items.iter().zip(weights).map(|(&item, &weight)| {
                weighted(weight, user_weight * item_weights[item as usize], mean_degree_weight)
            }),
        );
    }
    (Cow::Owned(interactions.with_values(values)), Some((item_counts, mean_degree_weight)))
}

/// The weights of a row, degree-weighted as by [`degree_weighted`], or unchanged without degrees.
/// The row may belong to a user who is not in the training data. Items must be in range.
pub(crate) fn degree_weighted_row<'a>(
    items: &[u32],
    weights: &'a [f32],
    degrees: Option<Degrees<'_>>,
    params: &ValidAlsParams,
) -> Cow<'a, [f32]> {
    let Some(Degrees { item_counts, mean_degree_weight }) = degrees else { return Cow::Borrowed(weights) };
    let mean_degree_weight = mean_degree_weight.unwrap_or(1.0);
    let user_weight = params.degree_weight(likes(weights));
    let degree_weight = |item: u32| user_weight * params.degree_weight(item_counts[item as usize]);
    items
        .iter()
        .zip(weights)
        .map(|(&item, &weight)| weighted(weight, degree_weight(item), mean_degree_weight))
        .collect()
}

/// The served items (items × factors): fitted items with the popularity boost applied. Overwrites
/// `items`, which may be padded, with what [`remove_popularity_boost`] computes from the served
/// items.
pub(crate) fn apply_popularity_boost(
    items: &mut Array2<f32>,
    item_counts: &[u32],
    params: &ValidAlsParams,
) -> Array2<f32> {
    let mut served = items.slice(s![.., ..params.factors()]).to_owned();
    for ((mut served, mut fitted), count) in served.rows_mut().into_iter().zip(items.rows_mut()).zip(item_counts) {
        let inverse = params.inverse_popularity_boost(*count);
        for (served, fitted) in served.iter_mut().zip(fitted.iter_mut()) {
            *served /= inverse;
            *fitted = *served * inverse;
        }
    }
    served
}

/// Turns served items, which may be padded, back into fitted ones.
pub(crate) fn remove_popularity_boost(items: &mut Array2<f32>, item_counts: &[u32], params: &ValidAlsParams) {
    for (mut row, count) in items.rows_mut().into_iter().zip(item_counts) {
        row *= params.inverse_popularity_boost(*count);
    }
}

/// Number of likes in a row: its degree.
pub(crate) fn likes(weights: &[f32]) -> u32 {
    u32::try_from(weights.iter().filter(|weight| **weight > 0.0).count()).unwrap_or(u32::MAX)
}

fn weighted(weight: f32, degree_weight: f64, mean_degree_weight: f64) -> f32 {
    // A bare 0 is a dislike with weight 1.
    let weight = if weight == 0.0 { -1.0 } else { f64::from(weight) };
    #[expect(clippy::cast_possible_truncation, reason = "overflow becomes infinite, which row solvers reject")]
    {
        (weight * (degree_weight / mean_degree_weight)) as f32
    }
}
