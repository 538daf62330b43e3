//! Strong generalization: folded-in users who were not in the fit get lists as good as those who
//! were.

use std::ops::ControlFlow;

use factorization::{
    AlsParams, BprParams, Entry, ExplicitAlsParams, Fit as _, Interactions, Model, SvdParams, ndcg_at_k, popularity,
};

use crate::data::Draws;

const USERS: u32 = 600;
const ITEMS: u32 = 120;
const GROUPS: u32 = 6;
/// Length of the lists.
const K: usize = 10;
/// Minimum NDCG@k of folded-in users relative to fitted ones.
const RATIO_MIN: f64 = 0.95;

/// Minimum NDCG@k of personalized lists; that of popularity is lower.
const PERSONALIZED_MIN: f64 = 0.15;

/// Users and items of the same number of groups. Four in five items that a user chooses are of
/// their group, and some items are more popular. Returns the training set and the test set. Values
/// are 1, or stars.
fn visits(stars: bool) -> (Interactions, Interactions) {
    let mut draws = Draws(11);
    let (mut training, mut test) = (Vec::new(), Vec::new());
    for user in 0..USERS {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..24 {
            let rank = draws.below(20).min(draws.below(20));
            let group = if draws.below(5) > 0 { user % GROUPS } else { draws.below(GROUPS) };
            let item = rank * GROUPS + group;
            if !seen.insert(item) {
                continue;
            }
            let level = if group == user % GROUPS { 4 } else { 2 } + draws.below(2);
            let value = if stars { f32::from(u8::try_from(level).unwrap()) } else { 1.0 };
            // The test set of stars has only likes: a list is expected to contain these.
            match (draws.below(4), stars, level) {
                (0, false, _) | (0, true, 4..) => test.push(Entry { user, item, value: 1.0 }),
                (0, true, _) => {}
                _ => training.push(Entry { user, item, value }),
            }
        }
    }
    let of = |entries| Interactions::from_entries(USERS as usize, ITEMS as usize, entries).unwrap();
    (of(training), of(test))
}

/// Compares NDCG@k of a fifth of the users between a fit with them and one without.
fn check(name: &str, stars: bool, fit: impl Fn(&Interactions) -> Model) {
    let (known, test) = visits(stars);
    let is_held_out = |user: usize| user.is_multiple_of(5);
    let (training, held_out) = (known.keep_users(|user| !is_held_out(user)), known.keep_users(is_held_out));
    let test = test.keep_users(is_held_out);
    let users: Vec<u32> = (0..USERS).filter(|user| !test.row(*user as usize).0.is_empty()).collect();
    let seen_items = |user: u32| known.row(user as usize).0;
    let ndcg = |lists: Vec<Vec<u32>>| {
        let each = users.iter().zip(&lists).map(|(user, list)| ndcg_at_k(list, test.row(*user as usize).0, K));
        each.sum::<f64>() / users.len() as f64
    };
    let of = |model: &Model| {
        let lists = model.searchable().recommend_each(&users, K, seen_items).into_iter();
        ndcg(lists.map(|list| list.into_iter().map(|scored| scored.item).collect()).collect())
    };
    let (_, popular) = popularity(&known);
    let unseen = |user: u32| popular.iter().copied().filter(move |item| seen_items(user).binary_search(item).is_err());
    let popular = ndcg(users.iter().map(|user| unseen(*user).take(K).collect()).collect());
    assert!(popular < PERSONALIZED_MIN, "NDCG@{K} of the popularity baseline is {popular}");
    let fitted = of(&fit(&known));
    let folded_in = of(&fit(&training).with_users(&held_out).unwrap());
    assert!(fitted > PERSONALIZED_MIN, "{name}: NDCG@{K} of fitted users is only {fitted}");
    assert!(
        folded_in >= RATIO_MIN * fitted,
        "{name}: NDCG@{K} is {folded_in} for folded-in users, {fitted} for fitted ones"
    );
}

fn never_cancel(_: &factorization::IterationReport) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn implicit_als() {
    for (degree_exponent, popularity_boost) in [(0.0, 0.0), (0.5, 0.0), (0.5, 0.5)] {
        let params =
            AlsParams { factors: 8, degree_exponent, popularity_boost, ..AlsParams::default() }.check().unwrap();
        check("ALS", false, |data| params.fit(data, 1, None, &mut never_cancel).unwrap());
    }
}

#[test]
fn svd() {
    let params = SvdParams { factors: 6, degree_exponent: 0.5, ..SvdParams::default() }.check().unwrap();
    check("SVD", false, |data| params.fit(data, 1, None, &mut never_cancel).unwrap());
    let params = SvdParams { factors: 6, ratings: true, ..SvdParams::default() }.check().unwrap();
    check("SVD of ratings", true, |data| params.fit(data, 1, None, &mut never_cancel).unwrap());
}

#[test]
fn bpr() {
    let params = BprParams { factors: 8, ..BprParams::default() }.check().unwrap();
    check("BPR", false, |data| params.fit(data, 1, None, &mut never_cancel).unwrap());
}

#[test]
fn explicit_als() {
    for samples in [0, 20] {
        let params = ExplicitAlsParams { factors: 6, samples, ..ExplicitAlsParams::default() }.check().unwrap();
        check("explicit ALS", true, |data| params.fit(data, 1, None, &mut never_cancel).unwrap());
    }
}
