//! Fits of implicit ALS: exact rows, a decreasing objective, equal bytes.

use std::ops::ControlFlow;

use factorization::{AlsParams, AlsSolver, Entry, Fit as _, Interactions, Model, ValueMeaning, objective};
use ndarray::{Array1, Array2};

use crate::data::{gauss_jordan, interactions, params};

fn fit(data: &Interactions, params: AlsParams) -> (Model, Vec<f64>) {
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

/// a and b of a weight, as in the crate docs: a merged pair can have a bare 0.
fn cell_weights(w: f64) -> (f64, f64) {
    if w > 0.0 { (w, w) } else { (if w < 0.0 { -w } else { 1.0 }, 0.0) }
}

/// The objective of the crate docs, computed directly over every cell.
fn dense_objective(data: &Interactions, u: &Array2<f32>, v: &Array2<f32>, p: AlsParams) -> f64 {
    let (u, v) = (u.mapv(f64::from), v.mapv(f64::from));
    let mut total = 0.0;
    let mut by_item = vec![0_usize; data.items()];
    for user in 0..data.users() {
        let (items, values) = data.row(user);
        for (item, entries) in by_item.iter_mut().enumerate() {
            let y = u.row(user).dot(&v.row(item));
            total += p.unobserved_weight * y * y;
            if let Ok(index) = items.binary_search(&u32::try_from(item).unwrap()) {
                *entries += 1;
                let w = f64::from(values[index]);
                let (a, b) = cell_weights(w);
                total += a * y * y - 2.0 * b * y;
            }
        }
        let n = items.len() as f64 + p.unobserved_weight * data.items() as f64;
        total += p.regularization * n.powf(p.regularization_exponent) * u.row(user).dot(&u.row(user));
    }
    for (item, entries) in by_item.iter().enumerate() {
        let n = *entries as f64 + p.unobserved_weight * data.users() as f64;
        total += p.regularization * n.powf(p.regularization_exponent) * v.row(item).dot(&v.row(item));
    }
    total
}

#[test]
fn a_stored_user_solves_the_dense_normal_equations() {
    let data = interactions(40, 25, 300, 1);
    for (exponent, unobserved) in [(0.0, 1.0), (1.0, 0.1), (0.7, 0.3), (2.0, 0.0)] {
        let p = AlsParams { regularization_exponent: exponent, unobserved_weight: unobserved, ..params() };
        let (model, _) = fit(&data, p);
        let v = model.item_factors.mapv(f64::from);
        for user in 0..data.users() {
            let (items, values) = data.row(user);
            let n = items.len() as f64 + unobserved * data.items() as f64;
            let mut a = v.t().dot(&v) * unobserved + Array2::<f64>::eye(9) * (p.regularization * n.powf(exponent));
            let mut b = Array1::zeros(9);
            for (&item, &w) in items.iter().zip(values) {
                let row = v.row(item as usize);
                let (weight, target) = cell_weights(f64::from(w));
                for i in 0..9 {
                    b[i] += target * row[i];
                    for j in 0..9 {
                        a[[i, j]] += weight * row[i] * row[j];
                    }
                }
            }
            if items.is_empty() {
                assert!(model.user_factors.row(user).iter().all(|x| *x == 0.0));
                continue;
            }
            for (stored, dense) in model.user_factors.row(user).iter().zip(gauss_jordan(a, b)) {
                assert!(
                    (f64::from(*stored) - dense).abs() <= 1e-5 * (1.0 + dense.abs()),
                    "user {user}: {stored} {dense}"
                );
            }
        }
    }
}

#[test]
fn degree_weights_equal_hand_computed_ones() {
    // One of the entries is a bare 0.
    let mut entries: Vec<Entry> = Vec::new();
    let drawn = interactions(50, 30, 600, 8);
    for user in 0..50_u32 {
        let (items, values) = drawn.row(user as usize);
        entries.extend(items.iter().zip(values).map(|(&item, &value)| Entry { user, item, value }));
    }
    entries[7].value = 0.0;
    let data = Interactions::from_entries(50, 30, entries.clone()).unwrap();
    let p = AlsParams { degree_exponent: 0.6, popularity_boost: 0.25, ..params() };
    let (model, _) = fit(&data, p);
    // The reference: hand-computed weights, fitted without a degree exponent.
    let likes = |same: &dyn Fn(&Entry) -> bool| {
        let likes = entries.iter().filter(|entry| entry.value > 0.0 && same(entry)).count();
        (1.0 + likes as f64 / 10.0).powf(-0.6)
    };
    let degree_weight =
        |entry: &Entry| likes(&|other| other.user == entry.user) * likes(&|other| other.item == entry.item);
    let mean = entries.iter().map(degree_weight).sum::<f64>() / entries.len() as f64;
    let by_hand = entries.iter().map(|entry| {
        let value = if entry.value == 0.0 { -1.0 } else { f64::from(entry.value) };
        #[expect(clippy::cast_possible_truncation, reason = "the fit rounds, too")]
        let value = (value * degree_weight(entry) / mean) as f32;
        Entry { value, ..*entry }
    });
    let by_hand = Interactions::from_entries(50, 30, by_hand.collect()).unwrap();
    let (plain, _) = fit(&by_hand, params());
    let scores = |model: &Model| model.user_factors.dot(&model.item_factors.t());
    // The popularity boost undoes a quarter of the debiasing.
    let mut expected = scores(&plain);
    for (item, mut of_item) in (0..30).zip(expected.columns_mut()) {
        #[expect(clippy::cast_possible_truncation, reason = "test data may be rounded")]
        let inverse_boost = likes(&|other| other.item == item).powf(0.25) as f32;
        of_item.mapv_inplace(|score| score / inverse_boost);
    }
    assert!((scores(&model) - expected).iter().all(|x| x.abs() < 1e-5));
    let value = |data, model: &Model, p: AlsParams| {
        objective(data, model.user_factors.view(), model.item_factors.view(), &p.check().unwrap())
    };
    let (ours, expected) = (value(&data, &model, p), value(&by_hand, &plain, params()));
    assert!((ours - expected).abs() <= 1e-6 * expected.abs(), "{ours} {expected}");
    // Confidences already define the weight of every cell.
    let message = AlsParams { values: ValueMeaning::Confidence, ..p }.check().unwrap_err().to_string();
    assert!(message.contains("degreeExponent is 0.6"), "{message}");
    // Without debiasing there is nothing to undo.
    let message = AlsParams { degree_exponent: 0.0, ..p }.check().unwrap_err().to_string();
    assert!(message.contains("popularityBoost is 0.25"), "{message}");
}

#[test]
fn the_fold_in_of_a_known_user_equals_the_stored_row_bit_for_bit() {
    for (degree_exponent, popularity_boost) in [(0.0, 0.0), (0.5, 0.0), (0.5, 0.7)] {
        fold_in_known_users(AlsParams { degree_exponent, popularity_boost, ..params() });
    }
}

fn fold_in_known_users(params: AlsParams) {
    let data = interactions(200, 60, 2000, 2);
    let (model, _) = fit(&data, params);
    assert_eq!(model.item_counts.is_empty(), params.degree_exponent == 0.0);
    for user in 0..data.users() {
        let (items, values) = data.row(user);
        let folded = model.fold_in(items, values).unwrap();
        let stored: Vec<u32> = model.user_factors.row(user).iter().map(|x| x.to_bits()).collect();
        assert_eq!(folded.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), stored, "user {user}");
    }
}

#[test]
fn the_reported_objective_equals_the_dense_one_and_never_rises() {
    let data = interactions(60, 40, 500, 3);
    for solver in [AlsSolver::Cholesky, AlsSolver::ConjugateGradient { steps: 3 }] {
        let (_, all) = fit(&data, AlsParams { iterations: 6, solver, ..params() });
        for pair in all.windows(2) {
            assert!(pair[1] <= pair[0] + 1e-6 * pair[0].abs(), "{all:?}");
        }
        for (iterations, reported) in (1..=6).zip(all) {
            let p = AlsParams { iterations, solver, ..params() };
            let (model, objectives) = fit(&data, p);
            let last = *objectives.last().unwrap();
            if solver == AlsSolver::Cholesky || iterations == 6 {
                // The start is the same, so this fit ends where the longer one was after the same
                // number of iterations.
                assert_eq!(last.to_bits(), reported.to_bits());
            } else {
                // The longer fit did not solve the users of this iteration exactly.
                assert!(last <= reported, "iteration {iterations}: {last} {reported}");
            }
            let dense = dense_objective(&data, &model.user_factors, &model.item_factors, p);
            // Rotated rows are rounded to f32, their eigenvalues are not.
            assert!((dense - last).abs() <= 1e-7 * dense.abs(), "iteration {iterations}: {dense} {last}");
            let sparse = objective(&data, model.user_factors.view(), model.item_factors.view(), &p.check().unwrap());
            assert!((dense - sparse).abs() <= 1e-9 * dense.abs(), "iteration {iterations}: {dense} {sparse}");
        }
    }
}

#[test]
fn both_solvers_converge_to_the_same_objective() {
    let data = interactions(60, 40, 500, 3);
    let last = |solver: AlsSolver| *fit(&data, AlsParams { iterations: 300, solver, ..params() }).1.last().unwrap();
    let (exact, by_steps) = (last(AlsSolver::Cholesky), last(AlsSolver::ConjugateGradient { steps: 5 }));
    assert!((exact - by_steps).abs() <= 1e-6 * exact.abs(), "{exact} {by_steps}");
}

#[test]
fn confidences_minimize_the_objective_of_hu_koren_and_volinsky() {
    // Σ c(p − ŷ)² over all cells, with c = 1 for unobserved ones, minus the constant Σ c p².
    let data = interactions(30, 20, 200, 4).map_values(|w| if w < 0.0 { w - 1.0 } else { w + 1.0 });
    let p = AlsParams {
        regularization: 0.5,
        regularization_exponent: 0.0,
        unobserved_weight: 1.0,
        values: ValueMeaning::Confidence,
        ..params()
    };
    let (model, objectives) = fit(&data, p);
    let (u, v) = (model.user_factors.mapv(f64::from), model.item_factors.mapv(f64::from));
    let mut total = 0.5 * (u.mapv(|x| x * x).sum() + v.mapv(|x| x * x).sum());
    for user in 0..30 {
        let (items, values) = data.row(user);
        for item in 0..20 {
            let y = u.row(user).dot(&v.row(item));
            let value =
                items.binary_search(&u32::try_from(item).unwrap()).map_or(0.0, |index| f64::from(values[index]));
            let (c, p) = if value == 0.0 { (1.0, 0.0) } else { (value.abs(), f64::from(value > 0.0)) };
            total += c * ((p - y) * (p - y) - p * p);
        }
    }
    let last = objectives.last().unwrap();
    assert!((total - last).abs() <= 1e-6 * total.abs(), "{total} {last}");
}

#[test]
fn a_low_rank_matrix_is_recovered() {
    // All users of a group interacted with all items of their group and no others, with one weight
    // w per group. Without regularization the best prediction is w/(w + α₀) inside and 0 outside;
    // the rank of that matrix is the number of groups.
    let groups: [(u32, u32, f32); 3] = [(12, 9, 1.0), (7, 15, 2.0), (20, 5, 0.5)];
    let (users, items) = groups.iter().fold((0, 0), |(users, items), group| (users + group.0, items + group.1));
    let mut entries = Vec::new();
    let mut expected = Array2::<f64>::zeros((users as usize, items as usize));
    let (mut first_user, mut first_item) = (0, 0);
    for (users, items, value) in groups {
        for user in first_user..first_user + users {
            for item in first_item..first_item + items {
                entries.push(Entry { user, item, value });
                expected[[user as usize, item as usize]] = f64::from(value) / (f64::from(value) + 0.3);
            }
        }
        (first_user, first_item) = (first_user + users, first_item + items);
    }
    let data = Interactions::from_entries(users as usize, items as usize, entries).unwrap();
    let p = AlsParams { factors: 3, iterations: 100, regularization: 1e-9, ..params() };
    let (model, _) = fit(&data, p);
    let predicted = model.user_factors.mapv(f64::from).dot(&model.item_factors.mapv(f64::from).t());
    let worst = (predicted - expected).mapv(f64::abs).into_iter().fold(0.0, f64::max);
    assert!(worst < 1e-4, "{worst}");
}

#[test]
fn relabeled_items_get_the_same_factors() {
    let data = interactions(60, 40, 600, 9);
    let new_label = |item: u32| (item * 7 + 3) % 40; // 7 and 40 have no common divisor
    let mut entries = Vec::new();
    for user in 0..60_u32 {
        let (items, values) = data.row(user as usize);
        entries.extend(items.iter().zip(values).map(|(&item, &value)| Entry { user, item: new_label(item), value }));
    }
    let relabeled = Interactions::from_entries(60, 40, entries).unwrap();
    let ((model, _), (other, _)) = (fit(&data, params()), fit(&relabeled, params()));
    for item in 0..40_u32 {
        let (row, other) = (model.item_factors.row(item as usize), other.item_factors.row(new_label(item) as usize));
        for (x, y) in row.iter().zip(other) {
            assert!((x - y).abs() <= 1e-4 * (1.0 + x.abs()), "item {item}: {x} {y}");
        }
    }
}

#[test]
fn bytes_are_equal_on_any_number_of_threads() {
    let data = interactions(3000, 150, 20_000, 5);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| fit(&data, params()))
    };
    let (one, objectives) = on(1);
    for threads in [2, 5] {
        let (other, others) = on(threads);
        assert_eq!(one, other, "{threads} threads");
        assert_eq!(objectives, others, "{threads} threads");
    }
}

#[test]
fn the_order_of_entries_does_not_matter() {
    let data = interactions(50, 30, 400, 6);
    let mut entries = Vec::new();
    for user in 0..50_u32 {
        let (items, values) = data.row(user as usize);
        entries.extend(items.iter().zip(values).map(|(&item, &value)| Entry { user, item, value }));
    }
    entries.reverse();
    assert_eq!(Interactions::from_entries(50, 30, entries).unwrap(), data);
}

#[test]
fn two_groups_of_users_are_separated() {
    // Users like the items of their own parity. One liked item per user is withheld and must rank
    // first among the unseen ones.
    let mut entries = Vec::new();
    for user in 0..40_u32 {
        for item in (0..20_u32).filter(|item| item % 2 == user % 2 && item / 2 != user % 10) {
            entries.push(Entry { user, item, value: 1.0 });
        }
    }
    let data = Interactions::from_entries(40, 20, entries).unwrap();
    let (model, _) = fit(&data, AlsParams { factors: 4, iterations: 20, ..AlsParams::default() });
    for user in 0..40_u32 {
        let (seen, _) = data.row(user as usize);
        let best = model.recommend(user, 1, seen);
        assert_eq!(best[0].item, 2 * (user % 10) + user % 2, "user {user}");
    }
}

#[test]
fn transposing_twice_changes_nothing() {
    let data = interactions(31, 17, 200, 8);
    assert_eq!(data.transpose().transpose(), data);
    assert_eq!(data.transpose().users(), 17);
}
