//! Fold-in of users who were not in the fit into its model.

use std::ops::ControlFlow;

use factorization::{Biases, BprParams, ExplicitAlsParams, Fit as _, Interactions, Model, SvdParams};

use crate::data::{interactions, params, ratings};

/// Fits without some users and folds them in. Only their rows change, and they equal the fold-in.
fn check(data: &Interactions, fit: impl Fn(&Interactions) -> Model) {
    let is_held_out = |user: usize| user.is_multiple_of(3);
    let (training, held_out) = (data.keep_users(|user| !is_held_out(user)), data.keep_users(is_held_out));
    let before = fit(&training);
    let after = before.clone().with_users(&held_out).unwrap();
    assert_eq!((&after.item_factors, &after.gram), (&before.item_factors, &before.gram));
    for user in 0..data.users() {
        let (items, values) = held_out.row(user);
        let stored = |model: &Model| model.scorer().unwrap().stored(u32::try_from(user).unwrap()).unwrap();
        if items.is_empty() {
            assert_eq!(stored(&after), stored(&before));
        } else {
            assert_eq!(stored(&after), before.scorer().unwrap().fold_in(items, values).unwrap());
            assert_ne!(stored(&after), stored(&before));
        }
    }
    // The stored rows of fitted users already equal their fold-in.
    assert_eq!(before.clone().with_users(&training).unwrap(), before);
}

#[test]
fn rows_equal_their_fold_in_and_others_stay() {
    let never_cancel = |_: &factorization::IterationReport| ControlFlow::Continue(());
    let (weights, stars) = (interactions(60, 40, 900, 3), ratings(60, 40, 900, 3));
    check(&weights, |data| params().check().unwrap().fit(data, 1, None, &mut { never_cancel }).unwrap());
    let explicit = ExplicitAlsParams { factors: 4, ..ExplicitAlsParams::default() }.check().unwrap();
    check(&stars, |data| explicit.fit(data, 1, None, &mut { never_cancel }).unwrap());
    let svd = SvdParams { factors: 4, degree_exponent: 0.5, ..SvdParams::default() }.check().unwrap();
    check(&weights, |data| svd.fit(data, 1, None, &mut { never_cancel }).unwrap());
    let bpr = BprParams { factors: 4, iterations: 5, ..BprParams::default() }.check().unwrap();
    check(&weights, |data| bpr.fit(data, 1, None, &mut { never_cancel }).unwrap());
}

#[test]
fn biases_of_folded_in_users_match_hand_computed_ones() {
    let stars = ratings(60, 40, 900, 3);
    let (training, held_out) = (stars.keep_users(|user| user != 5), stars.keep_users(|user| user == 5));
    let before = Biases::fit(&training).unwrap();
    let after = before.clone().fold_in(&held_out);
    let (items, values) = held_out.row(5);
    // The sum of the residuals over the number of ratings plus 3.
    let residuals = items
        .iter()
        .zip(values)
        .map(|(item, rating)| f64::from(rating - before.scale.mean - before.item[*item as usize]));
    let by_hand = residuals.sum::<f64>() / (items.len() as f64 + 3.0);
    assert!((f64::from(after.user[5]) - by_hand).abs() < 1e-6 && by_hand.abs() > 1e-3, "{by_hand}");
    let mut same = after.clone();
    same.user[5] = before.user[5];
    assert_eq!(same, before);
}
