//! Ranking metrics and the popularity baseline, compared with direct computations.

use factorization::{Entry, Interactions, evaluate_ranking, gini, ndcg_at_k, popularity, recall_at_k};
use proptest::{collection, prelude::*};

use crate::{data::Draws, python};

/// recall@k and NDCG@k by their definitions, rank by rank.
fn by_definition(list: &[u32], relevant: &[u32], k: usize) -> (f64, f64) {
    let (mut hits, mut dcg, mut idcg) = (0.0, 0.0, 0.0);
    for (position, rank) in (1..=k).zip(1_u32..) {
        let discount = std::f64::consts::LN_2 / (f64::from(rank) + 1.0).ln();
        if list.get(position - 1).is_some_and(|item| relevant.contains(item)) {
            hits += 1.0;
            dcg += discount;
        }
        if position <= relevant.len() {
            idcg += discount;
        }
    }
    (hits / relevant.len() as f64, dcg / idcg)
}

proptest! {
    #[test]
    fn metrics_follow_their_definitions(
        list in Just((0_u32..40).collect::<Vec<_>>()).prop_shuffle(),
        length in 0_usize..40,
        relevant in collection::btree_set(0_u32..60, 1..30),
        k in 1_usize..50,
    ) {
        let (list, relevant) = (&list[..length], relevant.into_iter().collect::<Vec<_>>());
        let (recall, ndcg) = by_definition(list, &relevant, k);
        prop_assert!((recall_at_k(list, &relevant, k) - recall).abs() < 1e-12);
        prop_assert!((ndcg_at_k(list, &relevant, k) - ndcg).abs() < 1e-12);
    }
}

#[test]
fn a_perfect_list_scores_1_and_a_list_of_irrelevant_items_0() {
    assert!((recall_at_k(&[3, 1, 2], &[1, 2, 3], 3) - 1.0).abs() < 1e-12);
    assert!((ndcg_at_k(&[3, 1, 2], &[1, 2, 3], 3) - 1.0).abs() < 1e-12);
    assert!(recall_at_k(&[4, 5], &[1, 2, 3], 2).abs() < 1e-12);
    assert!(ndcg_at_k(&[4, 5], &[1, 2, 3], 2).abs() < 1e-12);
    // More relevant items than ranks: recall cannot reach 1, NDCG can.
    assert!((recall_at_k(&[1], &[1, 2, 3], 1) - 1.0 / 3.0).abs() < 1e-12);
    assert!((ndcg_at_k(&[1], &[1, 2, 3], 1) - 1.0).abs() < 1e-12);
}

fn entry(user: u32, item: u32, value: f32) -> Entry {
    Entry { user, item, value }
}

#[test]
fn only_users_with_likes_are_evaluated() {
    let test = [entry(0, 1, 1.0), entry(1, 0, -1.0), entry(3, 2, 1.0), entry(3, 0, -2.0)];
    let test = Interactions::from_entries(4, 3, test.to_vec()).unwrap();
    let list = |user: &u32| if *user == 0 { vec![1, 0] } else { vec![0, 2] };
    let scores = evaluate_ranking(&test, 2, |users| users.iter().map(list).collect());
    assert_eq!(scores.users.iter().map(|user| user.user).collect::<Vec<_>>(), [0, 3]);
    // The only liked item of user 3 ranks second: DCG = 1/log2(3).
    let second = 0.630_929_753_571_457_4;
    assert!((scores.ndcg().unwrap() - f64::midpoint(1.0, second)).abs() < 1e-12);
    assert!((scores.recall().unwrap() - 1.0).abs() < 1e-12);
    assert_eq!(evaluate_ranking(&Interactions::from_entries(4, 3, vec![]).unwrap(), 2, |_| vec![]).ndcg(), None);
}

#[test]
fn popularity_counts_likes_and_breaks_ties_by_index() {
    let seen = [
        entry(0, 2, 1.0),
        entry(1, 2, 5.0),
        entry(2, 2, -1.0),
        entry(0, 0, 1.0),
        entry(1, 0, 1.0),
        entry(2, 0, 0.5),
        entry(2, 3, 1.0),
        entry(1, 3, 1.0),
        entry(0, 1, -1.0),
    ];
    let seen = Interactions::from_entries(3, 5, seen.to_vec()).unwrap();
    assert_eq!(popularity(&seen), (vec![3, 0, 2, 2, 0], vec![0, 2, 3, 1, 4]));
}

#[test]
fn all_metrics_match_an_independent_implementation() {
    const ITEMS: u32 = 60;
    for k in [1, 5, 10, 100] {
        let mut draws = Draws(k as u64);
        let mut lists = Vec::new();
        let mut test = Vec::new();
        for user in 0..150 {
            // Early items are chosen more often, so that exposure is uneven.
            let mut list: Vec<u32> = (0..ITEMS).filter(|item| draws.below(3 + item) < 3).collect();
            let shift = draws.below(ITEMS) as usize % list.len().max(1);
            list.rotate_left(shift);
            lists.push(list);
            test.extend((0..=draws.below(9)).map(|_| entry(user, draws.below(ITEMS), 1.0)));
        }
        let test = Interactions::from_entries(lists.len(), ITEMS as usize, test).unwrap();
        let ours = evaluate_ranking(&test, k, |users| users.iter().map(|user| lists[*user as usize].clone()).collect());
        let mut shown = vec![0; ITEMS as usize];
        lists.iter().flat_map(|list| list.iter().take(k)).for_each(|item| shown[*item as usize] += 1);

        let users: Vec<_> = (lists.iter().enumerate())
            .map(|(user, list)| serde_json::json!({"list": list, "relevant": test.row(user).0}))
            .collect();
        let case = serde_json::json!({"k": k, "items": ITEMS, "users": users});
        let theirs = python::run("metrics.py", &case);
        for (name, ours) in [
            ("recall", ours.recall()),
            ("precision", ours.precision()),
            ("map", ours.map()),
            ("mrr", ours.mrr()),
            ("ndcg", ours.ndcg()),
            ("gini", gini(&shown)),
        ] {
            let theirs = theirs[name].as_f64().unwrap();
            assert!((ours.unwrap() - theirs).abs() < 1e-9, "{name}@{k}: {ours:?} {theirs}");
        }
    }
    assert_eq!(gini(&[0, 0]), None);
}
