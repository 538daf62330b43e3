//! A λ for implicit ALS where nobody has looked for a better one.
//!
//! What λ comes to is λ (n + α₀N)^ν, which the size of a catalogue changes by a factor of a thousand. What is good for lists changes
//! far less: an average user's row is to be pulled with about the root of how many entries it has, times what they weigh.

use crate::{interactions::Interactions, params::bounds};

/// λ = w̄ √n̄ / (n̄ + α₀N)^ν, with n̄ entries of an average user, w̄ that they weigh on average (a bare 0 is a dislike that weighs 1), and N
/// items; at most [`bounds::REGULARIZATION_MAX`]. 0 without entries. ADR 20 has its figures on seven data sets.
pub fn usual_regularization(interactions: &Interactions, unobserved_weight: f64, regularization_exponent: f64) -> f64 {
    if interactions.nnz() == 0 {
        return 0.0;
    }
    let weights = interactions.values().iter().map(|value| if *value == 0.0 { 1.0 } else { f64::from(value.abs()) });
    let weight = weights.sum::<f64>() / interactions.nnz() as f64;
    let entries = interactions.nnz() as f64 / interactions.users() as f64;
    let evidence = unobserved_weight.mul_add(interactions.items() as f64, entries);
    (weight * entries.sqrt() / libm::pow(evidence, regularization_exponent)).min(bounds::REGULARIZATION_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interactions::Entry;

    fn table(users: u32, each: u32, items: usize, value: f32) -> Interactions {
        let entries = (0..users).flat_map(|user| (0..each).map(move |item| Entry { user, item, value }));
        Interactions::from_entries(users as usize, items, entries.collect()).unwrap()
    }

    #[test]
    fn an_average_row_is_pulled_with_the_root_of_its_entries() {
        for (each, items, exponent) in [(9, 40, 1.0), (9, 100_000, 1.0), (25, 1000, 0.5), (16, 500, 0.0)] {
            let lambda = usual_regularization(&table(50, each, items, 1.0), 0.3, exponent);
            let evidence = f64::from(each) + 0.3 * items as f64;
            let pull = lambda * evidence.powf(exponent);
            assert!((pull - f64::from(each).sqrt()).abs() < 1e-12 * pull, "{each} of {items}: {pull}");
        }
    }

    #[test]
    fn weights_scale_it_and_nothing_makes_it_infinite() {
        let of = |value: f32| usual_regularization(&table(7, 4, 10, value), 0.1, 1.0);
        assert!((of(5.0) / of(1.0) - 5.0).abs() < 1e-12 && (of(-2.0) / of(1.0) - 2.0).abs() < 1e-12);
        assert!((of(0.0) - of(1.0)).abs() < 1e-15);
        assert!((of(f32::MAX) - bounds::REGULARIZATION_MAX).abs() < 1e-9);
        let empty = Interactions::from_entries(3, 3, Vec::new()).unwrap();
        assert!(usual_regularization(&empty, 0.1, 1.0).abs() < 1e-300);
    }
}
