//! Fits of explicit ALS: exact rows with biases, an objective that decreases to a stationary point,
//! equal bytes.

use std::ops::ControlFlow;

use factorization::{
    AlsSolver, Biases, Entry, ExplicitAlsParams, Fit as _, FitError, Interactions, Model, RatingBiases, Side,
    biases::BIAS_SHRINKAGE,
};
use ndarray::{Array1, Array2};

use crate::data::{explicit_params, gauss_jordan, ratings};

fn fit(data: &Interactions, params: ExplicitAlsParams) -> (Model, Vec<f64>) {
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

fn parts(model: &Model) -> &RatingBiases {
    model.ratings.as_ref().unwrap()
}

/// A point at which the objective can be computed: factors with the bias as an additional column.
struct Point {
    users: Array2<f64>,
    items: Array2<f64>,
}

fn point(model: &Model) -> Point {
    let augmented = |factors: &Array2<f32>, biases: &[f32]| {
        Array2::from_shape_fn((factors.nrows(), factors.ncols() + 1), |(i, j)| {
            f64::from(if j < factors.ncols() { factors[[i, j]] } else { biases[i] })
        })
    };
    let RatingBiases { scale: _, users, items } = parts(model);
    Point { users: augmented(&model.user_factors, users), items: augmented(&model.item_factors, items) }
}

/// The objective of the crate docs, computed directly. Mean and deviation come from the data.
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
fn a_single_rating_matches_the_closed_form() {
    // Two users rate one item, so the targets are ±d.
    let entries = vec![Entry { user: 0, item: 0, value: 2.0 }, Entry { user: 1, item: 0, value: 4.0 }];
    let data = Interactions::from_entries(2, 1, entries).unwrap();
    // The regularization is so strong that factors are 0 in f32 and only biases remain. The item's
    // is 0 by symmetry, those of the users are ±1/(1 + β).
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
fn the_fold_in_of_a_known_user_equals_the_stored_row_bit_for_bit() {
    let data = ratings(200, 60, 2000, 2);
    let (model, _) = fit(&data, explicit_params());
    let scorer = model.scorer().unwrap();
    for user in 0..200_u32 {
        let (items, values) = data.row(user as usize);
        let (folded, stored) = (scorer.fold_in(items, values).unwrap(), scorer.stored(user).unwrap());
        let bits = |row: &[f32]| row.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!((bits(&folded.factors), folded.bias.to_bits()), (bits(&stored.factors), stored.bias.to_bits()));
        // In another order, and with one rating given twice.
        let mut entries: Vec<(u32, f32)> = items.iter().copied().zip(values.iter().copied()).rev().collect();
        entries.extend(entries.first().copied());
        assert_eq!(scorer.fold_in_entries(&entries).unwrap(), stored);
    }
    assert!(scorer.fold_in_entries(&[(0, f32::NAN)]).unwrap_err().to_string().contains("not a finite number"));
    // Ratings outside the scale are clipped.
    assert_eq!(scorer.fold_in_entries(&[(3, 99.0)]).unwrap(), scorer.fold_in(&[3], &[5.0]).unwrap());
}

#[test]
fn the_reported_objective_equals_the_dense_one_and_never_rises() {
    let data = ratings(60, 40, 500, 3);
    let (_, all) = fit(&data, ExplicitAlsParams { iterations: 6, ..explicit_params() });
    for pair in all.windows(2) {
        assert!(pair[1] <= pair[0] * (1.0 + 1e-6), "{all:?}");
    }
    for (iterations, reported) in (1..=6).zip(all) {
        let p = ExplicitAlsParams { iterations, ..explicit_params() };
        let (model, _) = fit(&data, p);
        let dense = dense_objective(&data, &point(&model), p);
        assert!((dense - reported).abs() <= 1e-6 * dense, "iteration {iterations}: {dense} {reported}");
    }
}

#[test]
fn the_fit_converges_to_a_stationary_point() {
    let data = ratings(30, 20, 250, 4);
    let p = ExplicitAlsParams { factors: 2, iterations: 1000, regularization: 0.3, ..explicit_params() };
    let (model, _) = fit(&data, p);
    let mut at = point(&model);
    let step = 1e-4;
    let mut derivative = |change: &mut dyn FnMut(&mut Point, f64)| {
        change(&mut at, step);
        let above = dense_objective(&data, &at, p);
        change(&mut at, -2.0 * step);
        let below = dense_objective(&data, &at, p);
        change(&mut at, step);
        (above - below) / (2.0 * step)
    };
    for column in 0..3 {
        for user in 0..30 {
            let derivative = derivative(&mut |at, by| at.users[[user, column]] += by);
            assert!(derivative.abs() < 2e-4, "user {user}, column {column}: {derivative}");
        }
        for item in 0..20 {
            let derivative = derivative(&mut |at, by| at.items[[item, column]] += by);
            assert!(derivative.abs() < 2e-4, "item {item}, column {column}: {derivative}");
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
        // The shrinkage of biases is the same in both; factors are in units of the root of the
        // scale.
        let (x, y) = (small.stored(user).unwrap(), large.stored(user).unwrap());
        for item in 0..30 {
            let (x, y) = (small.rating(&x, item).unwrap(), large.rating(&y, item).unwrap());
            assert!((20.0 * x - y).abs() < 1e-3, "user {user}, item {item}: {x} {y}");
        }
    }
}

#[test]
fn the_best_items_have_the_highest_predictions_and_all_scores_are_on_the_scale() {
    let data = ratings(60, 40, 500, 7);
    let (model, _) = fit(&data, ExplicitAlsParams { regularization: 0.001, ..explicit_params() });
    let (scorer, at) = (model.scorer().unwrap(), point(&model));
    let mean = f64::from(parts(&model).scale.mean);
    let mut clipped_scores = 0;
    for user in 0..60_u32 {
        let u = at.users.row(user as usize);
        let predicted = |item: u32| {
            let v = at.items.row(item as usize);
            mean + u[9] + v[9] + u.iter().zip(v).take(9).map(|(x, y)| x * y).sum::<f64>()
        };
        let mut order: Vec<u32> = (0..40).collect();
        order.sort_by(|x, y| predicted(*y).total_cmp(&predicted(*x)));
        let vector = scorer.stored(user).unwrap();
        let best = scorer.best(&vector, 10, |_| true);
        for (scored, item) in best.iter().zip(&order) {
            assert!((predicted(scored.item) - predicted(*item)).abs() < 1e-5, "user {user}");
            let clipped = predicted(scored.item).clamp(1.0, 5.0);
            clipped_scores += i32::from(predicted(scored.item) > 5.0);
            assert!((f64::from(scored.score) - clipped).abs() < 1e-5 && (1.0..=5.0).contains(&scored.score));
            assert_eq!(scorer.rating(&vector, scored.item), Some(scored.score));
        }
    }
    assert!(clipped_scores > 0, "no score had to be clipped");
}

#[test]
fn a_planted_structure_beyond_biases_is_found() {
    // r = 3 + 1.5·s_user·t_item with signs: biases explain nothing, one factor explains everything.
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
    let (scorer, baseline) = (model.scorer().unwrap(), Biases::fit(&data).unwrap());
    for user in 0..60_u32 {
        let vector = scorer.stored(user).unwrap();
        for item in (0..30_u32).filter(|item| (user * 7 + item * 11) % 5 == 0) {
            let (model, biased) = (scorer.rating(&vector, item).unwrap(), baseline.rating(user, item));
            assert!((model - rating(user, item)).abs() < 0.1, "user {user}, item {item}: {model}");
            assert!((biased - rating(user, item)).abs() > 0.5, "user {user}, item {item}: {biased}");
        }
    }
}

#[test]
fn biases_minimize_their_ridge_problem() {
    let data = ratings(12, 9, 60, 8);
    let baseline = Biases::fit(&data).unwrap();
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
            let target = f64::from(r) - f64::from(baseline.scale.mean);
            b[user] += target;
            b[item] += target;
        }
    }
    for (ours, dense) in baseline.user.iter().chain(&baseline.item).zip(gauss_jordan(a, b)) {
        assert!((f64::from(*ours) - dense).abs() < 1e-6, "{ours} {dense}");
    }
    assert_eq!(baseline.rating(99, 99), baseline.scale.mean);
}

#[test]
fn failed_fits_name_the_cause() {
    let valid = explicit_params().check().unwrap();
    let empty = Interactions::from_entries(3, 3, vec![]).unwrap();
    let never_cancel = &mut |_: &factorization::IterationReport| ControlFlow::Continue(());
    assert_eq!(valid.fit(&empty, 1, None, never_cancel).unwrap_err(), FitError::Empty);
    let cancelled = valid.fit(&ratings(9, 9, 30, 1), 1, None, &mut |_| ControlFlow::Break(()));
    assert_eq!(cancelled.unwrap_err(), FitError::Cancelled { iteration: 1 });
    // At the limits of f32 the difference from the mean overflows. The error names the row.
    let extreme = [(0, 0, f32::MAX), (1, 0, f32::MIN), (0, 1, f32::MAX), (1, 1, f32::MAX)];
    let extreme = extreme.map(|(user, item, value)| Entry { user, item, value }).to_vec();
    let extreme = Interactions::from_entries(2, 2, extreme).unwrap();
    let p = ExplicitAlsParams { factors: 1, regularization: 1e-300, ..explicit_params() }.check().unwrap();
    match p.fit(&extreme, 1, None, never_cancel) {
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
fn a_fit_of_equal_ratings_predicts_that_rating() {
    let data = ratings(20, 10, 80, 9).map_values(|_| 4.0);
    let (model, objectives) = fit(&data, explicit_params());
    assert!(objectives.last().unwrap().abs() < 1e-9);
    let scorer = model.scorer().unwrap();
    assert!(scorer.stored(1).unwrap().is_empty());
    assert_eq!(scorer.rating(&scorer.stored(1).unwrap(), 2), Some(4.0));
    let (sampled, _) = fit(&data, ExplicitAlsParams { samples: 3, ..explicit_params() });
    let Point { users, items } = point(&sampled);
    for (u, v) in users.rows().into_iter().flat_map(|u| items.rows().into_iter().map(move |v| (u, v))) {
        let deviation = u[9] + v[9] + u.iter().zip(v).take(9).map(|(x, y)| x * y).sum::<f64>();
        assert!(deviation.abs() < 0.2, "{deviation}");
    }
}

/// Two planted factors plus noise; a tenth of the ratings is held out.
fn noisy() -> (Interactions, Vec<Entry>) {
    let mut draws = crate::data::Draws(11);
    // Sums of four uniform numbers, with variance 1.
    let mut bell = || (0..4).map(|_| f64::from(draws.below(1000)) / 1000.0 - 0.5).sum::<f64>() * 3.0_f64.sqrt();
    let mut side = |rows: usize| (0..rows).map(|_| [bell(), bell()]).collect::<Vec<_>>();
    let (users, items) = (side(150), side(100));
    let mut noise = crate::data::Draws(12);
    let (mut training, mut held_out) = (Vec::new(), Vec::new());
    for (user, u) in (0..).zip(&users) {
        for (item, v) in (0..).zip(&items) {
            if noise.below(4) == 0 {
                let error = (0..4).map(|_| f64::from(noise.below(1000)) / 1000.0 - 0.5).sum::<f64>() * 3.0_f64.sqrt();
                #[expect(clippy::cast_possible_truncation, reason = "test data may be rounded")]
                let value = (3.0 + 0.7 * (u[0] * v[0] + u[1] * v[1]) + 0.9 * error) as f32;
                if noise.below(10) == 0 { &mut held_out } else { &mut training }.push(Entry { user, item, value });
            }
        }
    }
    (Interactions::from_entries(150, 100, training).unwrap(), held_out)
}

#[test]
fn samples_predict_better_than_the_best_of_several_regularizations() {
    let (training, held_out) = noisy();
    let error = |params: ExplicitAlsParams| {
        let (model, _) = fit(&training, params);
        let scorer = model.scorer().unwrap();
        let square = |e: &Entry| {
            let rating = scorer.rating(&scorer.stored(e.user).unwrap(), e.item).unwrap();
            f64::from(rating - e.value).powi(2)
        };
        (held_out.iter().map(square).sum::<f64>() / held_out.len() as f64).sqrt()
    };
    let base = ExplicitAlsParams { factors: 6, iterations: 15, regularization_exponent: 0.5, ..explicit_params() };
    let als = [0.3, 0.6, 0.9, 1.2, 1.8].map(|regularization| error(ExplicitAlsParams { regularization, ..base }));
    let min = als.iter().copied().fold(f64::INFINITY, f64::min);
    let sampled = error(ExplicitAlsParams { samples: 60, ..base });
    assert!(sampled < 0.99 * min, "{sampled} {als:?}");
}

#[test]
fn users_of_a_sampled_model_are_exact_rows_on_any_number_of_threads() {
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
fn conjugate_gradient_steps_converge_to_exact_rows() {
    let data = ratings(200, 80, 3000, 10);
    let last = |solver| {
        let p = ExplicitAlsParams { factors: 6, iterations: 40, regularization: 0.2, solver, ..explicit_params() };
        *fit(&data, p).1.last().unwrap()
    };
    let (exact, by_steps) = (last(AlsSolver::Cholesky), last(AlsSolver::ConjugateGradient { steps: 2 }));
    assert!((exact - by_steps).abs() <= 1e-3 * exact, "{exact} {by_steps}");
}
