//! Measures how many iterations a warm start saves. It fits all rows but a held-out fraction, then
//! all rows from that model and from the seed, and compares both with the end of a long fit.
//!
//! `cargo run --release -p factorization --example warm_start -- train.txt [factors [new fraction
//! [regularization [unobserved weight]]]]`; the file format is that of `time_als`.

mod visits;

use std::{error::Error, ops::ControlFlow};

use factorization::{
    AlsParams, Entry, Fit as _, FitError, Interactions, Model, ValidAlsParams, WarmStart, split::held_out_by_hash,
};

/// Iterations of the fit without the new rows, and of the compared fits.
const ITERATIONS: (u32, u32) = (15, 30);
/// Relative tolerance at which an objective counts as converged.
const TOLERANCE: f64 = 1e-3;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let entries = visits::read(&args.next().ok_or("name a file of visits")?)?;
    let factors = args.next().map_or(Ok(64), |text| text.parse())?;
    let mut number = |default: f64| args.next().map_or(Ok(default), |text| text.parse());
    let fraction = number(0.05)?;
    let defaults = AlsParams::default();
    let (regularization, unobserved_weight) = (number(defaults.regularization)?, number(defaults.unobserved_weight)?);
    let params = |iterations| AlsParams { factors, iterations, regularization, unobserved_weight, ..defaults }.check();

    let size = |pick: fn(&Entry) -> u32| entries.iter().map(pick).max().map_or(0, |index| index as usize + 1);
    let (users, items) = (size(|entry| entry.user), size(|entry| entry.item));
    let is_old = |entry: &&Entry| !held_out_by_hash(7, &entry.user.to_le_bytes(), &entry.item.to_le_bytes(), fraction);
    let old = Interactions::from_entries(users, items, entries.iter().filter(is_old).copied().collect())?;
    let all = Interactions::from_entries(users, items, entries)?;
    println!(
        "{users} users, {items} items, {} visits, of which {} are new, {factors} factors",
        all.nnz(),
        all.nnz() - old.nnz()
    );

    let (earlier, _) = fit(&old, &params(ITERATIONS.0)?, None)?;
    let by_item = old.transpose();
    let known = |rows: &Interactions| -> Vec<Option<u32>> {
        (0..).take(rows.users()).map(|row: u32| (!rows.row(row as usize).0.is_empty()).then_some(row)).collect()
    };
    let (known_users, known_items) = (known(&old), known(&by_item));
    let start = WarmStart {
        user_factors: earlier.user_factors.view(),
        item_factors: earlier.item_factors.view(),
        user_biases: &[],
        users: &known_users,
        items: &known_items,
    };
    let (_, cold) = fit(&all, &params(ITERATIONS.1)?, None)?;
    let (_, warm) = fit(&all, &params(ITERATIONS.1)?, Some(&start))?;
    println!("{:>9}  {:>14}  {:>14}", "ITERATION", "COLD", "WARM");
    for (iteration, (cold, warm)) in (1..).zip(cold.iter().zip(&warm)) {
        println!("{iteration:>9}  {cold:>14.6e}  {warm:>14.6e}");
    }
    let end = cold.last().copied().unwrap_or(f64::NAN);
    for (name, objective) in [("cold", &cold), ("warm", &warm)] {
        let first = objective.iter().position(|value| *value <= end + TOLERANCE * end.abs());
        println!("{name}: within {TOLERANCE} of the cold end after {} iterations", first.map_or(0, |at| at + 1));
    }
    Ok(())
}

fn fit(
    rows: &Interactions,
    params: &ValidAlsParams,
    start: Option<&WarmStart<'_>>,
) -> Result<(Model, Vec<f64>), FitError> {
    let mut objective = Vec::new();
    let mut progress = |report: &factorization::IterationReport| {
        objective.push(report.objective);
        ControlFlow::Continue(())
    };
    let model = params.fit(rows, 42, start, &mut progress)?;
    Ok((model, objective))
}
