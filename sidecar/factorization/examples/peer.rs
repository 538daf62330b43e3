//! Fits on command, for scripts that compare with other packages. It reads one JSON object per line
//! from standard input and writes one response per line.
//!
//! ```text
//!   {"op": "load", "path": "train.bin"}
//!     → {"users": …, "items": …, "entries": …}
//!   {"op": "als", "factors": 64, "iterations": 15, "regularization": 0.01,
//!    "steps": 2, "threads": 2, "seed": 1, "out": "directory"}
//!     → {"seconds": …, "objective": …, "coOccurrenceWeight": …}
//!   {"op": "explicitAls", "factors": 64, "iterations": 15,
//!    "regularization": 0.1, "regularizationExponent": 1.0, "steps": 2,
//!    "samples": 50, "threads": 2, "seed": 1, "out": "directory"}
//!     → {"seconds": …, "objective": …, "mean": …}
//!   {"op": "svd", "factors": 64, "iterations": 10, "degreeExponent": 0.5,
//!    "userDegreeExponent": 0.3, "coOccurrenceWeight": 2.5, "threads": 2,
//!    "seed": 1, "out": "directory"}
//!     → {"seconds": …, "objective": …, "coOccurrenceWeight": …}
//!   {"op": "bpr", "factors": 64, "iterations": 50, "learningRate": 0.05,
//!    "regularization": 0.01, "threads": 2, "seed": 1, "out": "directory"}
//!     → {"seconds": …, "objective": …}
//!   {"op": "rank", "history": "train.bin", "test": "test.bin", "k": 10}
//!     → {"users": […], "recall": […], "ndcg": […]}
//! ```
//! A file holds the numbers of users, items and entries (three u64), then user (u32), item (u32)
//! and confidence (f32) of all entries, one column after the other, little-endian.
//!
//! ALS minimizes the objective of the package `implicit`: α₀ = 1, ν = 0, values are confidences.
//! With `"unobservedWeight"`, `"regularizationExponent"`, `"degreeExponent"` and
//! `"popularityBoost"` it minimizes the objective of this crate, and values are weights, which may
//! have a two-hop term. Without `"regularization"`, λ is the default one. `out` may name a directory
//! for `users.f32` and `items.f32`, in row-major order. Explicit ALS takes values as ratings and also
//! writes `user_biases.f32` and `item_biases.f32`. The seconds are those of the fit alone.
//!
//! A model has no two-hop term without `"coOccurrenceWeight"`; `"chosen"` chooses the weight as a run
//! does. `rank` lists items for each user with test entries by the model of the last fit: the user is
//! folded in from the history, whose items are not listed.

use std::{
    error::Error,
    fs,
    io::{BufRead, Write},
    ops::ControlFlow,
    path::PathBuf,
    time::Instant,
};

use factorization::{
    AlsParams, AlsSolver, BprParams, Entry, ExplicitAlsParams, Fit as _, FitError, Interactions, ItemCodes,
    IterationReport, Model, SvdParams, ValidParams, ValueMeaning, default_regularization, evaluate_ranking,
};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Command {
    Load {
        path: PathBuf,
    },
    Als {
        factors: u32,
        iterations: u32,
        regularization: Option<f64>,
        /// Conjugate gradient steps; 0 for exact rows.
        steps: u32,
        threads: usize,
        seed: u64,
        unobserved_weight: Option<f64>,
        #[serde(default)]
        regularization_exponent: f64,
        #[serde(default)]
        degree_exponent: f64,
        #[serde(default)]
        popularity_boost: f64,
        user_degree_exponent: Option<f64>,
        #[serde(default)]
        co_occurrence_weight: CoOccurrenceWeight,
        out: Option<PathBuf>,
    },
    ExplicitAls {
        factors: u32,
        iterations: u32,
        regularization: f64,
        regularization_exponent: f64,
        steps: u32,
        #[serde(default)]
        samples: u32,
        threads: usize,
        seed: u64,
        out: Option<PathBuf>,
    },
    Svd {
        factors: u32,
        iterations: u32,
        degree_exponent: f64,
        user_degree_exponent: Option<f64>,
        #[serde(default)]
        co_occurrence_weight: CoOccurrenceWeight,
        threads: usize,
        seed: u64,
        out: Option<PathBuf>,
    },
    Bpr {
        factors: u32,
        iterations: u32,
        learning_rate: f64,
        regularization: f64,
        threads: usize,
        seed: u64,
        out: Option<PathBuf>,
    },
    Rank {
        history: PathBuf,
        test: PathBuf,
        k: usize,
    },
}

/// Weight of the two-hop term.
#[derive(Deserialize)]
#[serde(untagged)]
enum CoOccurrenceWeight {
    Given(f64),
    Chosen(Chosen),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Chosen {
    Chosen,
}

impl Default for CoOccurrenceWeight {
    fn default() -> Self {
        Self::Given(0.0)
    }
}

impl CoOccurrenceWeight {
    fn of(
        &self,
        params: ValidParams,
        data: &Interactions,
        threads: usize,
        seed: u64,
    ) -> Result<f64, rayon::ThreadPoolBuildError> {
        match self {
            Self::Given(weight) => Ok(*weight),
            Self::Chosen(Chosen::Chosen) => {
                Ok(pool(threads)?.install(|| params.choose_co_occurrence_weight(data, seed)))
            }
        }
    }
}

/// What earlier commands have made.
#[derive(Default)]
struct State {
    data: Option<Interactions>,
    model: Option<Model>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut state = State::default();
    for line in std::io::stdin().lock().lines() {
        let response = serde_json::from_str(&line?)
            .map_err(Into::into)
            .and_then(|command| execute(command, &mut state))
            .unwrap_or_else(|error: Box<dyn Error>| json!({"error": error.to_string()}));
        let mut out = std::io::stdout().lock();
        writeln!(out, "{response}")?;
        out.flush()?;
    }
    Ok(())
}

fn execute(command: Command, State { data, model }: &mut State) -> Result<Value, Box<dyn Error>> {
    match command {
        Command::Load { path } => {
            let loaded = data.insert(read(&fs::read(path)?)?);
            Ok(json!({"users": loaded.users(), "items": loaded.items(), "entries": loaded.nnz()}))
        }
        Command::Als {
            factors,
            iterations,
            regularization,
            steps,
            threads,
            seed,
            unobserved_weight,
            regularization_exponent,
            degree_exponent,
            popularity_boost,
            user_degree_exponent,
            co_occurrence_weight,
            out,
        } => {
            let data = data.as_ref().ok_or("load a file first")?;
            let solver = solver(steps);
            let alpha = unobserved_weight.unwrap_or(1.0);
            let given = AlsParams {
                factors,
                iterations,
                regularization: regularization
                    .unwrap_or_else(|| default_regularization(data, alpha, regularization_exponent)),
                regularization_exponent,
                unobserved_weight: alpha,
                degree_exponent,
                popularity_boost,
                user_degree_exponent,
                co_occurrence_weight: 0.0,
                values: unobserved_weight.map_or(ValueMeaning::Confidence, |_| ValueMeaning::Weight),
                solver,
                ..AlsParams::default()
            };
            let weight = co_occurrence_weight.of(ValidParams::Als(given.check()?), data, threads, seed)?;
            let params = AlsParams { co_occurrence_weight: weight, ..given }.check()?;
            let response = timed(model, threads, out, |progress| params.fit(data, seed, None, progress))?;
            Ok(with_weight(&response, weight))
        }
        Command::ExplicitAls {
            factors,
            iterations,
            regularization,
            regularization_exponent,
            steps,
            samples,
            threads,
            seed,
            out,
        } => {
            let data = data.as_ref().ok_or("load a file first")?;
            let solver = solver(steps);
            let params =
                ExplicitAlsParams { factors, iterations, regularization, regularization_exponent, solver, samples }
                    .check()?;
            timed(model, threads, out, |progress| params.fit(data, seed, None, progress))
        }
        Command::Svd {
            factors,
            iterations,
            degree_exponent,
            user_degree_exponent,
            co_occurrence_weight,
            threads,
            seed,
            out,
        } => {
            let data = data.as_ref().ok_or("load a file first")?;
            let given =
                SvdParams { factors, iterations, degree_exponent, user_degree_exponent, ..SvdParams::default() };
            let weight = co_occurrence_weight.of(ValidParams::Svd(given.check()?), data, threads, seed)?;
            let params = SvdParams { co_occurrence_weight: weight, ..given }.check()?;
            let response = timed(model, threads, out, |progress| params.fit(data, seed, None, progress))?;
            Ok(with_weight(&response, weight))
        }
        Command::Bpr { factors, iterations, learning_rate, regularization, threads, seed, out } => {
            let data = data.as_ref().ok_or("load a file first")?;
            let params = BprParams { factors, iterations, learning_rate, regularization }.check()?;
            timed(model, threads, out, |progress| params.fit(data, seed, None, progress))
        }
        Command::Rank { history, test, k } => {
            let model = model.as_ref().ok_or("fit a model first")?;
            rank(model, &read(&fs::read(history)?)?, &read(&fs::read(test)?)?, k)
        }
    }
}

/// The response of a fit, with the weight of its two-hop term.
fn with_weight(response: &Value, weight: f64) -> Value {
    let of_fit = |name: &str| response.get(name).cloned();
    json!({"seconds": of_fit("seconds"), "objective": of_fit("objective"), "coOccurrenceWeight": weight})
}

fn solver(steps: u32) -> AlsSolver {
    if steps == 0 { AlsSolver::Cholesky } else { AlsSolver::ConjugateGradient { steps } }
}

fn pool(threads: usize) -> Result<rayon::ThreadPool, rayon::ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build()
}

/// Fits, writes the factors, and returns the duration of the fit and its final objective.
fn timed(
    fitted: &mut Option<Model>,
    threads: usize,
    out: Option<PathBuf>,
    fit: impl FnOnce(&mut dyn FnMut(&IterationReport) -> ControlFlow<()>) -> Result<Model, FitError> + Send,
) -> Result<Value, Box<dyn Error>> {
    let pool = pool(threads)?;
    let mut objective = f64::NAN;
    let begin = Instant::now();
    let model = pool.install(|| {
        fit(&mut |report| {
            objective = report.objective;
            ControlFlow::Continue(())
        })
    })?;
    let seconds = begin.elapsed().as_secs_f64();
    if let Some(out) = out {
        fs::write(out.join("users.f32"), bytes(&model.user_factors))?;
        fs::write(out.join("items.f32"), bytes(&model.item_factors))?;
        if let Some(ratings) = &model.ratings {
            fs::write(out.join("user_biases.f32"), bytes(&ratings.users))?;
            fs::write(out.join("item_biases.f32"), bytes(&ratings.items))?;
        }
    }
    let mean = model.ratings.as_ref().map(|ratings| ratings.scale.mean);
    *fitted = Some(model);
    Ok(json!({"seconds": seconds, "objective": objective, "mean": mean}))
}

/// Recall and NDCG of each test user, folded in from the history.
fn rank(model: &Model, history: &Interactions, test: &Interactions, k: usize) -> Result<Value, Box<dyn Error>> {
    if history.users() < test.users() {
        return Err(format!("the history has {} users, the test set {}", history.users(), test.users()).into());
    }
    let codes = ItemCodes::new(model.item_factors.view(), None);
    let scorer = model.scorer()?.with_codes(codes.as_ref().map(ItemCodes::codes));
    let list = |user: &u32| {
        let (items, values) = history.row(*user as usize);
        let Ok(vector) = scorer.fold_in(items, values) else { return Vec::new() };
        let best = scorer.best(&vector, k, |item| items.binary_search(&item).is_err());
        best.into_iter().map(|scored| scored.item).collect()
    };
    let metrics = evaluate_ranking(test, k, |users| users.iter().map(list).collect());
    let users: Vec<u32> = metrics.users.iter().map(|scores| scores.user).collect();
    let [recall, ndcg]: [Vec<f64>; 2] = [
        metrics.users.iter().map(|scores| scores.recall).collect(),
        metrics.users.iter().map(|scores| scores.ndcg).collect(),
    ];
    Ok(json!({"users": users, "recall": recall, "ndcg": ndcg}))
}

fn read(bytes: &[u8]) -> Result<Interactions, Box<dyn Error>> {
    let (head, rest) = bytes.split_first_chunk::<24>().ok_or("the file is shorter than its header")?;
    let (numbers, _) = head.as_chunks::<8>();
    let numbers: Vec<usize> =
        numbers.iter().map(|number| usize::try_from(u64::from_le_bytes(*number))).collect::<Result<_, _>>()?;
    let [users, items, entries] = numbers[..] else { return Err("the header must have three numbers".into()) };
    let (words, _) = rest.as_chunks::<4>();
    if words.len() != entries.checked_mul(3).ok_or("too many entries")? {
        return Err(format!("the header declares {entries} entries, but {} words follow", words.len()).into());
    }
    let (user, rest) = words.split_at(entries);
    let (item, value) = rest.split_at(entries);
    let entries = user.iter().zip(item).zip(value).map(|((user, item), value)| Entry {
        user: u32::from_le_bytes(*user),
        item: u32::from_le_bytes(*item),
        value: f32::from_le_bytes(*value),
    });
    Ok(Interactions::from_entries(users, items, entries.collect())?)
}

fn bytes<'a>(factors: impl IntoIterator<Item = &'a f32>) -> Vec<u8> {
    factors.into_iter().flat_map(|x| x.to_le_bytes()).collect()
}
