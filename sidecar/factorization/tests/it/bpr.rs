//! Fits of Bayesian personalized ranking, and the optimality of user rows.

use std::ops::ControlFlow;

use factorization::{BprParams, Entry, Fit as _, FitError, Interactions, Model, SolveError};

use crate::data::{Draws, interactions};

fn fit(data: &Interactions, params: BprParams) -> (Model, Vec<f64>) {
    let mut objectives = Vec::new();
    let model = params
        .check()
        .unwrap()
        .fit(data, 42, None, &mut |report| {
            objectives.push(report.objective);
            ControlFlow::Continue(())
        })
        .unwrap();
    (model, objectives)
}

fn params(factors: u32) -> BprParams {
    BprParams { factors, iterations: 60, ..BprParams::default() }
}

/// Users and items of two groups; every user likes most items of their own group.
fn two_groups() -> Interactions {
    let mut draws = Draws(5);
    let pairs = (0..40_u32).flat_map(|user| (0..30_u32).map(move |item| (user, item)));
    let likes = pairs.filter(|(user, item)| user % 2 == item % 2 && draws.below(4) > 0);
    let entries = likes.map(|(user, item)| Entry { user, item, value: 1.0 }).collect();
    Interactions::from_entries(40, 30, entries).unwrap()
}

#[test]
fn the_unseen_items_of_a_users_own_group_rank_first() {
    let data = two_groups();
    let (model, _) = fit(&data, params(8));
    for user in 0..40 {
        let seen = data.row(user as usize).0;
        let unseen = 15 - seen.len();
        let best = model.recommend(user, unseen, seen);
        assert!(best.iter().all(|scored| scored.item % 2 == user % 2), "user {user}: {best:?}");
    }
}

#[test]
fn untrained_factors_order_half_of_the_pairs_correctly() {
    // Factors are near 0 and hardly change: the loss is −ln σ(0) = ln 2.
    let (_, objectives) = fit(&two_groups(), BprParams { iterations: 1, learning_rate: 1e-6, ..params(8) });
    assert!((objectives[0] - std::f64::consts::LN_2).abs() < 1e-3, "{objectives:?}");
    let (_, objectives) = fit(&two_groups(), params(8));
    assert!(*objectives.last().unwrap() < 0.1, "{objectives:?}");
}

#[test]
fn a_row_minimizes_the_users_own_objective() {
    // The mean of −ln σ(⟨u, v − w⟩) over all pairs of a positive v (by its weight) and a negative
    // w, plus λ/2 ‖u‖², is minimized by gradient descent over all pairs in f64.
    let data = two_groups();
    let lambda = 0.05;
    let params = BprParams { factors: 6, iterations: 1000, learning_rate: 0.05, regularization: lambda };
    let (model, _) = fit(&data, BprParams { iterations: 60, ..params });
    let slow = Model { params: factorization::ValidParams::Bpr(params.check().unwrap()), ..model.clone() };
    let history = [(0_u32, 1.0_f32), (3, 2.0), (4, 1.0), (8, 3.0), (9, -1.0)];
    let (items, values): (Vec<u32>, Vec<f32>) = history.into_iter().unzip();
    let row = |item: u32| model.item_factors.row(item as usize).mapv(f64::from);
    let positives: Vec<(u32, f64)> =
        history.iter().filter(|h| h.1 > 0.0).map(|h| (h.0, f64::from(h.1) / 7.0)).collect();
    let negatives: Vec<u32> = (0..30).filter(|item| positives.iter().all(|positive| positive.0 != *item)).collect();
    let mut best = ndarray::Array1::<f64>::zeros(6);
    for _ in 0..4000 {
        let mut gradient = best.mapv(|u| lambda * u);
        for (positive, weight) in &positives {
            for negative in &negatives {
                let difference = row(*positive) - row(*negative);
                let probability = 1.0 / (1.0 + best.dot(&difference).exp());
                gradient -= &(difference * (weight * probability / negatives.len() as f64));
            }
        }
        best -= &(gradient * 0.5);
    }
    let found = ndarray::Array1::from(slow.fold_in(&items, &values).unwrap()).mapv(f64::from);
    let error = (&found - &best).dot(&(&found - &best)).sqrt() / best.dot(&best).sqrt();
    assert!(error < 0.05, "{found} has a relative error of {error} from {best}");
}

#[test]
fn the_fold_in_of_a_stored_user_changes_nothing() {
    let data = interactions(60, 40, 900, 3);
    let (model, _) = fit(&data, params(9));
    for user in 0..60 {
        let (items, values) = data.row(user);
        assert_eq!(model.fold_in(items, values).unwrap(), model.user_factors.row(user).to_vec(), "user {user}");
    }
}

#[test]
fn threads_and_the_order_of_entries_do_not_matter() {
    let data = interactions(300, 40, 3000, 3);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| fit(&data, params(9)))
    };
    assert_eq!(on(1), on(3));
}

#[test]
fn users_without_pairs_have_zero_factors() {
    let mut entries: Vec<Entry> = (0..4).map(|item| Entry { user: 0, item, value: 1.0 }).collect();
    entries.push(Entry { user: 1, item: 2, value: -1.0 });
    entries.push(Entry { user: 2, item: 1, value: 1.0 });
    let data = Interactions::from_entries(4, 4, entries).unwrap();
    let (model, _) = fit(&data, params(3));
    for user in [0, 1, 3] {
        assert!(model.user_factors.row(user).iter().all(|factor| *factor == 0.0), "user {user}");
    }
    assert!(model.user_factors.row(2).iter().any(|factor| *factor != 0.0));
}

#[test]
fn diverging_steps_fail_with_an_error_that_names_the_row() {
    let params = BprParams { factors: 4, iterations: 1000, learning_rate: 10.0, regularization: 0.0 };
    let data = interactions(300, 40, 3000, 3);
    let error = params.check().unwrap().fit(&data, 1, None, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, FitError::Row { source: SolveError::NotFinite, .. }), "{error}");
    let params = BprParams::default();
    let empty = Interactions::from_entries(2, 2, Vec::new()).unwrap();
    let result = params.check().unwrap().fit(&empty, 1, None, &mut |_| ControlFlow::Continue(()));
    assert_eq!(result.unwrap_err(), FitError::Empty);
    let result = params.check().unwrap().fit(&data, 1, None, &mut |_| ControlFlow::Break(()));
    assert_eq!(result.unwrap_err(), FitError::Cancelled { iteration: 1 });
}
