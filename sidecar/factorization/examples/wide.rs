//! Measures the two-hop term on a catalogue of the shape of MovieLens 20M, for `tests/bench/core/run
//! hybrid_wide`. It prints one JSON object.
//!
//! ```text
//!   wide answers seed
//! ```
//! The data has 138,493 users, 26,744 items and about 20 million likes, with degrees like those of
//! MovieLens 20M (GroupLens). A user has 20 likes plus a lognormal number of median 48 and mean 124,
//! at most 9,254. Items are drawn with lognormal weights of median 18 and mean 748.

use std::{error::Error, ops::ControlFlow, time::Instant};

use factorization::{
    Entry, Fit as _, Interactions, SvdParams,
    random::{normal, uniform, word},
};
use rayon::prelude::*;
use serde_json::json;

const USERS: u32 = 138_493;
const ITEMS: u32 = 26_744;
/// Likes of the user with the most, and of the item with the most.
const USER_LIKES_MAX: f64 = 9_254.0;
const ITEM_LIKES_MAX: f64 = 67_310.0;
const LIKES: f64 = 20_000_263.0;
/// Draws of an item for each like: popular items are drawn repeatedly.
const DRAWS_PER_LIKE_MAX: usize = 30;
/// Streams of the random numbers.
const DEGREE_STREAM: u64 = 0x7769_0001;
const ITEM_STREAM: u64 = 0x7769_0002;
const LIKE_STREAM: u64 = 0x7769_0003;
const USER_STREAM: u64 = 0x7769_0004;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [answers, seed] = arguments.as_slice() else { return Err("usage: wide answers seed".into()) };
    let (answers, seed): (u64, u64) = (answers.parse()?, seed.parse()?);
    let data = data(seed)?;
    // The walk does not depend on the factors, so few and unconverged ones are enough.
    let params = SvdParams {
        factors: 8,
        iterations: 1,
        degree_exponent: 0.5,
        co_occurrence_weight: 2.5,
        ..SvdParams::default()
    };
    let model = params.check()?.fit(&data, seed, None, &mut |_| ControlFlow::Continue(()))?;
    let scorer = model.scorer()?;
    let users = (0..answers).map(|draw| index(uniform(word(seed, USER_STREAM, draw)) * f64::from(USERS)));
    let vectors: Vec<_> = users.filter_map(|user| Some((user, scorer.stored(user)?))).collect();
    // The first answers make the memory that the others reuse.
    for (_, vector) in vectors.iter().take(50) {
        scorer.addends(vector);
    }
    let mut micros = Vec::new();
    for (user, vector) in &vectors {
        let started = Instant::now();
        let addends = scorer.addends(vector).ok_or("the model has no term")?;
        let elapsed = started.elapsed().as_secs_f64() * 1e6;
        let additions = scorer.two_hop_additions(data.row(*user as usize).0.iter().copied());
        micros.push((elapsed, additions, addends.iter().filter(|addend| **addend > 0.0).count()));
    }
    micros.sort_by(|x, y| x.0.total_cmp(&y.0));
    let at = |share: f64| {
        let place = index(micros.len().saturating_sub(1) as f64 * share);
        micros.get(place as usize).map_or(0.0, |measured| measured.0)
    };
    let mean = |of: &dyn Fn(&(f64, usize, usize)) -> f64| micros.iter().map(of).sum::<f64>() / micros.len() as f64;
    println!(
        "{}",
        json!({
            "likes": data.nnz(), "answers": micros.len(), "meanMicros": mean(&|x| x.0), "p50Micros": at(0.5), "p90Micros": at(0.9),
            "p99Micros": at(0.99), "maxMicros": at(1.0), "meanAdditions": mean(&|x| x.1 as f64), "meanItems": mean(&|x| x.2 as f64),
        })
    );
    Ok(())
}

/// The likes.
fn data(seed: u64) -> Result<Interactions, Box<dyn Error>> {
    let mut weights: Vec<f64> =
        (0..u64::from(ITEMS)).map(|item| lognormal(18.0, 748.0, normal(seed, ITEM_STREAM, item))).collect();
    let sum: f64 = weights.iter().sum();
    for weight in &mut weights {
        *weight = (*weight / sum).min(ITEM_LIKES_MAX / LIKES);
    }
    let cumulative: Vec<f64> = weights
        .iter()
        .scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        })
        .collect();
    let total = cumulative.last().copied().unwrap_or(1.0);
    let degree = |user: u32| 20.0 + lognormal(48.0, 124.0, normal(seed, DEGREE_STREAM, u64::from(user)));
    let scale = LIKES / (0..USERS).map(|user| degree(user).min(USER_LIKES_MAX)).sum::<f64>();
    let row = |user: u32| {
        let likes = index((degree(user).min(USER_LIKES_MAX) * scale).round()) as usize;
        let mut items = std::collections::BTreeSet::new();
        let draws = u64::from(user) << u32::BITS..;
        for draw in draws.take(likes * DRAWS_PER_LIKE_MAX) {
            if items.len() == likes {
                break;
            }
            let at = uniform(word(seed, LIKE_STREAM, draw)) * total;
            items.insert(cumulative.partition_point(|sum| *sum <= at).min(ITEMS as usize - 1));
        }
        items.into_iter().map(move |item| Entry { user, item: index(item as f64), value: 1.0 }).collect::<Vec<_>>()
    };
    let rows: Vec<Vec<Entry>> = (0..USERS).into_par_iter().map(row).collect();
    Ok(Interactions::from_entries(USERS as usize, ITEMS as usize, rows.concat())?)
}

/// A lognormal number of this median and mean, from a standard normal one.
fn lognormal(median: f64, mean: f64, normal: f64) -> f64 {
    let deviation = (2.0 * (mean / median).ln()).sqrt();
    median * (deviation * normal).exp()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "indexes are in range")]
fn index(at: f64) -> u32 {
    at as u32
}
