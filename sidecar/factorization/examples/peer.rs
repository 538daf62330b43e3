//! Fits on command, for scripts that compare with other packages: one JSON object a line on standard input, one answer a line.
//!
//! ```text
//!   {"op": "load", "path": "train.bin"}                                     → {"users": …, "items": …, "entries": …}
//!   {"op": "als", "factors": 64, "iterations": 15, "regularization": 0.01,
//!    "steps": 2, "threads": 2, "seed": 1, "out": "directory"}               → {"seconds": …, "objective": …}
//!   {"op": "explicitAls", "factors": 64, "iterations": 15,
//!    "regularization": 0.1, "regularizationExponent": 1.0, "steps": 2,
//!    "samples": 50, "threads": 2, "seed": 1, "out": "directory"}                           → {"seconds": …, "objective": …, "mean": …}
//!   {"op": "svd", "factors": 64, "iterations": 10, "degreeExponent": 0.5,
//!    "threads": 2, "seed": 1, "out": "directory"}                           → {"seconds": …, "objective": …}
//!   {"op": "bpr", "factors": 64, "iterations": 50, "learningRate": 0.05,
//!    "regularization": 0.01, "threads": 2, "seed": 1, "out": "directory"}   → {"seconds": …, "objective": …}
//! ```
//! A file holds users, items and entries (three u64), then user (u32), item (u32) and confidence (f32) of all entries, one after
//! the other, little-endian. ALS minimizes the objective of the package `implicit`: α₀ = 1, ν = 0, values are confidences; with
//! `"unobservedWeight"`, `"regularizationExponent"`, `"degreeExponent"` and `"degreeReturn"` it is ours, values are weights, and no
//! `"regularization"` is the usual one. `out` may name a directory for
//! `users.f32` and `items.f32`, row by row. To explicit ALS values are ratings; it writes `user_biases.f32` and `item_biases.f32`
//! too. The seconds are the fit's alone.

use std::{
    error::Error,
    fs,
    io::{BufRead, Write},
    ops::ControlFlow,
    path::PathBuf,
    time::Instant,
};

use factorization::{
    AlsParams, AlsSolver, BprParams, Entry, ExplicitAlsParams, FitError, Interactions, Model, SvdParams, SweepReport,
    ValueMeaning, fit_als, fit_bpr, fit_explicit_als, fit_svd, usual_regularization,
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
        /// Of conjugate gradients; 0 for exact rows.
        steps: u32,
        threads: usize,
        seed: u64,
        unobserved_weight: Option<f64>,
        #[serde(default)]
        regularization_exponent: f64,
        #[serde(default)]
        degree_exponent: f64,
        #[serde(default)]
        degree_return: f64,
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
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut data = None;
    for line in std::io::stdin().lock().lines() {
        let answer = serde_json::from_str(&line?)
            .map_err(Into::into)
            .and_then(|command| answer(command, &mut data))
            .unwrap_or_else(|error: Box<dyn Error>| json!({"error": error.to_string()}));
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn answer(command: Command, data: &mut Option<Interactions>) -> Result<Value, Box<dyn Error>> {
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
            degree_return,
            out,
        } => {
            let data = data.as_ref().ok_or("load a file first")?;
            let solver = solver(steps);
            let alpha = unobserved_weight.unwrap_or(1.0);
            let params = AlsParams {
                factors,
                iterations,
                regularization: regularization
                    .unwrap_or_else(|| usual_regularization(data, alpha, regularization_exponent)),
                regularization_exponent,
                unobserved_weight: alpha,
                degree_exponent,
                degree_return,
                values: unobserved_weight.map_or(ValueMeaning::Confidence, |_| ValueMeaning::Weight),
                solver,
            }
            .check()?;
            timed(threads, out, |progress| fit_als(data, &params, seed, progress))
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
            timed(threads, out, |progress| fit_explicit_als(data, &params, seed, progress))
        }
        Command::Svd { factors, iterations, degree_exponent, threads, seed, out } => {
            let data = data.as_ref().ok_or("load a file first")?;
            let params = SvdParams { factors, iterations, degree_exponent }.check()?;
            timed(threads, out, |progress| fit_svd(data, false, &params, seed, progress))
        }
        Command::Bpr { factors, iterations, learning_rate, regularization, threads, seed, out } => {
            let data = data.as_ref().ok_or("load a file first")?;
            let params = BprParams { factors, iterations, learning_rate, regularization }.check()?;
            timed(threads, out, |progress| fit_bpr(data, &params, seed, progress))
        }
    }
}

fn solver(steps: u32) -> AlsSolver {
    if steps == 0 { AlsSolver::Cholesky } else { AlsSolver::ConjugateGradient { steps } }
}

/// Fits, writes the factors, and says how long the fit took and where it ended.
fn timed(
    threads: usize,
    out: Option<PathBuf>,
    fit: impl FnOnce(&mut dyn FnMut(&SweepReport) -> ControlFlow<()>) -> Result<Model, FitError> + Send,
) -> Result<Value, Box<dyn Error>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
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
    let mean = model.ratings.map(|ratings| ratings.scale.mean);
    Ok(json!({"seconds": seconds, "objective": objective, "mean": mean}))
}

fn read(bytes: &[u8]) -> Result<Interactions, Box<dyn Error>> {
    let (head, rest) = bytes.split_first_chunk::<24>().ok_or("the file is shorter than its head")?;
    let (numbers, _) = head.as_chunks::<8>();
    let numbers: Vec<usize> =
        numbers.iter().map(|number| usize::try_from(u64::from_le_bytes(*number))).collect::<Result<_, _>>()?;
    let [users, items, entries] = numbers[..] else { return Err("the head has three numbers".into()) };
    let (words, _) = rest.as_chunks::<4>();
    if words.len() != entries.checked_mul(3).ok_or("too many entries")? {
        return Err(format!("{entries} entries are announced, {} words follow", words.len()).into());
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
