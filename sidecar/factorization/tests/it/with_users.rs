//! Users whom a fit has not seen, put into its model.

use std::ops::ControlFlow;

use factorization::{
    Biases, BprParams, ExplicitAlsParams, Interactions, Model, SvdParams, fit_als, fit_bpr, fit_explicit_als, fit_svd,
};

use crate::data::{interactions, params, ratings};

/// With a user's rows left out and folded in, only their own row changes, and it is what folding in gives.
fn check(data: &Interactions, fit: impl Fn(&Interactions) -> Model) {
    let is_apart = |user: usize| user.is_multiple_of(3);
    let (training, apart) = (data.keep_users(|user| !is_apart(user)), data.keep_users(is_apart));
    let before = fit(&training);
    let after = before.clone().with_users(&apart).unwrap();
    assert_eq!((&after.item_factors, &after.gram), (&before.item_factors, &before.gram));
    for user in 0..data.users() {
        let (items, values) = apart.row(user);
        let stored = |model: &Model| model.scorer().unwrap().stored(u32::try_from(user).unwrap()).unwrap();
        if items.is_empty() {
            assert_eq!(stored(&after), stored(&before));
        } else {
            assert_eq!(stored(&after), before.scorer().unwrap().fold_in(items, values).unwrap());
            assert_ne!(stored(&after), stored(&before));
        }
    }
    // Those whom the fit has seen are what folding in gives already.
    assert_eq!(before.clone().with_users(&training).unwrap(), before);
}

#[test]
fn they_are_what_folding_in_gives_and_others_stay() {
    let go = |_: &factorization::SweepReport| ControlFlow::Continue(());
    let (weights, stars) = (interactions(60, 40, 900, 3), ratings(60, 40, 900, 3));
    check(&weights, |data| fit_als(data, &params().check().unwrap(), 1, &mut { go }).unwrap());
    let explicit = ExplicitAlsParams { factors: 4, ..ExplicitAlsParams::default() }.check().unwrap();
    check(&stars, |data| fit_explicit_als(data, &explicit, 1, &mut { go }).unwrap());
    let svd = SvdParams { factors: 4, degree_exponent: 0.5, ..SvdParams::default() }.check().unwrap();
    check(&weights, |data| fit_svd(data, false, &svd, 1, &mut { go }).unwrap());
    let bpr = BprParams { factors: 4, iterations: 5, ..BprParams::default() }.check().unwrap();
    check(&weights, |data| fit_bpr(data, &bpr, 1, &mut { go }).unwrap());
}

#[test]
fn averages_of_users_apart_are_the_ones_computed_by_hand() {
    let stars = ratings(60, 40, 900, 3);
    let (training, apart) = (stars.keep_users(|user| user != 5), stars.keep_users(|user| user == 5));
    let before = Biases::fit(&training).unwrap();
    let after = before.clone().fold_in(&apart);
    let (items, values) = apart.row(5);
    // What is left of the ratings after mean and items, as if three ratings more had left nothing.
    let left = items
        .iter()
        .zip(values)
        .map(|(item, rating)| f64::from(rating - before.scale.mean - before.item[*item as usize]));
    let by_hand = left.sum::<f64>() / (items.len() as f64 + 3.0);
    assert!((f64::from(after.user[5]) - by_hand).abs() < 1e-6 && by_hand.abs() > 1e-3, "{by_hand}");
    let mut same = after.clone();
    same.user[5] = before.user[5];
    assert_eq!(same, before);
}
