//! Fits implicit ALS to a file of visits and reports the time per iteration and the quality of the
//! lists.
//!
//! `cargo run --release -p factorization --example time_als -- train.txt [test.txt [factors
//! [iterations [threads [steps [regularization [unobserved weight]]]]]]]`, with `-` for no test
//! file and 0 steps for exact rows.
//!
//! Each line of a file is a user's index followed by the indexes of their items, separated by
//! spaces. This is the format in which the Gowalla check-ins of He et al. 2020, "LightGCN", are
//! shared.

mod visits;

use std::{error::Error, ops::ControlFlow, time::Instant};

use factorization::{AlsParams, AlsSolver, Entry, Fit as _, Interactions, evaluate_ranking};

/// Length of the evaluated lists.
const K: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let train = visits::read(&args.next().ok_or("name a file of visits")?)?;
    let test = args.next().filter(|path| path != "-").map(|path| visits::read(&path)).transpose()?;
    let mut number = |default: u32| args.next().map_or(Ok(default), |text| text.parse());
    let (factors, iterations, threads) = (number(64)?, number(5)?, number(2)?);

    let size = |pick: fn(&Entry) -> u32| {
        train.iter().chain(test.iter().flatten()).map(pick).max().map_or(0, |index| index as usize + 1)
    };
    let (users, items) = (size(|entry| entry.user), size(|entry| entry.item));
    let train = Interactions::from_entries(users, items, train)?;
    println!("{users} users, {items} items, {} visits, {factors} factors, {threads} threads", train.nnz());

    let solver = match number(2)? {
        0 => AlsSolver::Cholesky,
        steps => AlsSolver::ConjugateGradient { steps },
    };
    let mut weight = |default: f64| args.next().map_or(Ok(default), |text| text.parse());
    let defaults = AlsParams::default();
    let (regularization, unobserved_weight) = (weight(defaults.regularization)?, weight(defaults.unobserved_weight)?);
    let params = AlsParams { factors, iterations, regularization, unobserved_weight, solver, ..defaults }.check()?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads as usize).build()?;
    let mut last = Instant::now();
    let model = pool.install(|| {
        params.fit(&train, 42, None, &mut |report| {
            let seconds = last.elapsed().as_secs_f64();
            println!("iteration {:>3}: {seconds:.3} s, objective {:.6e}", report.iteration, report.objective);
            last = Instant::now();
            ControlFlow::Continue(())
        })
    })?;

    if let Some(test) = test {
        let test = Interactions::from_entries(users, items, test)?;
        let started = Instant::now();
        let scores = pool.install(|| {
            let model = model.searchable();
            evaluate_ranking(&test, K, |users| {
                let lists = model.recommend_each(users, K, |user| train.row(user as usize).0);
                lists.into_iter().map(|list| list.into_iter().map(|scored| scored.item).collect()).collect()
            })
        });
        let (recall, ndcg) = (scores.recall().unwrap_or(f64::NAN), scores.ndcg().unwrap_or(f64::NAN));
        let seconds = started.elapsed().as_secs_f64();
        println!("recall@{K} {recall:.5}, ndcg@{K} {ndcg:.5} over {} users in {seconds:.2} s", scores.users.len());
    }
    Ok(())
}
