//! How many sweeps a start from an earlier model saves: a fit without a share of the rows, then one of all of them from it and one
//! from the seed, each against the end of a long one.
//!
//! `cargo run --release -p factorization --example warm_start -- train.txt [factors [new share [regularization [unobserved weight]]]]`;
//! the form of the file is that of `time_als`.

mod visits;

use std::{error::Error, ops::ControlFlow};

use factorization::{
    AlsParams, Earlier, Entry, FitError, Interactions, Model, ValidAlsParams, fit_als, fit_als_from,
    split::held_out_by_hash,
};

/// Sweeps of the fit before the new rows came, and of those that are compared.
const SWEEPS: (u32, u32) = (15, 30);
/// How near to the end is near enough, as a share of it.
const NEAR: f64 = 1e-3;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let entries = visits::read(&args.next().ok_or("name a file of visits")?)?;
    let factors = args.next().map_or(Ok(64), |text| text.parse())?;
    let mut number = |default: f64| args.next().map_or(Ok(default), |text| text.parse());
    let share = number(0.05)?;
    let defaults = AlsParams::default();
    let (regularization, unobserved_weight) = (number(defaults.regularization)?, number(defaults.unobserved_weight)?);
    let params = |iterations| AlsParams { factors, iterations, regularization, unobserved_weight, ..defaults }.check();

    let size = |pick: fn(&Entry) -> u32| entries.iter().map(pick).max().map_or(0, |index| index as usize + 1);
    let (users, items) = (size(|entry| entry.user), size(|entry| entry.item));
    let is_old = |entry: &&Entry| !held_out_by_hash(7, &entry.user.to_le_bytes(), &entry.item.to_le_bytes(), share);
    let old = Interactions::from_entries(users, items, entries.iter().filter(is_old).copied().collect())?;
    let all = Interactions::from_entries(users, items, entries)?;
    println!(
        "{users} users, {items} items, {} visits, of which {} are new, {factors} factors",
        all.nnz(),
        all.nnz() - old.nnz()
    );

    let (earlier, _) = fit(&old, &params(SWEEPS.0)?, None)?;
    let by_item = old.transpose();
    let was = |rows: &Interactions| -> Vec<Option<u32>> {
        (0..).take(rows.users()).map(|row: u32| (!rows.row(row as usize).0.is_empty()).then_some(row)).collect()
    };
    let (known_users, known_items) = (was(&old), was(&by_item));
    let start = Earlier {
        user_factors: earlier.user_factors.view(),
        item_factors: earlier.item_factors.view(),
        user_biases: &[],
        users: &known_users,
        items: &known_items,
    };
    let (_, cold) = fit(&all, &params(SWEEPS.1)?, None)?;
    let (_, warm) = fit(&all, &params(SWEEPS.1)?, Some(&start))?;
    println!("{:>5}  {:>14}  {:>14}", "SWEEP", "COLD", "WARM");
    for (sweep, (cold, warm)) in (1..).zip(cold.iter().zip(&warm)) {
        println!("{sweep:>5}  {cold:>14.6e}  {warm:>14.6e}");
    }
    let end = cold.last().copied().unwrap_or(f64::NAN);
    for (name, objective) in [("cold", &cold), ("warm", &warm)] {
        let near = objective.iter().position(|value| *value <= end + NEAR * end.abs());
        println!("{name}: within {NEAR} of the cold end after {} sweeps", near.map_or(0, |at| at + 1));
    }
    Ok(())
}

fn fit(
    rows: &Interactions,
    params: &ValidAlsParams,
    start: Option<&Earlier<'_>>,
) -> Result<(Model, Vec<f64>), FitError> {
    let mut objective = Vec::new();
    let mut progress = |report: &factorization::SweepReport| {
        objective.push(report.objective);
        ControlFlow::Continue(())
    };
    let model = match start {
        None => fit_als(rows, params, 42, &mut progress)?,
        Some(start) => fit_als_from(rows, params, 42, start, &mut progress)?,
    };
    Ok((model, objective))
}
