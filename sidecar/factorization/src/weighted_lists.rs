//! Quality of lists for many weights of the two-hop term at once. The score of an item is a linear
//! function of the weight, so each user's scores are computed once, and the rank of a held-out item
//! is the number of items above it.

use rayon::prelude::*;

use crate::{
    conjugate_gradient::LANES,
    interactions::Interactions,
    model::Model,
    ranking::ndcg_of_hits,
    rotate::{lanes, multiply_rows, pack, panels},
    scorer::Scorer,
    simd::{self, Kernel},
    two_hop::TwoHopQuery,
};

/// Maximum size in bytes of the scores of the users that share a pass over the factors, and maximum
/// number of these users.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
const BATCH_USERS_MAX: usize = 16;
/// Number of items whose products are computed together. These stay in a core's private cache until
/// they are added to the scores of each user.
const BLOCK_ITEMS: usize = 128;
/// Number of items that are compared before the count is.
const RANK_ITEMS: usize = 1024;

/// NDCG@k of each user with likes in `test`, ascending by user, for each of the weights: of lists
/// without the user's items in `training`. The term of the model has the weight 1.
pub(crate) fn ndcgs(
    model: &Model,
    (training, test): (&Interactions, &Interactions),
    weights: &[f64],
    k: usize,
) -> Vec<Vec<f64>> {
    let Ok(scorer) = model.scorer() else { return vec![Vec::new(); weights.len()] };
    #[expect(clippy::cast_possible_truncation, reason = "users ≤ INDEX_MAX")]
    let users: Vec<u32> = (0..test.users() as u32).filter(|user| !likes(test, *user).is_empty()).collect();
    let scores_bytes = 2 * size_of::<f32>() * test.items();
    let batch = (BATCH_BYTES / scores_bytes.max(1)).clamp(1, BATCH_USERS_MAX);
    let of_users: Vec<Vec<f64>> = users
        .par_chunks(batch)
        .flat_map_iter(|users| {
            let lines = lines(&scorer, users, training);
            lines.iter().map(|lines| lines.ndcgs(&likes(test, lines.user), weights, k)).collect::<Vec<_>>()
        })
        .collect();
    (0..weights.len()).map(|weight| of_users.iter().map(|of_user| of_user[weight]).collect()).collect()
}

/// Scores of all items for a user: base plus weight times slope.
struct Lines {
    user: u32,
    base: Vec<f32>,
    slope: Vec<f32>,
}

/// Of users that the model has. Their items in `training` rank last.
fn lines(scorer: &Scorer<'_>, users: &[u32], training: &Interactions) -> Vec<Lines> {
    let factors = scorer.item_factors;
    let query = |&user: &u32| {
        let vector = scorer.stored(user)?;
        let TwoHopQuery { factors: correction, addends } =
            scorer.two_hop?.correction(vector.history.as_ref()?, factors);
        Some(((vector.factors, correction), Lines { user, base: vec![0.0; factors.nrows()], slope: addends }))
    };
    let (queries, mut lines): (Vec<_>, Vec<_>) = users.iter().filter_map(query).unzip();
    let (rows, width) = (factors.to_slice().unwrap_or_default(), factors.ncols().max(1));
    if queries.is_empty() {
        return Vec::new();
    }
    // The columns of a matrix: the users, then their corrections.
    let columns = (2 * queries.len()).next_multiple_of(LANES);
    let mut matrix = vec![0.0; width * columns];
    for (at, (user, correction)) in queries.iter().enumerate() {
        for (line, (user, correction)) in matrix.chunks_exact_mut(columns).zip(user.iter().zip(correction)) {
            (line[at], line[queries.len() + at]) = (*user, *correction);
        }
    }
    let mut panels = panels(width, columns);
    let panels = lanes(&mut panels);
    pack(&matrix, panels, columns);
    let mut products = vec![0.0; BLOCK_ITEMS * columns];
    for (start, rows) in (0..).step_by(BLOCK_ITEMS).zip(rows.chunks(BLOCK_ITEMS * width)) {
        let products = &mut products[..rows.len() / width * columns];
        multiply_rows(rows, panels, products, width);
        for (at, Lines { base, slope, .. }) in lines.iter_mut().enumerate() {
            let of_items = base[start..].iter_mut().zip(&mut slope[start..]).zip(products.chunks_exact(columns));
            for ((base, slope), products) in of_items {
                *base = products[at];
                *slope += products[queries.len() + at];
            }
        }
    }
    for Lines { user, base, slope } in &mut lines {
        for item in training.row(*user as usize).0 {
            (base[*item as usize], slope[*item as usize]) = (f32::NEG_INFINITY, 0.0);
        }
    }
    lines
}

impl Lines {
    /// NDCG@k of the list for each of the weights.
    fn ndcgs(&self, relevant: &[u32], weights: &[f64], k: usize) -> Vec<f64> {
        let ndcg = |weight: &f64| {
            #[expect(clippy::cast_possible_truncation, reason = "scores are in single precision")]
            let hits = relevant.iter().filter_map(|item| self.rank_below(k, *item, *weight as f32));
            ndcg_of_hits(hits, relevant.len(), k)
        };
        weights.iter().map(ndcg).collect()
    }

    /// Number of items above this one, if it is less than `k`. Of equal scores the smaller index is
    /// above.
    fn rank_below(&self, k: usize, item: u32, weight: f32) -> Option<usize> {
        simd::run(Rank { base: &self.base, slope: &self.slope, weight, item: item as usize, k })
    }
}

/// Counts the items above one of them, whose score has the same bits as in the comparison. Most
/// items have `k` others above them among the first ones, where the count ends.
struct Rank<'a> {
    base: &'a [f32],
    slope: &'a [f32],
    weight: f32,
    item: usize,
    k: usize,
}

impl Kernel for Rank<'_> {
    type Output = Option<usize>;

    #[inline(always)]
    fn run(self) -> Option<usize> {
        let score = self.weight.mul_add(self.slope[self.item], self.base[self.item]);
        let (base_before, base_from) = self.base.split_at(self.item);
        let (slope_before, slope_from) = self.slope.split_at(self.item);
        let count = |base: &[f32], slope: &[f32], at_least: f32| {
            let is_above = |(base, slope): (&f32, &f32)| u32::from(self.weight.mul_add(*slope, *base) >= at_least);
            base.iter().zip(slope).map(is_above).sum::<u32>() as usize
        };
        // The least number above a score: what is at least that is above it. The item itself is not.
        let parts = [(base_before, slope_before, score), (base_from, slope_from, score.next_up())];
        let mut rank = 0;
        for (base, slope, at_least) in parts {
            for (base, slope) in base.chunks(RANK_ITEMS).zip(slope.chunks(RANK_ITEMS)) {
                rank += count(base, slope, at_least);
                if rank >= self.k {
                    return None;
                }
            }
        }
        Some(rank)
    }
}

/// Items with a value above 0, ascending.
fn likes(data: &Interactions, user: u32) -> Vec<u32> {
    let (items, values) = data.row(user as usize);
    items.iter().zip(values).filter(|(_, value)| **value > 0.0).map(|(item, _)| *item).collect()
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::{
        fit::Fit,
        interactions::Entry,
        params::{AlsParams, SvdParams, ValidParams},
        random::{uniform, word},
        ranking::evaluate_ranking,
    };

    #[test]
    fn they_are_those_of_the_lists_of_models_with_these_weights() {
        // A twentieth of the cells, more of the first items; the last three items have no users.
        let likes = |part: u64| {
            let cells = (0..300_u32).flat_map(|user| (0..60_u32).map(move |item| (user, item)));
            let of_part = cells.filter(|(user, item)| {
                let at = u64::from(user * 60 + item);
                let drawn = uniform(word(3, 0, at)) * (1.0 + f64::from(*item) / 10.0) < 0.15 && *item < 57;
                drawn && word(3, 1, at).is_multiple_of(5) == (part == 0)
            });
            let entries = of_part.map(|(user, item)| Entry { user, item, value: 1.0 }).collect();
            Interactions::from_entries(300, 60, entries).unwrap()
        };
        let (training, test) = (likes(1), likes(0));
        let svd = SvdParams { factors: 6, degree_exponent: 0.5, ..SvdParams::default() };
        let als = AlsParams { factors: 6, iterations: 4, degree_exponent: 0.5, ..AlsParams::default() };
        for params in [ValidParams::Svd(svd.check().unwrap()), ValidParams::Als(als.check().unwrap())] {
            let fit = |weight| {
                let params = params.with_co_occurrence_weight(weight).unwrap();
                params.fit(&training, 1, None, &mut |_| ControlFlow::Continue(())).unwrap()
            };
            let weights = [0.0, 0.5, 4.0, 40.0];
            let found = ndcgs(&fit(1.0), (&training, &test), &weights, 5);
            for (weight, found) in weights.iter().zip(&found) {
                let model = fit(*weight);
                let model = model.searchable();
                let lists = |users: &[u32]| {
                    let lists = model.recommend_each(users, 5, |user| training.row(user as usize).0);
                    lists.into_iter().map(|list| list.into_iter().map(|scored| scored.item).collect()).collect()
                };
                let expected: Vec<f64> = evaluate_ranking(&test, 5, lists).users.iter().map(|user| user.ndcg).collect();
                assert!(expected.iter().any(|ndcg| *ndcg > 0.0));
                assert_eq!(*found, expected, "weight {weight}");
            }
        }
    }
}
