//! Chooses, fits and measures a model with the two-hop term, for `tests/bench/core/run hybrid`. It
//! prints one JSON object.
//!
//! ```text
//!   hybrid train.txt test.txt svd|als factors seed…
//! ```
//! ALS has the defaults of the resource. For each seed, the user exponent with the best NDCG@20 on
//! a random tenth of the training set is chosen; the weight of the term is always the automatic
//! one, of which each fit holds out a tenth of its own. Then the whole training set is fitted and
//! the test set is measured once.

use std::{error::Error, ops::ControlFlow, time::Instant};

use factorization::{
    AlsParams, Entry, Fit as _, Interactions, ItemCodes, Model, Places, RankingMetrics, ScanCounts, SvdParams,
    UserVector, ValidParams, default_regularization, evaluate_ranking,
    random::{uniform, word},
};
use serde_json::{Value, json};

mod visits;

/// User exponents of a decomposition that are tried; the item exponent is ½.
const USER_EXPONENTS: [f64; 4] = [0.5, 0.4, 0.3, 0.2];
/// That of the defaults of ALS.
const DEFAULT_EXPONENTS: [f64; 1] = [0.5];
/// Length of the lists that are measured.
const K: usize = 20;
/// Length of the lists that are timed, and number of their users.
const ANSWER_ITEMS: usize = 10;
const ANSWERS: u32 = 5000;
/// Stream of the random numbers that hold out a tenth.
const STREAM: u64 = 0x6868;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [train_path, test_path, algorithm, factors, seeds @ ..] = arguments.as_slice() else {
        return Err("usage: hybrid train.txt test.txt svd|als factors seed…".into());
    };
    let factors = factors.parse()?;
    let (params, exponents): (MakeParams, &[f64]) = match algorithm.as_str() {
        "svd" => (svd, &USER_EXPONENTS),
        "als" => (als, &DEFAULT_EXPONENTS),
        _ => return Err("expected svd or als".into()),
    };
    let started = Instant::now();
    let train = visits::read(train_path)?;
    let reading = started.elapsed().as_secs_f64();
    let test = visits::read(test_path)?;
    let of = |entries: &[Entry], keep: &dyn Fn(&Entry) -> bool| {
        let all = train.iter().chain(&test);
        let (users, items) = all.fold((0, 0), |(u, i), entry| (entry.user.max(u), entry.item.max(i)));
        let kept = entries.iter().filter(|entry| keep(entry)).copied().collect();
        Interactions::from_entries(users as usize + 1, items as usize + 1, kept)
    };
    let (all, test) = (of(&train, &|_| true)?, of(&test, &|_| true)?);
    let mut runs = Vec::new();
    for seed in seeds {
        let seed: u64 = seed.parse()?;
        let is_held_out = |entry: &Entry| {
            uniform(word(seed, STREAM, u64::from(entry.user) << u32::BITS | u64::from(entry.item))) < 0.1
        };
        let (part, held_out) = (of(&train, &|entry| !is_held_out(entry))?, of(&train, &is_held_out)?);
        let started = Instant::now();
        let mut validated = Vec::new();
        for &exponent in exponents {
            let (model, weight) = fit(&part, |weight| params(&part, factors, exponent, weight), seed)?;
            let metrics = measure(&model, &part, &held_out);
            validated.push((metrics.ndcg().unwrap_or(0.0), exponent, weight, metrics.recall().unwrap_or(0.0)));
        }
        let search = started.elapsed().as_secs_f64();
        let best = validated.iter().max_by(|x, y| x.0.total_cmp(&y.0)).ok_or("no user exponent")?;
        let started = Instant::now();
        let (model, weight) = fit(&all, |weight| params(&all, factors, best.1, weight), seed)?;
        let fitting = started.elapsed().as_secs_f64();
        let metrics = measure(&model, &all, &test);
        let trial = |&(ndcg, exponent, weight, recall): &(f64, f64, f64, f64)| json!({"userDegreeExponent": exponent, "coOccurrenceWeight": weight, "recall20": recall, "ndcg20": ndcg});
        let validated: Vec<Value> = validated.iter().map(trial).collect();
        runs.push(json!({
            "seed": seed,
            "validated": validated,
            "userDegreeExponent": best.1,
            "coOccurrenceWeight": weight,
            "recall20": metrics.recall(),
            "ndcg20": metrics.ndcg(),
            "searchSeconds": search,
            "seconds": reading + fitting,
            "answers": answers((&model, &fit_params(params(&all, factors, best.1, 0.0)?, &all, seed)?), &all)?,
        }));
        eprintln!("{}", runs.last().unwrap_or(&Value::Null));
    }
    println!("{}", json!({ "factors": factors, "runs": runs }));
    Ok(())
}

type Params = Result<ValidParams, Box<dyn Error>>;
/// From data, factors, user exponent, and weight of the term.
type MakeParams = fn(&Interactions, u32, f64, f64) -> Params;

fn svd(_data: &Interactions, factors: u32, user_exponent: f64, co_occurrence_weight: f64) -> Params {
    let user_degree_exponent = Some(user_exponent);
    let params =
        SvdParams { factors, user_degree_exponent, co_occurrence_weight, degree_exponent: 0.5, ..SvdParams::default() };
    Ok(ValidParams::Svd(params.check()?))
}

/// The defaults of the resource.
fn als(data: &Interactions, factors: u32, user_exponent: f64, co_occurrence_weight: f64) -> Params {
    const UNOBSERVED_WEIGHT: f64 = 0.3;
    let params = AlsParams {
        factors,
        regularization: default_regularization(data, UNOBSERVED_WEIGHT, 1.0),
        unobserved_weight: UNOBSERVED_WEIGHT,
        degree_exponent: 0.5,
        popularity_boost: 0.5,
        user_degree_exponent: Some(user_exponent),
        co_occurrence_weight,
        ..AlsParams::default()
    };
    Ok(ValidParams::Als(params.check()?))
}

/// Chooses the weight of the term and fits.
fn fit(data: &Interactions, params: impl Fn(f64) -> Params, seed: u64) -> Result<(Model, f64), Box<dyn Error>> {
    let weight = params(0.0)?.choose_co_occurrence_weight(data, seed);
    Ok((fit_params(params(weight)?, data, seed)?, weight))
}

fn fit_params(params: ValidParams, data: &Interactions, seed: u64) -> Result<Model, Box<dyn Error>> {
    Ok(params.fit(data, seed, None, &mut |_| ControlFlow::Continue(()))?)
}

fn measure(model: &Model, history: &Interactions, test: &Interactions) -> RankingMetrics {
    let model = model.searchable();
    evaluate_ranking(test, K, |users| {
        let lists = model.recommend_each(users, K, |user| history.row(user as usize).0);
        lists.into_iter().map(|list| list.into_iter().map(|scored| scored.item).collect()).collect()
    })
}

/// Microseconds of an answer in one thread: with the term; without it, by codes and by a flat scan.
/// What is without the term is the model of the factors alone.
fn answers((model, alone): (&Model, &Model), history: &Interactions) -> Result<Value, Box<dyn Error>> {
    let codes = [model, alone].map(|model| ItemCodes::new(model.item_factors.view(), None));
    let time = |model: &Model, codes: Option<&ItemCodes>| -> Result<f64, Box<dyn Error>> {
        let places = Places::default();
        let scorer = model.scorer()?.with_codes(codes.map(ItemCodes::codes)).with_places(&places);
        let users = u32::try_from(history.users())?;
        let drawn = (0..ANSWERS).map(|draw| draw * 7919 % users);
        let vectors: Vec<(u32, UserVector)> = drawn.filter_map(|user| Some((user, scorer.stored(user)?))).collect();
        let started = Instant::now();
        let mut listed = 0;
        for (user, vector) in &vectors {
            let visited = history.row(*user as usize).0;
            listed += scorer.best(vector, ANSWER_ITEMS, |item| visited.binary_search(&item).is_err()).len();
        }
        let micros = started.elapsed().as_secs_f64() * 1e6 / vectors.len() as f64;
        if listed == 0 { Err("no lists".into()) } else { Ok(micros) }
    };
    // The fastest of alternating rounds: other processes only add time.
    let mut fastest = [f64::INFINITY; 3];
    for _ in 0..3 {
        let round = [time(model, codes[0].as_ref())?, time(alone, codes[1].as_ref())?, time(alone, None)?];
        fastest.iter_mut().zip(round).for_each(|(fastest, micros)| *fastest = fastest.min(micros));
    }
    // Items whose codes were read, and those that were scored, for each answer.
    let places = Places::default();
    let scorer = model.scorer()?.with_codes(codes[0].as_ref().map(ItemCodes::codes)).with_places(&places);
    let mut total = ScanCounts::default();
    let mut lists = 0;
    for user in (0..ANSWERS).map(|draw| draw * 7919 % u32::try_from(history.users()).unwrap_or(1)) {
        let visited = history.row(user as usize).0;
        let Some(vector) = scorer.stored(user) else { continue };
        let (_, read) = scorer.counted(&vector, ANSWER_ITEMS, |item| visited.binary_search(&item).is_err());
        total = ScanCounts { coded: total.coded + read.coded, scored: total.scored + read.scored };
        lists += 1;
    }
    let mean = |items: usize| items as f64 / f64::from(lists.max(1));
    Ok(
        json!({"coded": mean(total.coded), "scored": mean(total.scored), "micros": fastest[0], "codesAloneMicros": fastest[1], "flatAloneMicros": fastest[2]}),
    )
}
