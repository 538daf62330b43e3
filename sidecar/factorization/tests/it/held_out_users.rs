//! Strong generalization: users whom the fit has not seen get lists as good as those whom it has, by folding in.

use std::ops::ControlFlow;

use factorization::{
    AlsParams, BprParams, Entry, ExplicitAlsParams, Interactions, Model, SvdParams, fit_als, fit_bpr, fit_explicit_als,
    fit_svd, ndcg_at_k, popularity,
};

use crate::data::Draws;

const USERS: u32 = 600;
const ITEMS: u32 = 120;
const KINDS: u32 = 6;
/// Length of the lists.
const K: usize = 10;
/// What folding in must keep of NDCG@k.
const SHARE: f64 = 0.95;

/// Lists that come from a taste are better than this; those of popularity are not.
const LEARNED: f64 = 0.15;

/// Users of a few kinds, items of as many: four in five of what somebody chooses is of their kind, and popular items come first.
/// What is known, and what is kept to be found. Values are 1, or stars.
fn visits(stars: bool) -> (Interactions, Interactions) {
    let mut draws = Draws(11);
    let (mut known, mut kept) = (Vec::new(), Vec::new());
    for user in 0..USERS {
        let mut met = std::collections::BTreeSet::new();
        for _ in 0..24 {
            let rank = draws.below(20).min(draws.below(20));
            let kind = if draws.below(5) > 0 { user % KINDS } else { draws.below(KINDS) };
            let item = rank * KINDS + kind;
            if !met.insert(item) {
                continue;
            }
            let opinion = if kind == user % KINDS { 4 } else { 2 } + draws.below(2);
            let value = if stars { f32::from(u8::try_from(opinion).unwrap()) } else { 1.0 };
            // Of a star the kept part has the likes alone: a list is to find what somebody likes.
            match (draws.below(4), stars, opinion) {
                (0, false, _) | (0, true, 4..) => kept.push(Entry { user, item, value: 1.0 }),
                (0, true, _) => {}
                _ => known.push(Entry { user, item, value }),
            }
        }
    }
    let of = |entries| Interactions::from_entries(USERS as usize, ITEMS as usize, entries).unwrap();
    (of(known), of(kept))
}

/// NDCG@k of a fifth of the users, of a fit that saw them and of one that did not.
fn check(name: &str, stars: bool, fit: impl Fn(&Interactions) -> Model) {
    let (known, kept) = visits(stars);
    let is_apart = |user: usize| user.is_multiple_of(5);
    let (training, apart) = (known.keep_users(|user| !is_apart(user)), known.keep_users(is_apart));
    let test = kept.keep_users(is_apart);
    let users: Vec<u32> = (0..USERS).filter(|user| !test.row(*user as usize).0.is_empty()).collect();
    let met = |user: u32| known.row(user as usize).0;
    let ndcg = |lists: Vec<Vec<u32>>| {
        let each = users.iter().zip(&lists).map(|(user, list)| ndcg_at_k(list, test.row(*user as usize).0, K));
        each.sum::<f64>() / users.len() as f64
    };
    let of = |model: &Model| {
        let lists = model.recommend_each(&users, K, met).into_iter();
        ndcg(lists.map(|list| list.into_iter().map(|scored| scored.item).collect()).collect())
    };
    let (_, popular) = popularity(&known);
    let new_to = |user: u32| popular.iter().copied().filter(move |item| met(user).binary_search(item).is_err());
    let popular = ndcg(users.iter().map(|user| new_to(*user).take(K).collect()).collect());
    assert!(popular < LEARNED, "NDCG@{K} of what is popular is {popular}");
    let seen = of(&fit(&known));
    let unseen = of(&fit(&training).with_users(&apart).unwrap());
    assert!(seen > LEARNED, "{name}: NDCG@{K} is {seen} with users whom it saw: nothing was learned");
    assert!(
        unseen >= SHARE * seen,
        "{name}: NDCG@{K} is {unseen} with users whom it did not see, {seen} with the others"
    );
}

fn go(_: &factorization::SweepReport) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn implicit_als() {
    for (degree_exponent, degree_return) in [(0.0, 0.0), (0.5, 0.0), (0.5, 0.5)] {
        let params = AlsParams { factors: 8, degree_exponent, degree_return, ..AlsParams::default() }.check().unwrap();
        check("ALS", false, |data| fit_als(data, &params, 1, &mut go).unwrap());
    }
}

#[test]
fn svd() {
    let params = SvdParams { factors: 6, degree_exponent: 0.5, ..SvdParams::default() }.check().unwrap();
    check("SVD", false, |data| fit_svd(data, false, &params, 1, &mut go).unwrap());
    let params = SvdParams { factors: 6, ..SvdParams::default() }.check().unwrap();
    check("SVD of ratings", true, |data| fit_svd(data, true, &params, 1, &mut go).unwrap());
}

#[test]
fn bpr() {
    let params = BprParams { factors: 8, ..BprParams::default() }.check().unwrap();
    check("BPR", false, |data| fit_bpr(data, &params, 1, &mut go).unwrap());
}

#[test]
fn explicit_als() {
    for samples in [0, 20] {
        let params = ExplicitAlsParams { factors: 6, samples, ..ExplicitAlsParams::default() }.check().unwrap();
        check("explicit ALS", true, |data| fit_explicit_als(data, &params, 1, &mut go).unwrap());
    }
}
