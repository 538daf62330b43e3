//! Walks within limits, against sums over the dense matrix.

use proptest::prelude::*;

use super::{
    ADDITIONS_MAX, History, PAIR_ITEMS_MAX, Spectrum, TwoHopIndex, TwoHopModel, TwoHopPairs, TwoHopScales,
    rows::OwnedRows,
};
use crate::{Entry, Interactions, TwoHopParams, popularity};

const PARAMS: TwoHopParams =
    TwoHopParams { weight: 2.5, item_exponent: 0.5, user_exponent: 0.3, users_per_item_min: 2 };
const FIRST_SQUARE: f64 = 0.75;

/// A model whose items have at most `users_max` users that are walked.
fn model(data: &Interactions, users_max: usize) -> TwoHopModel {
    let histories = OwnedRows::of(data);
    let index = TwoHopIndex::sampled(data, PARAMS.users_per_item_min, users_max, 11);
    let counts = popularity(data).0;
    let scales = TwoHopScales::new(&PARAMS, FIRST_SQUARE, &counts, histories.view(), index.users_of_items().view());
    TwoHopModel {
        histories,
        index,
        scales,
        spectrum: Spectrum { first: FIRST_SQUARE, last: FIRST_SQUARE },
        span: None,
        pairs: None,
        additions_max: ADDITIONS_MAX,
    }
}

/// The entries of the index, users × items, with those of a sampled item multiplied by its number
/// of users over that of the sample.
fn dense(model: &TwoHopModel, data: &Interactions) -> Vec<Vec<f64>> {
    let counts = popularity(data).0;
    let mut matrix = vec![vec![0.0; data.items()]; data.users()];
    let lists = model.index.users_of_items().view();
    for item in 0..data.items() {
        let list = lists.row(item);
        for (at, user) in list.columns.iter().enumerate() {
            let multiple = f64::from(counts[item]) / list.columns.len() as f64;
            matrix[*user as usize][item] = f64::from(list.value(at)) * multiple;
        }
    }
    matrix
}

/// c/λ₁ Dᵇ R̃ᵀR̃ D⁻ᵇ x over the rows that are not the history's own.
fn reference(matrix: &[Vec<f64>], data: &Interactions, history: &History) -> Vec<f64> {
    let likes = |values: &[f32]| values.iter().filter(|value| **value > 0.0).count() as f64 + 10.0;
    let counts: Vec<f64> = popularity(data).0.iter().map(|count| f64::from(*count) + 10.0).collect();
    let mut sums = vec![0.0; data.items()];
    for (user, row) in
        matrix.iter().enumerate().filter(|(user, _)| Some(*user) != history.user.map(|user| user as usize))
    {
        let degree = likes(data.row(user).1).powf(-PARAMS.user_exponent);
        let normalized: Vec<f64> =
            row.iter().zip(&counts).map(|(x, count)| x * degree * count.powf(-PARAMS.item_exponent)).collect();
        let entries = history.items.iter().zip(&history.weights);
        let shared = entries.map(|(item, x)| {
            let count = counts[*item as usize].powf(-PARAMS.item_exponent);
            normalized[*item as usize] * count * f64::from(x.max(0.0))
        });
        let shared: f64 = shared.sum();
        for ((sum, x), count) in sums.iter_mut().zip(&normalized).zip(&counts) {
            *sum += PARAMS.weight / FIRST_SQUARE * count.powf(PARAMS.item_exponent) * x * shared;
        }
    }
    sums
}

prop_compose! {
    fn cases()(users in 1_u32..40, items in 1_u32..30)(
        entries in prop::collection::vec((0..users, 0..items, -1_i8..4), 0..300),
        history in prop::collection::btree_map(0..items, -1_i8..4, 0..20),
        users in Just(users),
        items in Just(items),
        weighted in any::<bool>(),
    ) -> (Interactions, History) {
        let value = |value: i8| if weighted { f32::from(value) } else { 1.0 };
        let pairs: std::collections::BTreeMap<(u32, u32), f32> =
            entries.into_iter().map(|(user, item, x)| ((user, item), value(x))).collect();
        let entries = pairs.into_iter().map(|((user, item), value)| Entry { user, item, value }).collect();
        let data = Interactions::from_entries(users as usize, items as usize, entries).unwrap();
        let (items, weights) = history.into_iter().map(|(item, x)| (item, value(x))).unzip();
        (data, History { items, weights, user: None })
    }
}

/// The history of a stored user.
fn of_user(data: &Interactions, user: u32) -> History {
    let (items, weights) = data.row(user as usize);
    History { items: items.to_vec(), weights: weights.to_vec(), user: Some(user) }
}

fn index(count: usize) -> u32 {
    u32::try_from(count).unwrap()
}

fn bits(terms: &[f32]) -> Vec<u32> {
    terms.iter().map(|term| term.to_bits()).collect()
}

proptest! {
    #[test]
    fn terms_are_the_products_of_the_dense_matrix_of_the_index((data, history) in cases(), users_max in 1_usize..40) {
        let model = model(&data, users_max);
        let matrix = dense(&model, &data);
        let stored = of_user(&data, 0);
        prop_assert_eq!(model.view().history(0), Some(stored.clone()));
        for history in [&history, &stored] {
            let expected = reference(&matrix, &data, history);
            for (item, (term, expected)) in model.view().terms(history).iter().zip(&expected).enumerate() {
                prop_assert!((f64::from(*term) - expected).abs() <= 1e-6 * expected, "{item}: {term} {expected}");
            }
        }
    }

    #[test]
    fn the_own_row_changes_the_terms_of_its_own_items_only((data, _) in cases(), users_max in 1_usize..40, limit in 0_usize..400) {
        let model = model(&data, users_max);
        for user in 0..index(data.users()) {
            let stored = of_user(&data, user);
            let folded_in = History { user: None, ..stored.clone() };
            let [with, without] = [&folded_in, &stored].map(|history| bits(&model.view().bounded_terms(history, limit)));
            for item in (0..index(data.items())).filter(|item| !stored.items.contains(item)) {
                prop_assert_eq!(with[item as usize], without[item as usize], "user {}, item {}", user, item);
            }
        }
    }

    #[test]
    fn a_walk_stays_within_its_additions_and_keeps_what_weighs_most((data, history) in cases(), limit in 0_usize..300) {
        let model = model(&data, 40);
        let view = model.view();
        let sources = view.sources(&history, limit);
        let visits = view.visits(&sources, limit);
        let lists = |item: u32| view.users_of_items.row(item as usize).columns.len();
        let rows = |user: u32| view.items_of_users.row(user as usize).columns.len();
        let first: usize = sources.iter().map(|source| lists(source.item)).sum();
        let second: usize = visits.iter().map(|visit| rows(visit.user)).sum();
        prop_assert!(first <= limit / 2 && first + second <= limit, "{first} + {second} > {limit}");
        let all = view.visits(&sources, usize::MAX);
        prop_assert!(visits.iter().all(|visit| all.contains(visit)));
        if let Some(least) = visits.iter().map(|visit| visit.weight).min_by(f64::total_cmp) {
            // Weights that differ by less than 1 % count as equal.
            let longest = all.iter().map(|visit| rows(visit.user)).max().unwrap_or(0);
            for left_out in all.iter().filter(|visit| !visits.contains(visit)) {
                prop_assert!(left_out.weight <= least * 1.01 || first + second + longest > limit, "{left_out:?}");
            }
        }
        if limit >= 2 * view.additions(history.items.iter().copied()).max(view.histories.entries() + first) {
            prop_assert_eq!(visits, all);
        }
    }

    #[test]
    fn sums_of_pairs_give_the_bits_of_walks((data, history) in cases(), users_max in 1_usize..40) {
        let data = data.map_values(|_| 1.0);
        let walked = model(&data, users_max);
        let matrix = dense(&walked, &data);
        let walked = TwoHopModel { scales: walked.scales.rounded(), ..walked };
        let pairs = model(&data, users_max).with_pairs();
        let targets: Vec<u32> = (0..index(data.items())).collect();
        let folded_in = History { user: None, ..of_user(&data, 0) };
        for history in [history, of_user(&data, 0), folded_in] {
            let terms = pairs.view().terms(&history);
            prop_assert_eq!(bits(&terms), bits(&walked.view().bounded_terms(&history, usize::MAX)));
            // Rounding changes them by little.
            for (term, expected) in terms.iter().zip(reference(&matrix, &data, &history)) {
                prop_assert!((f64::from(*term) - expected).abs() <= 1e-3 * expected, "{term} {expected}");
            }
            for (term, parts) in terms.iter().zip(pairs.view().bounded_contributions(&history, &targets, 0)) {
                let sum: f64 = parts.iter().sum();
                prop_assert!((f64::from(*term) - sum).abs() <= 1e-6 * sum, "{term} {sum}");
            }
        }
    }

    #[test]
    fn contributions_add_up_to_the_term((data, history) in cases(), users_max in 1_usize..40, limit in 0_usize..600) {
        let model = model(&data, users_max);
        let targets: Vec<u32> = (0..index(data.items())).collect();
        for history in [history, of_user(&data, 0)] {
            let terms = model.view().bounded_terms(&history, limit);
            let parts = model.view().bounded_contributions(&history, &targets, limit);
            for (term, parts) in terms.iter().zip(&parts) {
                let sum: f64 = parts.iter().sum();
                prop_assert_eq!(parts.len(), history.items.len());
                prop_assert!((f64::from(*term) - sum).abs() <= 1e-6 * sum, "{term} {sum}");
            }
        }
    }
}

#[test]
fn equal_weights_within_a_limit_are_visited_in_order() {
    // Ten users with the same two items: every weight is equal, and rows have two items.
    let entries = (0..10).flat_map(|user| [0, 1].map(|item| Entry { user, item, value: 1.0 })).collect();
    let data = Interactions::from_entries(10, 2, entries).unwrap();
    let model = model(&data, 40);
    let history = History { items: vec![0], weights: vec![1.0], user: None };
    let sources = model.view().sources(&history, 24);
    let visits = model.view().visits(&sources, 24);
    // Ten additions of the first hop leave fourteen, which are seven rows.
    let users: Vec<u32> = visits.iter().map(|visit| visit.user).collect();
    assert_eq!(users, [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_sample_has_as_many_users_as_the_limit_and_is_a_function_of_the_seed() {
    let entries = (0..100).map(|user| Entry { user, item: 0, value: 1.0 }).collect();
    let data = Interactions::from_entries(100, 1, entries).unwrap();
    let sample = |seed| TwoHopIndex::sampled(&data, 1, 30, seed).users_of_items().columns().to_vec();
    assert_eq!(sample(1).len(), 30);
    assert!(sample(1).is_sorted_by(|x, y| x < y));
    assert_eq!(sample(1), sample(1));
    assert_ne!(sample(1), sample(2));
    assert_eq!(TwoHopIndex::sampled(&data, 1, 100, 1).items_of_users(), None);
}

#[test]
fn pairs_are_summed_if_items_are_few_and_all_weights_are_1() {
    // Users have two of the items each, in turn.
    let are_faster = |users: u32, items: u32, value: f32| {
        let row = |user: u32| [user % items, (user + 1) % items].map(|item| Entry { user, item, value });
        let data = Interactions::from_entries(users as usize, items as usize, (0..users).flat_map(row).collect());
        let model = model(&data.unwrap(), 4096);
        TwoHopPairs::are_faster(model.histories.view(), &model.index, model.view().items_of_users)
    };
    // A walk from two lists of 2,000 users each to their 8,000 items, against 2 × 10 sums.
    assert!(are_faster(10_000, 10, 1.0));
    assert!(!are_faster(10_000, 10, 2.0), "weights");
    // A walk from two lists of four users to their 16 items takes less than 2 × 2,500 / 8 sums.
    assert!(!are_faster(5_000, 2_500, 1.0));
    // A walk from two lists of 200 users each, against 2 × 4,096 / 8 sums.
    let items = index(PAIR_ITEMS_MAX);
    assert!(are_faster(100 * items, items, 1.0));
    assert!(!are_faster(100 * (items + 1), items + 1, 1.0), "too many items");
}

#[test]
fn long_histories_are_added_up_from_the_items_with_the_fewest_users() {
    // Item i of 1,100 has 2 users if it is below 1,000, and 3 otherwise; all share item 1,100.
    let rows = (0..1100_u32).flat_map(|item| (0..2 + u32::from(item >= 1000)).map(move |user| (user, item)));
    let rows = rows.chain((0..3).map(|user| (user, 1100)));
    let entries = rows.map(|(user, item)| Entry { user, item, value: 1.0 }).collect();
    let data = Interactions::from_entries(3, 1101, entries).unwrap();
    let pairs = model(&data, 40).with_pairs();
    let history = |items: Vec<u32>| History { weights: vec![1.0; items.len()], items, user: None };
    let added = history((0..1024).collect());
    assert_eq!(pairs.view().terms(&history((0..1100).collect())), pairs.view().terms(&added));
    assert_ne!(pairs.view().terms(&history((0..1023).collect())), pairs.view().terms(&added));
}
