//! Explanations: their sums equal the scores, and each contribution equals that of dense algebra.

use std::ops::ControlFlow;

use factorization::{AlsParams, Fit as _, Interactions, Model, SvdParams, UserVector, biases::BIAS_SHRINKAGE};
use ndarray::Array2;
use proptest::prelude::*;

use crate::data::{explicit_params, gauss_jordan, interactions, params, ratings};

fn models() -> [(&'static str, Interactions, Model); 6] {
    let (weights, stars) = (interactions(60, 40, 700, 5), ratings(60, 40, 700, 5));
    let never_cancel = &mut |_: &factorization::IterationReport| ControlFlow::Continue(());
    let als = params().check().unwrap().fit(&weights, 1, None, never_cancel).unwrap();
    let weighted = AlsParams { degree_exponent: 0.6, popularity_boost: 0.5, ..params() }.check().unwrap();
    let weighted = weighted.fit(&weights, 1, None, never_cancel).unwrap();
    let explicit = explicit_params().check().unwrap().fit(&stars, 1, None, never_cancel).unwrap();
    let mut svd = |data: &Interactions, ratings, degree_exponent| {
        let params =
            SvdParams { factors: 7, iterations: 20, degree_exponent, ratings, ..SvdParams::default() }.check().unwrap();
        params.fit(data, 1, None, never_cancel).unwrap()
    };
    let (plain, degrees, rated) = (svd(&weights, false, 0.0), svd(&weights, false, 0.4), svd(&stars, true, 0.0));
    [
        ("als", weights.clone(), als),
        ("explicit als", stars.clone(), explicit),
        ("svd", weights.clone(), plain),
        ("svd with degrees", weights.clone(), degrees),
        ("explicit svd", stars, rated),
        ("als with degrees", weights, weighted),
    ]
}

/// The score of a user vector in f64, before clipping to the scale.
fn score(model: &Model, vector: &UserVector, item: u32) -> f64 {
    let row = model.item_factors.row(item as usize);
    let product: f64 = row.iter().zip(&vector.factors).map(|(v, u)| f64::from(*v) * f64::from(*u)).sum();
    let biases = model.ratings.as_ref().map_or(0.0, |r| f64::from(r.scale.mean) + f64::from(r.items[item as usize]));
    product + biases + f64::from(vector.bias)
}

#[test]
fn the_contributions_of_a_stored_user_add_up_to_their_score() {
    for (name, data, model) in models() {
        let scorer = model.scorer().unwrap();
        let targets: Vec<u32> = (0..40).collect();
        for user in 0..60 {
            let (items, values) = data.row(user);
            let explained = scorer.explain(items, values, None, &targets).unwrap().unwrap();
            let vector = scorer.stored(u32::try_from(user).unwrap()).unwrap();
            for (item, explanation) in explained.iter().enumerate() {
                let score = score(&model, &vector, u32::try_from(item).unwrap());
                assert_eq!(explanation.contributions.len(), items.len());
                assert!(
                    (explanation.sum() - score).abs() < 1e-5 * (1.0 + score.abs()),
                    "{name}: {explanation:?} {score}"
                );
            }
        }
    }
}

/// A contribution is the change of the score if only the linear weight of its entry is removed.
#[test]
fn each_contribution_equals_that_of_dense_algebra() {
    let [als, explicit, ..] = models();
    let (items, values): (Vec<u32>, Vec<f32>) =
        ((0..14).map(|i| i * 2 + 1).collect(), (0..14).map(|i| (i % 5 + 1) as f32).collect());
    for (explicit, (_, _, model)) in [(false, als), (true, explicit)] {
        let f = model.item_factors.ncols();
        let width = f + usize::from(explicit);
        let augmented =
            Array2::from_shape_fn(
                (40, width),
                |(i, k)| if k < f { f64::from(model.item_factors[[i, k]]) } else { 1.0 },
            );
        let mut matrix = Array2::<f64>::zeros((width, width));
        let mut linear_weights = Vec::new();
        for (&item, &value) in items.iter().zip(&values) {
            let (a, b) = match &model.ratings {
                None => (f64::from(value), f64::from(value)),
                Some(r) => (1.0, f64::from(value) - f64::from(r.scale.mean) - f64::from(r.items[item as usize])),
            };
            linear_weights.push(b);
            let v = augmented.row(item as usize);
            for i in 0..width {
                for j in 0..width {
                    matrix[[i, j]] += a * v[i] * v[j];
                }
            }
        }
        for i in 0..f {
            matrix[[i, i]] += match &model.ratings {
                None => 0.02 * (14.0 + 0.3 * 40.0_f64).powf(0.7),
                Some(r) => 0.07 * f64::from(r.scale.deviation) * 14.0_f64.powf(0.8),
            };
            for j in 0..f {
                if !explicit {
                    matrix[[i, j]] += 0.3 * augmented.column(i).dot(&augmented.column(j));
                }
            }
        }
        if explicit {
            matrix[[f, f]] += BIAS_SHRINKAGE;
        }
        let explained = model.scorer().unwrap().explain(&items, &values, None, &[0, 3, 39]).unwrap().unwrap();
        for (target, explanation) in [0, 3, 39].into_iter().zip(&explained) {
            let solved = gauss_jordan(matrix.clone(), augmented.row(target).to_owned());
            for ((&item, b), found) in items.iter().zip(&linear_weights).zip(&explanation.contributions) {
                let expected = b * augmented.row(item as usize).dot(&solved);
                assert!(
                    (found - expected).abs() < 1e-6 * (1.0 + expected.abs()),
                    "{target} {item}: {found} {expected}"
                );
            }
        }
    }
}

/// Removes the weight of an entry (for ratings: sets it to the bias baseline) and expects the score
/// to change by its contribution.
#[test]
fn an_svd_contribution_is_the_change_of_the_score_without_its_entry() {
    for (name, _, model) in models().into_iter().filter(|(name, ..)| name.contains("svd")) {
        let scorer = model.scorer().unwrap();
        let (items, values) = (vec![2_u32, 9, 17, 30], vec![3.0_f32, 1.5, 4.0, 2.0]);
        let explained = scorer.explain(&items, &values, None, &[5]).unwrap().unwrap().remove(0);
        for left_out in 0..4 {
            let mut without = values.clone();
            without[left_out] = match &model.ratings {
                None => 0.0,
                Some(r) => r.scale.mean + r.items[items[left_out] as usize],
            };
            let [with, without] = [&values, &without].map(|v| score(&model, &scorer.fold_in(&items, v).unwrap(), 5));
            let found = explained.contributions[left_out];
            assert!((found - (with - without)).abs() < 1e-5, "{name}: {found} {}", with - without);
        }
    }
}

#[test]
fn without_a_history_only_the_baseline_is_left_and_invalid_targets_are_named() {
    for (name, _, model) in models() {
        let scorer = model.scorer().unwrap();
        let explained = scorer.explain(&[], &[], None, &[7]).unwrap().unwrap();
        assert!(explained[0].contributions.is_empty());
        let baseline = model.ratings.as_ref().map_or(0.0, |r| f64::from(r.scale.mean) + f64::from(r.items[7]));
        assert_eq!(explained[0].sum(), baseline, "{name}");
        assert!(
            scorer.explain(&[1], &[1.0], None, &[40]).unwrap_err().to_string().contains("index 40 is outside 0..40")
        );
        assert!(scorer.explain(&[1], &[f32::NAN], None, &[3]).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_contributions_of_any_history_add_up_to_its_score(
        history in prop::collection::vec((0..40_u32, -2.0..5.0_f32), 0..50),
        targets in prop::collection::vec(0..40_u32, 1..5),
    ) {
        static MODELS: std::sync::LazyLock<[(&'static str, Interactions, Model); 6]> = std::sync::LazyLock::new(models);
        for (name, _, model) in &*MODELS {
            let scorer = model.scorer().unwrap();
            let (items, values) = scorer.merge(&history);
            let explained = scorer.explain(&items, &values, None, &targets).unwrap().unwrap();
            let vector = scorer.fold_in_entries(&history).unwrap();
            for (&target, explanation) in targets.iter().zip(&explained) {
                let score = score(model, &vector, target);
                let size: f64 = explanation.contributions.iter().map(|x| x.abs()).sum();
                prop_assert!((explanation.sum() - score).abs() < 1e-5 * (1.0 + size), "{name}: {explanation:?} {score}");
            }
        }
    }
}
