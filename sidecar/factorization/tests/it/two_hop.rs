//! The two-hop term in the scores of a model: closed forms, known and new users, rare items.

use std::{collections::BTreeSet, ops::ControlFlow};

use factorization::{
    AlsParams, Among, Entry, Fit, Interactions, Model, Part, Scored, SvdParams, UserVector, ValidParams, ValueMeaning,
};
use ndarray::{Array1, Array2};

use crate::data::{gauss_jordan, interactions};

fn fit(data: &Interactions, params: SvdParams) -> Model {
    fit_any(data, &params.check().unwrap())
}

fn fit_any(data: &Interactions, params: &dyn Fit) -> Model {
    params.fit(data, 42, None, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// Every algorithm with the term.
fn algorithms(factors: u32, co_occurrence_weight: f64) -> [ValidParams; 2] {
    let svd = params(factors, co_occurrence_weight).check().unwrap();
    let als = als_params(factors, co_occurrence_weight).check().unwrap();
    [ValidParams::Svd(svd), ValidParams::Als(als)]
}

fn als_params(factors: u32, co_occurrence_weight: f64) -> AlsParams {
    AlsParams {
        factors,
        iterations: 6,
        degree_exponent: 0.5,
        popularity_boost: 0.5,
        user_degree_exponent: Some(0.3),
        co_occurrence_weight,
        ..AlsParams::default()
    }
}

fn params(factors: u32, co_occurrence_weight: f64) -> SvdParams {
    SvdParams {
        factors,
        iterations: 60,
        degree_exponent: 0.5,
        user_degree_exponent: Some(0.3),
        co_occurrence_weight,
        ..SvdParams::default()
    }
}

/// Scores of all items, by item.
fn by_item(mut list: Vec<Scored>) -> Vec<f32> {
    list.sort_by_key(|scored| scored.item);
    list.into_iter().map(|scored| scored.score).collect()
}

#[test]
fn with_all_singular_values_the_term_cancels() {
    // VΛVᵀ is P, so the scores are those of the decomposition alone.
    let data = interactions(70, 30, 700, 3);
    let all = |weight| fit(&data, SvdParams { users_per_item_min: 1, ..params(30, weight) });
    let (with, without) = (all(7.0), all(0.0));
    let (with, without) = (with.scorer().unwrap(), without.scorer().unwrap());
    let history = ([2, 9, 17], [1.0, 0.5, 3.0]);
    let [with, without] = [with, without]
        .map(|scorer| by_item(scorer.best(&scorer.fold_in(&history.0, &history.1).unwrap(), 30, |_| true)));
    assert_eq!(with.len(), 30);
    for (with, without) in with.iter().zip(&without) {
        assert!((with - without).abs() < 2e-4, "{with} {without}");
    }
}

/// The weights that are above 0, users × items.
fn dense(data: &Interactions) -> Array2<f64> {
    let mut weights = Array2::zeros((data.users(), data.items()));
    for user in 0..data.users() {
        let (columns, values) = data.row(user);
        columns
            .iter()
            .zip(values)
            .for_each(|(item, value)| weights[[user, *item as usize]] = f64::from(value.max(0.0)));
    }
    weights
}

/// Degrees of items plus 10, and P before the division by its first eigenvalue, for item exponent ½
/// and user exponent 0.3.
fn degrees_and_p(data: &Interactions) -> (Vec<f64>, Array2<f64>) {
    let mut normalized = dense(data);
    let degree = |likes: usize| likes as f64 + 10.0;
    let count = |values: ndarray::ArrayView1<'_, f64>| values.iter().filter(|x| **x > 0.0).count();
    let items: Vec<f64> = normalized.columns().into_iter().map(|column| degree(count(column))).collect();
    for mut row in normalized.rows_mut() {
        let user = degree(count(row.view())).powf(0.3);
        row.iter_mut().zip(&items).for_each(|(x, item)| *x /= user * item.sqrt());
    }
    (items, normalized.t().dot(&normalized))
}

/// The largest eigenvalue and its vector of a matrix without negative eigenvalues, by the power
/// method.
fn first_eigenvector(matrix: &Array2<f64>) -> (f64, Array1<f64>) {
    let mut vector = Array1::ones(matrix.nrows());
    let mut value = 0.0;
    for _ in 0..5000 {
        let next = matrix.dot(&vector);
        value = next.dot(&next).sqrt();
        vector = next / value;
    }
    (value, vector)
}

const HISTORY: ([u32; 3], [f32; 3]) = ([1, 7, 20], [1.0, 2.0, 0.5]);

/// Dᵑ M D⁻ᵑ x of that history.
fn scores_by(matrix: &Array2<f64>, degrees: &[f64]) -> Vec<f64> {
    let score = |j: usize| {
        let terms = HISTORY.0.iter().zip(HISTORY.1).map(|(&i, x)| {
            let i = i as usize;
            degrees[j].sqrt() * matrix[[i, j]] / degrees[i].sqrt() * f64::from(x)
        });
        terms.sum()
    };
    (0..degrees.len()).map(score).collect()
}

#[test]
fn with_one_singular_value_scores_are_those_of_the_formula() {
    let data = interactions(60, 25, 500, 4);
    let model = fit(&data, SvdParams { users_per_item_min: 1, ..params(1, 2.5) });
    let (degrees, p) = degrees_and_p(&data);
    let (square, v) = first_eigenvector(&p);
    let kernel = Array2::from_shape_fn(p.dim(), |(i, j)| v[i] * v[j] + 2.5 * (p[[i, j]] / square - v[i] * v[j]));
    let scorer = model.scorer().unwrap();
    let found = by_item(scorer.best(&scorer.fold_in(&HISTORY.0, &HISTORY.1).unwrap(), 25, |_| true));
    for (j, (found, expected)) in found.iter().zip(scores_by(&kernel, &degrees)).enumerate() {
        assert!((f64::from(*found) - expected).abs() < 1e-5, "{j}: {found} {expected}");
    }
}

#[test]
fn of_other_factors_the_part_in_their_span_is_subtracted() {
    // Item 24 has no user.
    let data = interactions(60, 24, 500, 4);
    let mut entries = Vec::new();
    for user in 0..60_u32 {
        let (items, values) = data.row(user as usize);
        entries.extend(items.iter().zip(values).map(|(&item, &value)| Entry { user, item, value }));
    }
    let data = Interactions::from_entries(60, 25, entries).unwrap();
    let als = AlsParams { users_per_item_min: 1, ..als_params(4, 2.5) };
    let model = fit_any(&data, &als.check().unwrap());
    let (degrees, p) = degrees_and_p(&data);
    // Π = B (BᵀB)⁻¹ Bᵀ with B = D⁻ᵑG, of the items with users.
    let b = Array2::from_shape_fn((24, 4), |(i, k)| f64::from(model.item_factors[[i, k]]) / degrees[i].sqrt());
    let gram = b.t().dot(&b);
    let mut solved = Array2::zeros((4, 24));
    for (j, mut column) in solved.columns_mut().into_iter().enumerate() {
        column.assign(&gauss_jordan(gram.clone(), b.row(j).to_owned()));
    }
    let projection = b.dot(&solved);
    let known = p.slice(ndarray::s![..24, ..24]);
    let represented = projection.dot(&known).dot(&projection);
    let first = first_eigenvector(&represented).0;
    let residual = (&known - &represented) * (2.5 / first);
    let mut kernel = Array2::zeros((25, 25));
    kernel.slice_mut(ndarray::s![..24, ..24]).assign(&residual);
    let scorer = model.scorer().unwrap();
    let vector = scorer.fold_in(&HISTORY.0, &HISTORY.1).unwrap();
    // The factors alone are those of the same fit without the term.
    let alone = fit_any(&data, &AlsParams { co_occurrence_weight: 0.0, ..als }.check().unwrap());
    assert_eq!((&alone.user_factors, &alone.item_factors), (&model.user_factors, &model.item_factors));
    let without = by_item(scorer.best(&UserVector { history: None, ..vector.clone() }, 25, |_| true));
    let alone = alone.scorer().unwrap();
    assert_eq!(by_item(alone.best(&alone.fold_in(&HISTORY.0, &HISTORY.1).unwrap(), 25, |_| true)), without);
    let found = by_item(scorer.best(&vector, 25, |_| true));
    for (j, expected) in scores_by(&kernel, &degrees).into_iter().enumerate() {
        let term = f64::from(found[j]) - f64::from(without[j]);
        assert!((term - expected).abs() < 2e-5, "{j}: {term} {expected}");
    }
}

#[test]
fn a_known_user_gets_the_list_of_the_same_history_bit_for_bit() {
    let data = interactions(90, 40, 900, 5);
    for params in algorithms(5, 3.0) {
        check_known_users(&data, &fit_any(&data, &params));
    }
}

fn check_known_users(data: &Interactions, model: &Model) {
    let scorer = model.scorer().unwrap();
    let bits = |list: Vec<Scored>| list.iter().map(|scored| (scored.item, scored.score.to_bits())).collect::<Vec<_>>();
    for user in 0..90_u32 {
        let (items, values) = data.row(user as usize);
        let (stored, folded_in) = (scorer.stored(user).unwrap(), scorer.fold_in(items, values).unwrap());
        assert_eq!(stored.factors, folded_in.factors);
        let new = |item: u32| items.binary_search(&item).is_err();
        let lists = [&stored, &folded_in].map(|vector| bits(scorer.best(vector, 10, new)));
        assert_eq!(lists[0], lists[1], "user {user}");
        // Batches, and searches of some items, give the same scores.
        assert_eq!(
            bits(scorer.best_for_each(&[folded_in, stored.clone()], 10, |_, item| new(item)).remove(1)),
            lists[0]
        );
        let all: Vec<u32> = (0..40).collect();
        assert_eq!(bits(scorer.best_in(Part { among: Among::Listed(&all), after: None }, &stored, 10, new)), lists[0]);
        let after = lists[0].get(3).map(|(item, _)| *item);
        assert_eq!(
            bits(scorer.best_in(Part { after, ..Part::default() }, &stored, 6, new)),
            lists[0][4.min(lists[0].len())..]
        );
        // With the items of the history, the own row adds to these only.
        let with_seen = bits(scorer.best(&stored, 40, |_| true));
        let listed: Vec<_> = with_seen.into_iter().filter(|(item, _)| new(*item)).take(10).collect();
        assert_eq!(listed, lists[0]);
    }
}

#[test]
fn users_that_are_folded_in_have_terms_but_are_not_walked() {
    let data = interactions(80, 30, 700, 6);
    let fitted = data.keep_users(|user| user < 60);
    let held_out = data.keep_users(|user| user >= 60);
    for params in algorithms(4, 3.0) {
        let before = fit_any(&fitted, &params);
        let after = before.clone().with_users(&held_out).unwrap();
        let (before, after) = (before.scorer().unwrap(), after.scorer().unwrap());
        for user in 0..80_u32 {
            let (items, values) = data.row(user as usize);
            let new = |item: u32| items.binary_search(&item).is_err();
            let expected = before.best(&before.fold_in(items, values).unwrap(), 12, new);
            assert_eq!(after.best(&after.stored(user).unwrap(), 12, new), expected, "user {user}");
        }
    }
}

#[test]
fn an_item_with_few_users_reveals_none_of_their_rows() {
    // Four users share the rare item 0 and have a row that nobody else has.
    let common = interactions(200, 40, 4000, 7);
    let mut entries: Vec<Entry> = Vec::new();
    for user in 0..200_u32 {
        let (items, values) = common.row(user as usize);
        let row = items.iter().zip(values).filter(|(item, _)| **item >= 10);
        entries.extend(row.map(|(&item, &value)| Entry { user, item, value }));
    }
    for user in 0..4 {
        entries.extend((0..10).map(|item| Entry { user, item, value: 1.0 }));
    }
    let data = Interactions::from_entries(200, 40, entries).unwrap();
    // The items whose scores change with the walk: with a minimum of 1,000 users nothing is walked.
    let terms = |users_per_item_min: u32, item: u32| {
        let scores = |users_per_item_min: u32| {
            let model = fit(&data, SvdParams { users_per_item_min, ..params(3, 4.0) });
            let scorer = model.scorer().unwrap();
            by_item(scorer.best(&scorer.fold_in(&[item], &[1.0]).unwrap(), 40, |_| true))
        };
        (0_u32..)
            .zip(scores(users_per_item_min).into_iter().zip(scores(1000)))
            .filter(|(_, (x, y))| x != y)
            .map(|(item, _)| item)
            .collect::<BTreeSet<_>>()
    };
    for rare in 0..10 {
        assert_eq!(terms(5, rare), BTreeSet::new(), "item {rare} is not walked from");
    }
    let common: BTreeSet<u32> = (10..40).collect();
    for item in 10..40 {
        assert!(terms(5, item).is_subset(&common), "no rare item is walked to");
    }
    // With a minimum of one user the rows of these users are in the terms.
    assert!(terms(1, 0).is_superset(&(0..10).collect()));
}

#[test]
fn explanations_of_scores_with_the_term_add_up() {
    let data = interactions(400, 60, 8000, 8);
    for params in algorithms(6, 2.0) {
        check_explanations(&data, &fit_any(&data, &params));
    }
}

fn check_explanations(data: &Interactions, model: &Model) {
    let scorer = model.scorer().unwrap();
    let targets: Vec<u32> = (0..60).collect();
    for length in [1_u32, 2, 10, 59] {
        let items: Vec<u32> = (0..length).collect();
        let values = vec![1.0; items.len()];
        let scores = by_item(scorer.best(&scorer.fold_in(&items, &values).unwrap(), 60, |_| true));
        let explained = scorer.explain(&items, &values, None, &targets).unwrap().unwrap();
        // Products and terms are larger than their sums.
        let size = f64::from(scores.iter().fold(0.0_f32, |max, score| max.max(score.abs())));
        for (score, explanation) in scores.iter().zip(&explained) {
            assert!((f64::from(*score) - explanation.sum()).abs() < 1e-5 * size, "{score} {explanation:?}");
        }
    }
    let (items, values) = data.row(3);
    let stored = by_item(scorer.best(&scorer.stored(3).unwrap(), 60, |_| true));
    let explained = scorer.explain(items, values, Some(3), &targets).unwrap().unwrap();
    for (score, explanation) in stored.iter().zip(&explained) {
        assert!((f64::from(*score) - explanation.sum()).abs() < 1e-5, "{score} {}", explanation.sum());
    }
}

#[test]
fn bytes_are_equal_on_any_number_of_threads() {
    let data = interactions(9000, 300, 60_000, 9);
    for params in algorithms(6, 2.5) {
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| fit_any(&data, &params))
        };
        assert_eq!(on(1), on(3));
    }
}

#[test]
fn parameters_of_the_term_are_checked() {
    let message = |params: SvdParams| params.check().unwrap_err().to_string();
    assert!(message(params(3, -1.0)).contains("coOccurrenceWeight is -1"));
    assert!(message(params(3, f64::NAN)).contains("coOccurrenceWeight"));
    assert!(
        message(SvdParams { user_degree_exponent: Some(1.5), ..params(3, 1.0) }).contains("userDegreeExponent is 1.5")
    );
    assert!(message(SvdParams { users_per_item_min: 0, ..params(3, 1.0) }).contains("minUsersPerItem is 0"));
    let ratings = SvdParams { ratings: true, ..SvdParams::default() };
    assert!(message(SvdParams { co_occurrence_weight: 1.0, ..ratings }).contains("coOccurrenceWeight is 1"));
    let als = AlsParams { degree_exponent: 0.0, popularity_boost: 0.0, ..als_params(3, 1.0) };
    let message = |params: AlsParams| params.check().unwrap_err().to_string();
    assert!(message(AlsParams { co_occurrence_weight: 1e5, ..als }).contains("coOccurrenceWeight is 100000"));
    let confidences = AlsParams { user_degree_exponent: None, values: ValueMeaning::Confidence, ..als };
    assert!(message(confidences).contains("coOccurrenceWeight is 1"));
}
