//! Chooses the weight of the two-hop term: the smallest one whose lists of a part of the likes are
//! as good as the best, where that part is held out from the decomposition and from the rows that
//! are walked.
//!
//! Rank and exponents are given, so one decomposition serves all weights. The weights that are
//! tried start from the spectrum: with c = λ₁/2λ_r the last factor has half of its weight, and the
//! first ones a negative one.
//!
//! As good as the best is what the best is not better than by more than one standard error of the
//! paired difference over the same users (Breiman, Friedman, Olshen and Stone 1984, "Classification
//! and regression trees", section 3.4.3). NDCG hardly changes near its maximum, so the best weight
//! of a sample is mostly chance, and of equally good weights the smaller one changes the lists of
//! the factors less.

use std::ops::ControlFlow;

use crate::{
    fit::Fit as _,
    interactions::Interactions,
    paired::PairedDifference,
    params::{ValidParams, bounds::CO_OCCURRENCE_WEIGHT_MAX},
    random::{uniform, word},
    split::draw_users,
    two_hop::Spectrum,
    weighted_lists::ndcgs,
};

/// Fraction of the likes that is held out.
const HOLDOUT: f64 = 0.1;
/// Stream of the random numbers that hold out likes, and of those that draw users.
const LIKE_STREAM: u64 = 0x7468;
const USER_STREAM: u64 = 0x7469;
/// Number of users whose lists are compared. The standard error of a difference of two weights is
/// then about 0.3 % of NDCG.
const USERS_MAX: usize = 2000;
/// Length of the lists.
const LIST_ITEMS: usize = 20;
/// Minimum of λ₁/2λ_r: of flat spectra, lower weights were never better (ADR 36).
const START_MIN: f64 = 1.5;
/// Square of the factor between two weights that are tried.
const SQUARED_STEP: f64 = 1.5;
/// Numbers of weights below λ₁/2λ_r that are tried, and of those from there on: from 0.4 to 14 times
/// of it.
const WEIGHTS_BELOW: usize = 4;
const WEIGHTS_FROM: usize = 14;

impl ValidParams {
    /// The weight of the two-hop term by the lists of a part of the likes, as a function of data
    /// and seed. It is 0 unless the best lists are better than those of 0 by more than one standard
    /// error, and if the data cannot be fitted, which a fit reports, or the algorithm has no such
    /// term.
    pub fn choose_co_occurrence_weight(self, data: &Interactions, seed: u64) -> f64 {
        let (training, test) = split(data, seed);
        let Some(params) = self.with_co_occurrence_weight(1.0) else { return 0.0 };
        let params = params.for_comparison();
        let Ok(model) = params.fit(&training, seed, None, &mut |_| ControlFlow::Continue(())) else { return 0.0 };
        let Some(spectrum) = model.two_hop.as_ref().map(|two_hop| two_hop.spectrum) else { return 0.0 };
        let weights = weights(spectrum);
        smallest_of_the_best(&weights, &ndcgs(&model, (&training, &test), &weights, LIST_ITEMS))
    }
}

/// The weights that are tried, ascending: 0, and a geometric sequence.
fn weights(spectrum: Spectrum) -> Vec<f64> {
    let start = (spectrum.first / spectrum.last / 2.0).clamp(START_MIN, CO_OCCURRENCE_WEIGHT_MAX);
    let step = SQUARED_STEP.sqrt();
    let lowest = (0..WEIGHTS_BELOW).fold(start, |weight, _| weight / step);
    let tried = std::iter::successors(Some(lowest), |weight| Some(weight * step)).take(WEIGHTS_BELOW + WEIGHTS_FROM);
    let tried = tried.map(|weight| rounded(weight.min(CO_OCCURRENCE_WEIGHT_MAX)));
    let mut weights: Vec<f64> = std::iter::once(0.0).chain(tried).collect();
    weights.dedup();
    weights
}

/// The first of the weights that the best does not surpass by more than one standard error, by the
/// NDCG of each user.
fn smallest_of_the_best(weights: &[f64], ndcgs: &[Vec<f64>]) -> f64 {
    let sum = |ndcgs: &&Vec<f64>| ndcgs.iter().sum::<f64>();
    let Some(best) = ndcgs.iter().max_by(|x, y| sum(x).total_cmp(&sum(y))) else { return 0.0 };
    let is_surpassed = |ndcgs: &Vec<f64>| PairedDifference::new(best, ndcgs).is_some_and(|best| best.is_higher());
    let good = weights.iter().zip(ndcgs).find(|(_, ndcgs)| !is_surpassed(ndcgs));
    good.map_or(0.0, |(weight, _)| *weight)
}

/// The rows without the held-out likes, and the held-out likes of the drawn users.
fn split(data: &Interactions, seed: u64) -> (Interactions, Interactions) {
    let is_held_out =
        |user: u32, item: u32, value: f32| value > 0.0 && uniform(word(seed, LIKE_STREAM, pair(user, item))) < HOLDOUT;
    let training = data.keep_entries(|user, item, value| !is_held_out(user, item, value));
    let test = data.keep_entries(is_held_out);
    let has_lists = |user: &u32| {
        let likes = |data: &Interactions| data.row(*user as usize).1.iter().any(|value| *value > 0.0);
        likes(&training) && likes(&test)
    };
    let users = (0..data.users()).filter_map(|user| u32::try_from(user).ok()).filter(has_lists);
    let test = test.only_users(&draw_users(users, USERS_MAX, seed, USER_STREAM));
    (training, test)
}

fn pair(user: u32, item: u32) -> u64 {
    u64::from(user) << u32::BITS | u64::from(item)
}

/// Rounds to three digits, so that the value is easy to copy into a resource.
fn rounded(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_around_half_the_ratio_of_the_eigenvalues() {
        // 8 / 0.4 / 2 is 10, and √1.5⁻⁴ to √1.5¹³ of it are 4.444 to 139.5.
        let tried = weights(Spectrum { first: 8.0, last: 0.4 });
        assert_eq!(tried.len(), 19);
        let some = [0, 1, 5, 7, 18].map(|at| tried.get(at).copied());
        assert_eq!(some, [0.0, 4.44, 10.0, 15.0, 140.0].map(Some));
        // Of a flat spectrum they are around 1.5, and none is above the maximum.
        assert_eq!(weights(Spectrum { first: 1.0, last: 1.0 }).get(5), Some(&1.5));
        let tried = weights(Spectrum { first: 1.0, last: 1e-9 });
        assert_eq!(tried.last(), Some(&CO_OCCURRENCE_WEIGHT_MAX));
    }

    #[test]
    fn the_smallest_weight_within_one_standard_error_of_the_best_is_chosen() {
        // Differences of the best to the others: 0.25 and 0, or 0.5 and 0, whose mean is their
        // standard error; 0.5 and 0.25, whose mean is 0.375 and standard error 0.125.
        let ndcgs = |of: [[f64; 2]; 3]| of.map(Vec::from);
        let chosen = |of| Some(smallest_of_the_best(&[0.0, 2.0, 3.0], &ndcgs(of)));
        assert_eq!(chosen([[0.25, 0.25], [0.5, 0.5], [0.75, 0.5]]), Some(2.0));
        assert_eq!(chosen([[0.25, 0.5], [0.25, 0.25], [0.75, 0.5]]), Some(0.0), "although 2 is surpassed");
        assert_eq!(chosen([[0.25, 0.25], [0.75, 0.5], [0.25, 0.25]]), Some(2.0), "not above the best");
        assert_eq!(chosen([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]), Some(0.0));
        let without_users = smallest_of_the_best(&[0.0, 2.0], &[Vec::new(), Vec::new()]);
        assert_eq!(Some(without_users), Some(0.0));
    }
}
