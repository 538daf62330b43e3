//! Default λ of implicit ALS.
//!
//! The effective regularization of a row is λ (n + α₀N)^ν. The size of the catalog changes it by a
//! factor of a thousand, but its optimum for ranking varies far less: for an average user it is
//! about the square root of the number of entries, times their mean weight.

use crate::{interactions::Interactions, params::bounds};

/// λ = w̄ √n̄ / (n̄ + α₀N)^ν, where n̄ is the mean number of entries of a user with entries, w̄ their
/// mean absolute weight ([`mean_weight`]) and N the number of items; at most
/// [`bounds::REGULARIZATION_MAX`]. 0 without entries. ADR 20 has the figures on seven data sets.
pub fn default_regularization(
    interactions: &Interactions,
    unobserved_weight: f64,
    regularization_exponent: f64,
) -> f64 {
    if interactions.nnz() == 0 {
        return 0.0;
    }
    let weight = mean_weight(interactions);
    // A training part also has rows of users who are held out, without entries.
    let users = interactions.offsets().windows(2).filter(|row| row[0] < row[1]).count();
    let entries = interactions.nnz() as f64 / users as f64;
    let total_weight = entries + unobserved_weight * interactions.items() as f64;
    (weight * entries.sqrt() / libm::pow(total_weight, regularization_exponent)).min(bounds::REGULARIZATION_MAX)
}

/// Mean absolute weight of the entries; a bare 0 is a dislike with weight 1. 1 without entries.
pub fn mean_weight(interactions: &Interactions) -> f64 {
    if interactions.nnz() == 0 {
        return 1.0;
    }
    let weights = interactions.values().iter().map(|value| if *value == 0.0 { 1.0 } else { f64::from(value.abs()) });
    weights.sum::<f64>() / interactions.nnz() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interactions::Entry;

    fn table(users: u32, entries_per_user: u32, items: usize, value: f32) -> Interactions {
        let row = move |user| (0..entries_per_user).map(move |item| Entry { user, item, value });
        let entries = (0..users).flat_map(row);
        Interactions::from_entries(users as usize, items, entries.collect()).unwrap()
    }

    #[test]
    fn the_effective_regularization_of_an_average_row_is_the_root_of_its_entries() {
        for (entries, items, exponent) in [(9, 40, 1.0), (9, 100_000, 1.0), (25, 1000, 0.5), (16, 500, 0.0)] {
            let lambda = default_regularization(&table(50, entries, items, 1.0), 0.3, exponent);
            let total_weight = f64::from(entries) + 0.3 * items as f64;
            let effective = lambda * total_weight.powf(exponent);
            let root = f64::from(entries).sqrt();
            assert!((effective - root).abs() < 1e-12 * effective, "{entries} of {items}: {effective}");
        }
    }

    #[test]
    fn it_is_proportional_to_weights_and_always_finite() {
        let of = |value: f32| default_regularization(&table(7, 4, 10, value), 0.1, 1.0);
        assert!((of(5.0) / of(1.0) - 5.0).abs() < 1e-12 && (of(-2.0) / of(1.0) - 2.0).abs() < 1e-12);
        assert!((of(0.0) - of(1.0)).abs() < 1e-15);
        assert!((of(f32::MAX) - bounds::REGULARIZATION_MAX).abs() < 1e-9);
        let empty = Interactions::from_entries(3, 3, Vec::new()).unwrap();
        assert!(default_regularization(&empty, 0.1, 1.0).abs() < 1e-300);
    }

    #[test]
    fn users_without_entries_do_not_count() {
        let entries = (0..4).map(|item| Entry { user: 1, item, value: 1.0 }).collect();
        let with_others = Interactions::from_entries(9, 10, entries).unwrap();
        let of = |interactions: &Interactions| default_regularization(interactions, 0.1, 1.0);
        assert_eq!(of(&with_others).to_bits(), of(&table(1, 4, 10, 1.0)).to_bits());
    }
}
