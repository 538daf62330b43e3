//! The fit to ratings: exact rows with their biases, a falling objective with no slope at its end, equal bytes.

use std::ops::ControlFlow;

use factorization::{
    AlsSolver, Biases, Entry, ExplicitAlsParams, FitError, Interactions, Model, RatingBiases, Side,
    biases::BIAS_SHRINKAGE, fit_explicit_als,
};
use ndarray::{Array1, Array2};

use crate::data::{explicit_params, gauss_jordan, ratings};

fn fit(data: &Interactions, params: ExplicitAlsParams) -> (Model, Vec<f64>) {
    let mut objectives = Vec::new();
    let model = fit_explicit_als(data, &params.check().unwrap(), 42, &mut |report| {
        objectives.push(report.objective);
        ControlFlow::Continue(())
    })
    .unwrap();
    (model, objectives)
}

fn parts(model: &Model) -> &RatingBiases {
    model.ratings.as_ref().unwrap()
}

/// A point that the objective can be computed at: factors with the bias as one more column.
struct Point {
    users: Array2<f64>,
    items: Array2<f64>,
}

fn point(model: &Model) -> Point {
    let wide = |factors: &Array2<f32>, biases: &[f32]| {
        Array2::from_shape_fn((factors.nrows(), factors.ncols() + 1), |(i, j)| {
            f64::from(if j < factors.ncols() { factors[[i, j]] } else { biases[i] })
        })
    };
    let RatingBiases { scale: _, users, items } = parts(model);
    Point { users: wide(&model.user_factors, users), items: wide(&model.item_factors, items) }
}

/// The objective as the crate's page states it, in the plainest way. Mean and spread come from the data.
fn dense_objective(data: &Interactions, Point { users, items }: &Point, p: ExplicitAlsParams) -> f64 {
    let f = p.factors as usize;
    let values: Vec<f64> = data.values().iter().map(|r| f64::from(*r)).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let deviation = (values.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
    let mut total = 0.0;
    let mut by_item = vec![0.0; data.items()];
    let penalty = |row: ndarray::ArrayView1<'_, f64>, n: f64| {
        let factors: f64 = row.iter().take(f).map(|x| x * x).sum();
        p.regularization * deviation * n.powf(p.regularization_exponent) * factors + BIAS_SHRINKAGE * row[f] * row[f]
    };
    for user in 0..data.users() {
        let (indexes, values) = data.row(user);
        for (&item, &r) in indexes.iter().zip(values) {
            let (u, v) = (users.row(user), items.row(item as usize));
            let product: f64 = u.iter().zip(v).take(f).map(|(x, y)| x * y).sum();
            total += (f64::from(r) - mean - u[f] - v[f] - product).powi(2);
            by_item[item as usize] += 1.0;
        }
        total += penalty(users.row(user), indexes.len() as f64);
    }
    total + by_item.iter().enumerate().map(|(item, n)| penalty(items.row(item), *n)).sum::<f64>()
}

#[test]
fn a_stored_user_solves_the_dense_normal_equations() {
    let data = ratings(40, 25, 300, 1);
    for exponent in [0.0, 0.8, 1.0, 2.0] {
        let p = ExplicitAlsParams { regularization_exponent: exponent, ..explicit_params() };
        let (model, _) = fit(&data, p);
        let (RatingBiases { scale, users, items }, v) = (parts(&model), point(&model).items);
        for (user, bias) in users.iter().enumerate() {
            let (indexes, values) = data.row(user);
            if indexes.is_empty() {
                assert!(model.user_factors.row(user).iter().all(|x| *x == 0.0) && *bias == 0.0);
                continue;
            }
            let lambda = p.regularization * f64::from(scale.deviation) * (indexes.len() as f64).powf(exponent);
            let mut a = Array2::<f64>::eye(10) * lambda;
            a[[9, 9]] = BIAS_SHRINKAGE;
            let mut b = Array1::zeros(10);
            for (&item, &r) in indexes.iter().zip(values) {
                let mut row = v.row(item as usize).to_owned();
                row[9] = 1.0;
                let target = f64::from(r) - f64::from(scale.mean) - f64::from(items[item as usize]);
                for i in 0..10 {
                    b[i] += target * row[i];
                    for j in 0..10 {
                        a[[i, j]] += row[i] * row[j];
                    }
                }
            }
            let dense = gauss_jordan(a, b);
            let stored = model.user_factors.row(user).iter().chain([bias]).copied().collect::<Vec<_>>();
            for (stored, dense) in stored.iter().zip(dense) {
                let error = (f64::from(*stored) - dense).abs();
                assert!(error <= 1e-7 * (1.0 + dense.abs()), "user {user}: {stored} {dense}");
            }
        }
    }
}

#[test]
fn one_rating_is_the_closed_form() {
    // One user, one item, r = μ: nothing is left to explain. With a second item: targets are ±d.
    let entries = vec![Entry { user: 0, item: 0, value: 2.0 }, Entry { user: 1, item: 0, value: 4.0 }];
    let data = Interactions::from_entries(2, 1, entries).unwrap();
    // So much regularization that factors are 0 to f32: biases alone. The item's is 0 by symmetry, a user's ±1/(1 + β).
    let p = ExplicitAlsParams {
        factors: 1,
        iterations: 2,
        regularization: 1e6,
        regularization_exponent: 1.0,
        ..explicit_params()
    };
    let (model, _) = fit(&data, p);
    let RatingBiases { scale, users, items } = parts(&model);
    assert_eq!((scale.mean, scale.deviation, scale.low, scale.high), (3.0, 1.0, 2.0, 4.0));
    let expected = 1.0 / (1.0 + BIAS_SHRINKAGE);
    assert!(
        (f64::from(users[0]) + expected).abs() < 1e-6 && (f64::from(users[1]) - expected).abs() < 1e-6,
        "{users:?}"
    );
    assert!(items[0].abs() < 1e-6);
    let scorer = model.scorer().unwrap();
    let predicted = scorer.rating(&scorer.stored(1).unwrap(), 0).unwrap();
    assert!((f64::from(predicted) - 3.0 - expected).abs() < 1e-6, "{predicted}");
}

#[test]
fn folding_in_a_known_user_gives_the_stored_row_bit_for_bit() {
    let data = ratings(200, 60, 2000, 2);
    let (model, _) = fit(&data, explicit_params());
    let scorer = model.scorer().unwrap();
    for user in 0..200_u32 {
        let (items, values) = data.row(user as usize);
        let (folded, stored) = (scorer.fold_in(items, values).unwrap(), scorer.stored(user).unwrap());
        let bits = |row: &[f32]| row.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!((bits(&folded.factors), folded.bias.to_bits()), (bits(&stored.factors), stored.bias.to_bits()));
        // In any order, and with a rating given twice.
        let mut entries: Vec<(u32, f32)> = items.iter().copied().zip(values.iter().copied()).rev().collect();
        entries.extend(entries.first().copied());
        assert_eq!(scorer.fold_in_entries(&entries).unwrap(), stored);
    }
    assert!(scorer.fold_in_entries(&[(0, f32::NAN)]).unwrap_err().to_string().contains("not a finite number"));
    // Ratings beyond the scale count as its ends.
    assert_eq!(scorer.fold_in_entries(&[(3, 99.0)]).unwrap(), scorer.fold_in(&[3], &[5.0]).unwrap());
}

#[test]
fn the_reported_objective_is_the_dense_one_and_never_rises() {
    let data = ratings(60, 40, 500, 3);
    let (_, all) = fit(&data, ExplicitAlsParams { iterations: 6, ..explicit_params() });
    for pair in all.windows(2) {
        assert!(pair[1] <= pair[0] * (1.0 + 1e-6), "{all:?}");
    }
    for (sweeps, reported) in (1..=6).zip(all) {
        let p = ExplicitAlsParams { iterations: sweeps, ..explicit_params() };
        let (model, _) = fit(&data, p);
        let dense = dense_objective(&data, &point(&model), p);
        assert!((dense - reported).abs() <= 1e-6 * dense, "sweep {sweeps}: {dense} {reported}");
    }
}

#[test]
fn at_the_end_no_direction_leads_down() {
    let data = ratings(30, 20, 250, 4);
    let p = ExplicitAlsParams { factors: 2, iterations: 1000, regularization: 0.3, ..explicit_params() };
    let (model, _) = fit(&data, p);
    let mut at = point(&model);
    let step = 1e-4;
    let mut slope = |change: &mut dyn FnMut(&mut Point, f64)| {
        change(&mut at, step);
        let ahead = dense_objective(&data, &at, p);
        change(&mut at, -2.0 * step);
        let behind = dense_objective(&data, &at, p);
        change(&mut at, step);
        (ahead - behind) / (2.0 * step)
    };
    for column in 0..3 {
        for user in 0..30 {
            let slope = slope(&mut |at, by| at.users[[user, column]] += by);
            assert!(slope.abs() < 2e-4, "user {user}, column {column}: {slope}");
        }
        for item in 0..20 {
            let slope = slope(&mut |at, by| at.items[[item, column]] += by);
            assert!(slope.abs() < 2e-4, "item {item}, column {column}: {slope}");
        }
    }
}

#[test]
fn bytes_are_equal_on_any_number_of_threads() {
    let data = ratings(3000, 150, 20_000, 5);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| fit(&data, explicit_params()))
    };
    let one = on(1);
    assert_eq!(one, on(2));
    assert_eq!(one, on(5));
}

#[test]
fn the_unit_of_the_ratings_does_not_matter() {
    let stars = ratings(50, 30, 600, 6);
    let percent = stars.map_values(|stars| 20.0 * stars);
    let ((small, _), (large, _)) = (fit(&stars, explicit_params()), fit(&percent, explicit_params()));
    let (small, large) = (small.scorer().unwrap(), large.scorer().unwrap());
    for user in 0..50 {
        // The same shrinkage of biases in both, and factors in units of the root of the scale.
        let (x, y) = (small.stored(user).unwrap(), large.stored(user).unwrap());
        for item in 0..30 {
            let (x, y) = (small.rating(&x, item).unwrap(), large.rating(&y, item).unwrap());
            assert!((20.0 * x - y).abs() < 1e-3, "user {user}, item {item}: {x} {y}");
        }
    }
}

#[test]
fn the_best_are_the_highest_predicted_and_all_lie_on_the_scale() {
    let data = ratings(60, 40, 500, 7);
    let (model, _) = fit(&data, ExplicitAlsParams { regularization: 0.001, ..explicit_params() });
    let (scorer, at) = (model.scorer().unwrap(), point(&model));
    let mean = f64::from(parts(&model).scale.mean);
    let mut beyond = 0;
    for user in 0..60_u32 {
        let u = at.users.row(user as usize);
        let predicted = |item: u32| {
            let v = at.items.row(item as usize);
            mean + u[9] + v[9] + u.iter().zip(v).take(9).map(|(x, y)| x * y).sum::<f64>()
        };
        let mut order: Vec<u32> = (0..40).collect();
        order.sort_by(|x, y| predicted(*y).total_cmp(&predicted(*x)));
        let taste = scorer.stored(user).unwrap();
        let best = scorer.best(&taste, 10, |_| true);
        for (scored, item) in best.iter().zip(&order) {
            assert!((predicted(scored.item) - predicted(*item)).abs() < 1e-5, "user {user}");
            let clipped = predicted(scored.item).clamp(1.0, 5.0);
            beyond += i32::from(predicted(scored.item) > 5.0);
            assert!((f64::from(scored.score) - clipped).abs() < 1e-5 && (1.0..=5.0).contains(&scored.score));
            assert_eq!(scorer.rating(&taste, scored.item), Some(scored.score));
        }
    }
    assert!(beyond > 0, "nothing had to be brought onto the scale");
}

#[test]
fn a_planted_structure_is_found_beyond_averages() {
    // r = 3 + 1.5·s_user·t_item with signs: averages explain nothing, one factor all.
    let sign = |x: u32| if x.is_multiple_of(2) { 1.0_f32 } else { -1.0 };
    let rating = |user: u32, item: u32| 3.0 + 1.5 * sign(user / 3) * sign(item / 2);
    let mut entries = Vec::new();
    for user in 0..60_u32 {
        for item in (0..30_u32).filter(|item| (user * 7 + item * 11) % 5 != 0) {
            entries.push(Entry { user, item, value: rating(user, item) });
        }
    }
    let data = Interactions::from_entries(60, 30, entries).unwrap();
    let p = ExplicitAlsParams { factors: 3, iterations: 30, regularization: 0.01, ..explicit_params() };
    let (model, _) = fit(&data, p);
    let (scorer, averages) = (model.scorer().unwrap(), Biases::fit(&data).unwrap());
    for user in 0..60_u32 {
        let taste = scorer.stored(user).unwrap();
        for item in (0..30_u32).filter(|item| (user * 7 + item * 11) % 5 == 0) {
            let (model, average) = (scorer.rating(&taste, item).unwrap(), averages.rating(user, item));
            assert!((model - rating(user, item)).abs() < 0.1, "user {user}, item {item}: {model}");
            assert!((average - rating(user, item)).abs() > 0.5, "user {user}, item {item}: {average}");
        }
    }
}

#[test]
fn averages_minimize_their_ridge_problem() {
    let data = ratings(12, 9, 60, 8);
    let averages = Biases::fit(&data).unwrap();
    // The normal equations of all 21 biases at once.
    let mut a = Array2::<f64>::eye(21) * BIAS_SHRINKAGE;
    let mut b = Array1::zeros(21);
    for user in 0..12 {
        let (items, values) = data.row(user);
        for (&item, &r) in items.iter().zip(values) {
            let item = 12 + item as usize;
            for (i, j) in [(user, user), (user, item), (item, user), (item, item)] {
                a[[i, j]] += 1.0;
            }
            let rest = f64::from(r) - f64::from(averages.scale.mean);
            b[user] += rest;
            b[item] += rest;
        }
    }
    for (ours, dense) in averages.user.iter().chain(&averages.item).zip(gauss_jordan(a, b)) {
        assert!((f64::from(*ours) - dense).abs() < 1e-6, "{ours} {dense}");
    }
    assert_eq!(averages.rating(99, 99), averages.scale.mean);
}

#[test]
fn what_cannot_be_fitted_is_named() {
    let valid = explicit_params().check().unwrap();
    let empty = Interactions::from_entries(3, 3, vec![]).unwrap();
    let quiet = &mut |_: &factorization::SweepReport| ControlFlow::Continue(());
    assert_eq!(fit_explicit_als(&empty, &valid, 1, quiet).unwrap_err(), FitError::Empty);
    let stopped = fit_explicit_als(&ratings(9, 9, 30, 1), &valid, 1, &mut |_| ControlFlow::Break(()));
    assert_eq!(stopped.unwrap_err(), FitError::Cancelled { sweep: 1 });
    // The ends of f32: the difference from the mean does not fit. The row is named.
    let extreme = [(0, 0, f32::MAX), (1, 0, f32::MIN), (0, 1, f32::MAX), (1, 1, f32::MAX)];
    let extreme = extreme.map(|(user, item, value)| Entry { user, item, value }).to_vec();
    let extreme = Interactions::from_entries(2, 2, extreme).unwrap();
    let p = ExplicitAlsParams { factors: 1, regularization: 1e-300, ..explicit_params() }.check().unwrap();
    match fit_explicit_als(&extreme, &p, 1, quiet) {
        Err(FitError::Row { side: Side::Item | Side::User, .. } | FitError::Basis { .. }) => {}
        Err(other) => panic!("{other:?}"),
        Ok(model) => {
            let finite = model.user_factors.iter().chain(&model.item_factors).all(|x| x.is_finite());
            assert!(finite && parts(&model).users.iter().all(|x| x.is_finite()));
        }
    }
    for (change, expected) in [
        (
            ExplicitAlsParams { regularization: 0.0, ..explicit_params() },
            "regularization is 0: expected a number above 0",
        ),
        (ExplicitAlsParams { factors: 0, ..explicit_params() }, "factors is 0: expected a number from 1 to 1024"),
        (ExplicitAlsParams { regularization: f64::NAN, ..explicit_params() }, "regularization is NaN"),
    ] {
        let message = change.check().unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn equal_ratings_leave_nothing_to_learn_and_nothing_breaks() {
    let data = ratings(20, 10, 80, 9).map_values(|_| 4.0);
    let (model, objectives) = fit(&data, explicit_params());
    assert!(objectives.last().unwrap().abs() < 1e-9);
    let scorer = model.scorer().unwrap();
    assert!(scorer.stored(1).unwrap().is_empty());
    assert_eq!(scorer.rating(&scorer.stored(1).unwrap(), 2), Some(4.0));
    let (sampled, _) = fit(&data, ExplicitAlsParams { samples: 3, ..explicit_params() });
    let Point { users, items } = point(&sampled);
    for (u, v) in users.rows().into_iter().flat_map(|u| items.rows().into_iter().map(move |v| (u, v))) {
        let away = u[9] + v[9] + u.iter().zip(v).take(9).map(|(x, y)| x * y).sum::<f64>();
        assert!(away.abs() < 0.2, "{away}");
    }
}

/// Two planted factors under noise; a tenth of the ratings is kept apart.
fn noisy() -> (Interactions, Vec<Entry>) {
    let mut draws = crate::data::Draws(11);
    // Of variance about 1, from four dice.
    let mut bell = || (0..4).map(|_| f64::from(draws.below(1000)) / 1000.0 - 0.5).sum::<f64>() * 3.0_f64.sqrt();
    let mut side = |rows: usize| (0..rows).map(|_| [bell(), bell()]).collect::<Vec<_>>();
    let (users, items) = (side(150), side(100));
    let mut noise = crate::data::Draws(12);
    let (mut training, mut kept) = (Vec::new(), Vec::new());
    for (user, u) in (0..).zip(&users) {
        for (item, v) in (0..).zip(&items) {
            if noise.below(4) == 0 {
                let error = (0..4).map(|_| f64::from(noise.below(1000)) / 1000.0 - 0.5).sum::<f64>() * 3.0_f64.sqrt();
                #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
                let value = (3.0 + 0.7 * (u[0] * v[0] + u[1] * v[1]) + 0.9 * error) as f32;
                if noise.below(10) == 0 { &mut kept } else { &mut training }.push(Entry { user, item, value });
            }
        }
    }
    (Interactions::from_entries(150, 100, training).unwrap(), kept)
}

#[test]
fn samples_predict_better_than_the_best_of_many_regularizations() {
    let (training, kept) = noisy();
    let error = |params: ExplicitAlsParams| {
        let (model, _) = fit(&training, params);
        let scorer = model.scorer().unwrap();
        let square = |e: &Entry| {
            let rating = scorer.rating(&scorer.stored(e.user).unwrap(), e.item).unwrap();
            f64::from(rating - e.value).powi(2)
        };
        (kept.iter().map(square).sum::<f64>() / kept.len() as f64).sqrt()
    };
    let base = ExplicitAlsParams { factors: 6, iterations: 15, regularization_exponent: 0.5, ..explicit_params() };
    let als = [0.3, 0.6, 0.9, 1.2, 1.8].map(|regularization| error(ExplicitAlsParams { regularization, ..base }));
    let least = als.iter().copied().fold(f64::INFINITY, f64::min);
    let sampled = error(ExplicitAlsParams { samples: 60, ..base });
    assert!(sampled < 0.99 * least, "{sampled} {als:?}");
}

#[test]
fn users_of_a_model_of_samples_are_exact_rows_and_threads_do_not_matter() {
    let (training, _) = noisy();
    let p = ExplicitAlsParams { samples: 5, ..explicit_params() };
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| fit(&training, p))
    };
    let (model, objectives) = on(1);
    assert_eq!((&model, &objectives), (&on(3).0, &on(2).1));
    let scorer = model.scorer().unwrap();
    for user in 0..150_u32 {
        let (items, values) = training.row(user as usize);
        assert_eq!(scorer.fold_in(items, values).unwrap(), scorer.stored(user).unwrap(), "user {user}");
    }
    let dense = dense_objective(&training, &point(&model), p);
    let last = objectives.last().unwrap();
    assert!((dense - last).abs() <= 1e-6 * dense, "{dense} {last}");
}

#[test]
fn steps_end_where_exact_rows_do() {
    let data = ratings(200, 80, 3000, 10);
    let last = |solver| {
        let p = ExplicitAlsParams { factors: 6, iterations: 40, regularization: 0.2, solver, ..explicit_params() };
        *fit(&data, p).1.last().unwrap()
    };
    let (exact, by_steps) = (last(AlsSolver::Cholesky), last(AlsSolver::ConjugateGradient { steps: 2 }));
    assert!((exact - by_steps).abs() <= 1e-3 * exact, "{exact} {by_steps}");
}
