//! The map from attributes to factors, compared with dense algebra and tested on planted structure.

use factorization::{
    AttributeMap, Entry, Fit as _, Interactions, RowSolver, SvdParams,
    attributes::{NORM_SCALE_MAX, REGULARIZATIONS},
    gram,
    random::{uniform, word},
};
use ndarray::{Array1, Array2};

use crate::data::{explicit_params, gauss_jordan, interactions, params, ratings};

/// One of 12 groups per item, and up to three of 20 tags; every ninth item has no attributes.
fn attributes(items: u32) -> Interactions {
    let mut entries = std::collections::BTreeSet::new();
    for item in (0..items).filter(|item| item % 9 != 8) {
        entries.insert((item, item % 12));
        for tag in 0..below(4, word(3, 0, u64::from(item))) {
            entries.insert((item, 12 + below(20, word(4, u64::from(tag), u64::from(item)))));
        }
    }
    let entries = entries.into_iter().map(|(user, item)| Entry { user, item, value: 1.0 }).collect();
    Interactions::from_entries(items as usize, 32, entries).unwrap()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below a small bound")]
fn below(bound: u32, word: u64) -> u32 {
    (uniform(word) * f64::from(bound)) as u32
}

/// Random numbers with mean 0 and variance 1.
#[expect(clippy::cast_possible_truncation, reason = "test data may be rounded")]
fn draw(stream: u64, i: usize) -> f32 {
    ((uniform(word(1, stream, i as u64)) - 0.5) * 12.0_f64.sqrt()) as f32
}

fn dense(attributes: &Interactions) -> Array2<f64> {
    let mut dense = Array2::zeros((attributes.users(), attributes.items()));
    for item in 0..attributes.users() {
        for &feature in attributes.row(item).0 {
            dense[[item, feature as usize]] = 1.0;
        }
    }
    dense
}

#[test]
fn the_weights_solve_the_dense_equations() {
    let x = attributes(150);
    let targets = Array2::from_shape_fn((150, 5), |(i, k)| draw(k as u64, i) + 2.0);
    let known: Vec<usize> = (0..150).filter(|item| item % 9 != 8).collect();
    for regularization in [0.5, 128.0] {
        let map = AttributeMap::fit_with(&x, targets.view(), regularization).unwrap();
        let dense = dense(&x);
        for k in 0..5 {
            let column: Array1<f64> = known.iter().map(|item| f64::from(targets[[*item, k]])).collect();
            let mean = column.sum() / known.len() as f64;
            assert!((map.mean[k] - mean).abs() < 1e-12);
            let mut right = Array1::zeros(32);
            for (item, value) in known.iter().zip(&column) {
                right.scaled_add(value - mean, &dense.row(*item));
            }
            let matrix = dense.t().dot(&dense) + Array2::<f64>::eye(32) * regularization;
            for (found, expected) in map.weights.column(k).iter().zip(&gauss_jordan(matrix, right)) {
                assert!((found - expected).abs() < 1e-9 * (1.0 + expected.abs()), "{found} {expected}");
            }
        }
    }
}

/// Tests rows that attributes determine up to little noise, and rows of pure noise.
#[test]
fn rows_of_unseen_items_are_predicted_and_noise_is_shrunk() {
    let x = attributes(600);
    let planted = Array2::from_shape_fn((32, 6), |(i, k)| draw(100 + k as u64, i));
    let exact = dense(&x).dot(&planted.mapv(f64::from));
    let is_known = |item: usize| item % 5 != 2;
    #[expect(clippy::cast_possible_truncation, reason = "test data may be rounded")]
    let rows = |signal: f64, noise: f64| {
        Array2::from_shape_fn((600, 6), |(i, k)| (signal * exact[[i, k]] + noise * f64::from(draw(k as u64, i))) as f32)
    };
    let square = |x: f64| x * x;
    let error = |targets: &Array2<f32>, map: &AttributeMap| -> (f64, f64) {
        let predicted = map.predict(&x);
        let unseen = (0..600).filter(|item| !is_known(*item) && !x.row(*item).0.is_empty());
        unseen.flat_map(|i| (0..6).map(move |k| (i, k))).fold((0.0, 0.0), |(of_map, of_mean), (i, k)| {
            let target = f64::from(targets[[i, k]]);
            (of_map + square(f64::from(predicted[[i, k]]) - target), of_mean + square(map.mean[k] - target))
        })
    };
    let targets = rows(1.0, 0.1);
    let map = AttributeMap::fit(&x, targets.view(), is_known, 42).unwrap();
    let (of_map, of_mean) = error(&targets, &map);
    assert!(of_map < 0.05 * of_mean, "{of_map} {of_mean}");
    assert_eq!(map.regularization, REGULARIZATIONS[0]);
    let targets = rows(0.0, 1.0);
    let map = AttributeMap::fit(&x, targets.view(), is_known, 42).unwrap();
    let (of_map, of_mean) = error(&targets, &map);
    assert!(of_map < 1.1 * of_mean, "{of_map} {of_mean}");
    assert_eq!(map.regularization, REGULARIZATIONS[4]);
}

#[test]
fn maps_do_not_depend_on_threads_and_need_a_known_item() {
    let x = attributes(2000);
    let targets = Array2::from_shape_fn((2000, 4), |(i, k)| draw(k as u64, i));
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| AttributeMap::fit(&x, targets.view(), |_| true, 7)).unwrap()
    };
    assert_eq!(on(1), on(3));
    assert_eq!(AttributeMap::fit(&x, targets.view(), |_| false, 7), None);
    // One item is enough for a map, but not to select λ.
    let one = AttributeMap::fit(&x, targets.view(), |item| item == 0, 7).unwrap();
    assert_eq!((one.regularization, one.mean[0]), (8.0, f64::from(targets[[0, 0]])));
}

/// Solves an item from the users who chose it: the same solver, with users as the fixed side.
#[test]
fn an_item_folds_in_from_its_users() {
    let (users, params) = (Array2::from_shape_fn((50, 9), |(i, k)| draw(k as u64, i)), params().check().unwrap());
    let gram = gram(users.view());
    let solver = RowSolver::new(users.view(), gram.view(), &params).unwrap();
    let found = solver.solve(&[3, 17, 40], &[1.0, 2.0, 0.5]).unwrap();
    let exact = users.mapv(f64::from);
    let mut matrix = exact.t().dot(&exact) * 0.3 + Array2::<f64>::eye(9) * (0.02 * (3.0 + 0.3 * 50.0_f64).powf(0.7));
    let mut right = Array1::zeros(9);
    for (user, weight) in [(3, 1.0), (17, 2.0), (40, 0.5)] {
        let u = exact.row(user);
        matrix += &Array2::from_shape_fn((9, 9), |(i, j)| weight * u[i] * u[j]);
        right.scaled_add(weight, &u);
    }
    for (found, expected) in found.iter().zip(&gauss_jordan(matrix, right)) {
        assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} {expected}");
    }
}

/// Cold-start items are appended; no user vector changes, in models of any algorithm.
#[test]
fn appended_items_are_recommended_and_change_no_user() {
    let never_cancel = &mut |_: &factorization::IterationReport| std::ops::ControlFlow::Continue(());
    let (weights, stars) = (interactions(60, 40, 700, 5), ratings(60, 40, 700, 5));
    let halves = SvdParams { factors: 5, degree_exponent: 0.5, ..SvdParams::default() }.check().unwrap();
    for (data, mut model) in [
        (&weights, params().check().unwrap().fit(&weights, 1, None, never_cancel).unwrap()),
        (&stars, explicit_params().check().unwrap().fit(&stars, 1, None, never_cancel).unwrap()),
        (&weights, halves.fit(&weights, 1, None, never_cancel).unwrap()),
    ] {
        let all = attributes(50);
        let of = |range: std::ops::Range<u32>| {
            let rows = range.clone().zip(0..).flat_map(|(item, user)| {
                all.row(item as usize).0.iter().map(move |item| Entry { user, item: *item, value: 1.0 })
            });
            Interactions::from_entries(range.len(), 32, rows.collect()).unwrap()
        };
        let (known, cold) = (of(0..40), of(40..50));
        let map = AttributeMap::of_items(&model, &known, |_| true, 1).unwrap();
        let (rows, factors) = (map.predict(&cold), model.item_factors.ncols());
        assert_eq!(rows.ncols(), factors + usize::from(model.ratings.is_some()));
        if model.ratings.is_none() {
            let norms = |rows: &Array2<f32>| -> f64 {
                let with_attributes = (0..40).filter(|item| !known.row(*item).0.is_empty());
                with_attributes.map(|item| rows.row(item).mapv(f64::from).pow2().sum().sqrt()).sum()
            };
            let fitted = AttributeMap::fit(&known, model.item_factors.view(), |_| true, 1).unwrap();
            let scale = (norms(&model.item_factors) / norms(&fitted.predict(&known))).min(NORM_SCALE_MAX);
            assert!(scale > 1.2, "{scale}");
            let (rescaled, fitted) = (map.weights.iter().chain(&map.mean), fitted.weights.iter().chain(&fitted.mean));
            for (rescaled, fitted) in rescaled.zip(fitted) {
                assert!((rescaled - fitted * scale).abs() < 1e-6 * (1.0 + rescaled.abs()));
            }
        }
        model.append_items(&map, &cold);
        assert_eq!(model.item_factors.slice(ndarray::s![40.., ..]), rows.slice(ndarray::s![.., ..factors]));
        let scorer = model.scorer().unwrap().with_cold_items(10);
        for user in 0..60 {
            let (items, values) = data.row(user);
            let stored = scorer.stored(u32::try_from(user).unwrap()).unwrap();
            assert_eq!(scorer.fold_in(items, values).unwrap(), stored, "user {user}");
        }
        let list = scorer.best(&scorer.stored(3).unwrap(), 50, |item| item >= 40);
        assert_eq!(list.len(), 10);
        assert!(!scorer.fold_in(&[3, 45], &[2.0, 1.0]).unwrap().is_empty());
        let before = model.item_factors.clone();
        drop(scorer);
        model.replace_items(&map, &all, |item| item == 7 || item == 45);
        for item in 0..50 {
            let changed = model.item_factors.row(item) != before.row(item);
            assert_eq!(changed, item == 7, "row 45 already equals the prediction of the map");
        }
    }
}
