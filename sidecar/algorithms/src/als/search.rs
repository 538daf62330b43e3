//! Search space of ALS: λ, and for implicit data α₀, η and ρ. The effect of λ depends on the length
//! of the rows, so the search draws the regularization strength of an average user's row:
//! λ (n + α₀N)^ν.

use factorization::params::bounds;
use sidecar_contract::{Algorithm, AlsConfig, Signal};

use crate::{
    definition::{Search, drawn_two_hop_term, rounded},
    draws::{DataShape, Draws},
};

/// Search range of an average user's λ (n + α₀N)^ν, for implicit data whose mean weight is 1. Both
/// terms of the objective that it balances are proportional to the weights, and so is the default.
const STRENGTH: (f64, f64) = (0.05, 20.0);
/// Search range of α₀, the weight of what is not observed, for a mean weight of 1.
const UNOBSERVED_WEIGHT: (f64, f64) = (0.001, 1.0);
/// Candidates for η and ρ.
const DEGREES: [(f64, f64); 3] = [(0.0, 0.0), (0.5, 0.0), (0.5, 0.5)];
/// Search range of λ for ratings, with ν = 1.
const RATINGS_REGULARIZATION: (f64, f64) = (0.01, 0.5);

impl Search for AlsConfig {
    fn draw(&self, signal: Signal, draws: &Draws) -> Algorithm {
        let DataShape { entries_per_user: mean, items, mean_weight, .. } = draws.shape;
        let factors = draws.factors(self.factors);
        let exponent = self.regularization_exponent;
        let given = (self.co_occurrence_weight, self.user_degree_exponent);
        let (co_occurrence_weight, user_degree_exponent) = drawn_two_hop_term(given, draws, [3, 4]);
        let given = Self { factors, co_occurrence_weight, user_degree_exponent, ..self.clone() };
        Algorithm::Als(match signal {
            Signal::Implicit => {
                let unobserved_weight = mean_weight * draws.log_uniform(0, UNOBSERVED_WEIGHT);
                let unobserved_weight = rounded(unobserved_weight.min(bounds::UNOBSERVED_WEIGHT_MAX));
                let total_weight = mean + unobserved_weight * items;
                let (degree_exponent, popularity_boost) = draws.one_of(2, &DEGREES, DEGREES[0]);
                let strength = mean_weight * draws.log_uniform(1, STRENGTH);
                let regularization = strength / total_weight.powf(exponent);
                Self {
                    regularization: Some(rounded(regularization.min(bounds::REGULARIZATION_MAX))),
                    unobserved_weight,
                    degree_exponent,
                    popularity_boost,
                    ..given
                }
            }
            Signal::Explicit => Self {
                regularization: Some(rounded(draws.log_uniform(1, RATINGS_REGULARIZATION) * mean.powf(1.0 - exponent))),
                ..given
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::Definition as _;

    const SHAPE: DataShape = DataShape { users: 30_000.0, entries_per_user: 24.0, items: 40_981.0, mean_weight: 1.0 };

    fn draws(signal: Signal) -> impl Iterator<Item = AlsConfig> {
        draws_for(signal, 1.0)
    }

    fn draws_for(signal: Signal, mean_weight: f64) -> impl Iterator<Item = AlsConfig> {
        (1..200).map(move |trial| {
            let draws = Draws { shape: DataShape { mean_weight, ..SHAPE }, factors_max: None, seed: 1, trial };
            match AlsConfig::WIRE_DEFAULT.draw(signal, &draws) {
                Algorithm::Als(als) => als,
                other => panic!("{other:?}"),
            }
        })
    }

    #[test]
    fn a_two_hop_term_varies_around_the_given_weight_and_no_term_stays_none() {
        let given = AlsConfig { co_occurrence_weight: Some(4.0), ..AlsConfig::WIRE_DEFAULT };
        let mut weights = Vec::new();
        for trial in 1..100 {
            let draws = Draws { shape: SHAPE, factors_max: None, seed: 1, trial };
            let Algorithm::Als(als) = given.draw(Signal::Implicit, &draws) else { panic!() };
            let (weight, exponent) = (als.co_occurrence_weight.unwrap(), als.user_degree_exponent.unwrap());
            assert!((1.6..=10.0).contains(&weight) && (0.0..=0.7).contains(&exponent), "{als:?}");
            weights.push(weight);
        }
        weights.sort_by(f64::total_cmp);
        weights.dedup();
        assert!(weights.len() > 50, "{weights:?}");
        for als in draws(Signal::Implicit).chain(draws(Signal::Explicit)) {
            assert_eq!((als.co_occurrence_weight, als.user_degree_exponent), (Some(0.0), None));
        }
    }

    #[test]
    fn draws_stay_within_the_search_ranges() {
        for als in draws(Signal::Implicit) {
            // Tolerance: half a unit of the third digit of both factors.
            let strength = als.regularization.unwrap() * (24.0 + als.unobserved_weight * 40_981.0);
            assert!((0.0495..=20.2).contains(&strength), "{als:?}");
            assert!((0.000_995..=1.005).contains(&als.unobserved_weight), "{als:?}");
            assert!(DEGREES.contains(&(als.degree_exponent, als.popularity_boost)), "{als:?}");
            assert_eq!((als.factors, als.iterations), (64, 15));
        }
        for als in draws(Signal::Explicit) {
            assert!((0.0099..=0.51).contains(&als.regularization.unwrap()), "{als:?}");
            assert!((als.unobserved_weight - 0.1).abs() < f64::EPSILON, "{als:?}");
        }
    }

    #[test]
    fn ranges_are_proportional_to_the_weights() {
        let mut default_is_within = [false; 2];
        for (one, hundred) in draws(Signal::Implicit).zip(draws_for(Signal::Implicit, 100.0)) {
            let strength = |als: &AlsConfig| als.regularization.unwrap() * (24.0 + als.unobserved_weight * 40_981.0);
            // Tolerance: half a unit of the third digit of both factors, twice.
            for ratio in [hundred.unobserved_weight / one.unobserved_weight, strength(&hundred) / strength(&one)] {
                assert!((98.0..102.0).contains(&ratio), "{one:?} {hundred:?}");
            }
            // The default is w̄√n̄, 490.
            default_is_within[usize::from(strength(&hundred) > 100.0 * 24_f64.sqrt())] = true;
        }
        assert_eq!(default_is_within, [true; 2]);
        for weight in [1e-30, 1e30] {
            for als in draws_for(Signal::Implicit, weight) {
                assert!(als.valid_params(Signal::Implicit).is_ok(), "{als:?}");
            }
        }
    }
}
