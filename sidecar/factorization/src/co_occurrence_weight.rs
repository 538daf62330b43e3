//! Chooses the weight of the two-hop term: the one with the best lists of a part of the likes that
//! is held out from the decomposition and from the rows that are walked.
//!
//! Rank and exponents are given, so one decomposition serves all weights. The search starts from
//! the spectrum: with c = λ₁/2λ_r the last factor has half of its weight, and the first ones a
//! negative one. NDCG rises and falls once over the weights, so a climb finds its maximum.

use std::ops::ControlFlow;

use crate::{
    fit::Fit as _,
    interactions::Interactions,
    model::Model,
    paired::PairedDifference,
    params::{ValidParams, bounds::CO_OCCURRENCE_WEIGHT_MAX},
    random::{uniform, word},
    ranking::evaluate_ranking,
    top_k::ItemCodes,
    two_hop::Spectrum,
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
/// The smallest first weight: lower ones were never better (ADR 36).
const FIRST_MIN: f64 = 1.5;
/// Factor between weights of the climb; the maximum is refined to its square root.
const STEP: f64 = 1.5;
/// Maximum number of weights that are tried, besides 0.
const WEIGHTS_MAX: u32 = 12;

impl ValidParams {
    /// The weight of the two-hop term with the best lists, as a function of data and seed. It is 0
    /// unless the best lists are better than those of 0 by more than one standard error, and if the
    /// data cannot be fitted, which a fit reports, or the algorithm has no such term.
    pub fn choose_co_occurrence_weight(self, data: &Interactions, seed: u64) -> f64 {
        let (training, test) = split(data, seed);
        let Some(params) = self.with_co_occurrence_weight(1.0) else { return 0.0 };
        match params.fit(&training, seed, None, &mut |_| ControlFlow::Continue(())) {
            Ok(model) => Search::new(&training, &test, model).best(),
            Err(_) => 0.0,
        }
    }
}

/// Lists of a model with different weights.
struct Search<'a> {
    training: &'a Interactions,
    test: &'a Interactions,
    model: Model,
    codes: Option<ItemCodes>,
    tried: u32,
}

/// NDCG of each user, and its sum.
struct Lists {
    weight: f64,
    ndcgs: Vec<f64>,
    sum: f64,
}

impl<'a> Search<'a> {
    fn new(training: &'a Interactions, test: &'a Interactions, model: Model) -> Self {
        let codes = ItemCodes::new(model.item_factors.view(), None);
        Self { training, test, model, codes, tried: 0 }
    }

    fn best(mut self) -> f64 {
        let without = self.lists(0.0);
        let Some(Spectrum { first, last }) = self.model.two_hop.as_ref().map(|two_hop| two_hop.spectrum) else {
            return 0.0;
        };
        let start = (first / last / 2.0).clamp(FIRST_MIN, CO_OCCURRENCE_WEIGHT_MAX);
        let mut best = self.lists(start);
        if !self.climb(&mut best, STEP) {
            self.climb(&mut best, 1.0 / STEP);
        }
        for step in [STEP.sqrt(), 1.0 / STEP.sqrt()] {
            let lists = self.lists(best.weight * step);
            if lists.sum > best.sum {
                best = lists;
                break;
            }
        }
        let difference = PairedDifference::new(&best.ndcgs, &without.ndcgs);
        if difference.is_some_and(|difference| difference.is_higher()) { best.weight } else { 0.0 }
    }

    /// Multiplies the weight while lists become better; returns whether they did.
    fn climb(&mut self, best: &mut Lists, step: f64) -> bool {
        let mut is_better = false;
        while self.tried < WEIGHTS_MAX {
            let lists = self.lists(best.weight * step);
            if lists.sum <= best.sum {
                break;
            }
            (*best, is_better) = (lists, true);
        }
        is_better
    }

    fn lists(&mut self, weight: f64) -> Lists {
        self.tried += 1;
        let weight = rounded(weight.min(CO_OCCURRENCE_WEIGHT_MAX));
        if let Some(two_hop) = &mut self.model.two_hop {
            two_hop.set_weight(weight);
        }
        let ndcgs = self.ndcgs();
        let sum = ndcgs.iter().sum();
        Lists { weight, ndcgs, sum }
    }

    /// NDCG of each test user.
    fn ndcgs(&self) -> Vec<f64> {
        let Ok(scorer) = self.model.scorer() else { return Vec::new() };
        let scorer = scorer.with_codes(self.codes.as_ref().map(ItemCodes::codes));
        let list = |user: &u32| {
            let items = self.training.row(*user as usize).0;
            let Some(vector) = scorer.stored(*user) else { return Vec::new() };
            let best = scorer.best(&vector, LIST_ITEMS, |item| items.binary_search(&item).is_err());
            best.into_iter().map(|scored| scored.item).collect()
        };
        let metrics = evaluate_ranking(self.test, LIST_ITEMS, |users| users.iter().map(list).collect());
        metrics.users.iter().map(|user| user.ndcg).collect()
    }
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
    let mut drawn: Vec<u32> = (0..data.users()).filter_map(|user| u32::try_from(user).ok()).filter(has_lists).collect();
    drawn.sort_by_cached_key(|user| word(seed, USER_STREAM, u64::from(*user)));
    drawn.truncate(USERS_MAX);
    drawn.sort_unstable();
    let test = test.keep_users(|user| drawn.binary_search_by(|drawn| (*drawn as usize).cmp(&user)).is_ok());
    (training, test)
}

fn pair(user: u32, item: u32) -> u64 {
    u64::from(user) << u32::BITS | u64::from(item)
}

/// Rounds to three digits, so that the value is easy to copy into a resource.
fn rounded(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}
