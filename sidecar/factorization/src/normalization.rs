//! Weights divided by powers of the degrees of their user and their item: R̃ of the crate docs.

use crate::{degrees::likes, interactions::Interactions, params::smoothed_degree_power};

/// D⁻ᵑ′ C D⁻ᵑ: weights, each divided by powers of the degrees of its user and its item. `counts`
/// are the numbers of users who chose the items.
pub(crate) fn normalized(
    interactions: &Interactions,
    counts: &[u32],
    (user_exponent, item_exponent): (f64, f64),
) -> Interactions {
    let item_powers: Vec<f64> = counts.iter().map(|&count| smoothed_degree_power(count, -item_exponent)).collect();
    let mut values = Vec::with_capacity(interactions.nnz());
    for user in 0..interactions.users() {
        let (items, weights) = interactions.row(user);
        let user_power = smoothed_degree_power(likes(weights), -user_exponent);
        values.extend(items.iter().zip(weights).map(|(item, value)| {
            #[expect(clippy::cast_possible_truncation, reason = "not larger than the weight")]
            {
                (f64::from(weight(*value)) * user_power * item_powers[*item as usize]) as f32
            }
        }));
    }
    interactions.with_values(values)
}

/// Value in the matrix for a weight: dislikes count as not observed.
pub(crate) fn weight(value: f32) -> f32 {
    value.max(0.0)
}
