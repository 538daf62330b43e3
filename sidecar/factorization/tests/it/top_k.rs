//! The best items of a catalogue, compared with a full sort.

use factorization::Catalogue;
use ndarray::Array2;
use proptest::prelude::*;

proptest! {
    #[test]
    fn top_k_is_the_prefix_of_a_full_sort(
        rows in prop::collection::vec(prop::collection::vec(-3_i8..=3, 5), 0..60),
        query in prop::collection::vec(-3_i8..=3, 5),
        n in 0_usize..70,
        excluded in prop::collection::btree_set(0_u32..60, 0..20),
    ) {
        // Products of small integers are exact and often equal, so ties are tested, too.
        let factors = Array2::from_shape_fn((rows.len(), 5), |(i, j)| f32::from(rows[i][j]));
        let query: Vec<f32> = query.into_iter().map(f32::from).collect();
        let mut all: Vec<(u32, f32)> = (0..u32::try_from(rows.len()).unwrap())
            .filter(|item| !excluded.contains(item))
            .map(|item| (item, factors.row(item as usize).iter().zip(&query).map(|(a, b)| a * b).sum()))
            .collect();
        all.sort_by(|x, y| y.1.partial_cmp(&x.1).unwrap().then(x.0.cmp(&y.0)));
        all.truncate(n);
        let best: Vec<(u32, f32)> =
            Catalogue::new(factors.view()).best(&query, n, |item| !excluded.contains(&item)).iter().map(|s| (s.item, s.score)).collect();
        // +0.0 and −0.0 are equal here but different in the total order.
        let zero = |list: Vec<(u32, f32)>| list.into_iter().map(|(i, s)| (i, s + 0.0)).collect::<Vec<_>>();
        prop_assert_eq!(zero(best), zero(all));
    }
}

#[test]
fn batched_lists_equal_single_ones() {
    // Several blocks; the last one is shorter.
    let (items, factors) = (1000, 70);
    let value = |i: usize, j: usize| ((i * 7919 + j * 104_729) % 2001) as f32 / 1000.0 - 1.0;
    let rows = Array2::from_shape_fn((items, factors), |(i, j)| value(i, j));
    let queries: Vec<Vec<f32>> = (0..5).map(|q| (0..factors).map(|j| value(j + 13, q)).collect()).collect();
    let queries: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
    let odd_and_even = |query: usize, item: u32| (item as usize + query).is_multiple_of(2);
    let catalogue = Catalogue::new(rows.view());
    let batch = catalogue.best_for_each(&queries, 30, odd_and_even);
    assert_eq!(batch.len(), queries.len());
    for (index, (list, query)) in batch.iter().zip(&queries).enumerate() {
        assert_eq!(*list, catalogue.best(query, 30, |item| odd_and_even(index, item)));
        assert_eq!(list.len(), 30);
    }
    assert!(catalogue.best_for_each(&[], 3, |_, _| true).is_empty());
}

#[test]
fn items_with_nan_scores_are_never_recommended() {
    let factors = Array2::from_shape_vec((4, 1), vec![f32::NAN, -1.0, f32::NAN, 2.0]).unwrap();
    let best = Catalogue::new(factors.view()).best(&[1.0], 4, |_| true);
    assert_eq!(best.iter().map(|scored| scored.item).collect::<Vec<_>>(), vec![3, 1]);
}

#[test]
fn the_most_similar_item_is_a_multiple() {
    let factors = Array2::from_shape_vec((4, 2), vec![1.0, 2.0, 3.0, 6.0, 2.0, -1.0, 0.0, 0.0]).unwrap();
    let catalogue = Catalogue::new(factors.view());
    let similar = catalogue.similar(0, 3, |_| true);
    assert_eq!(similar.iter().map(|s| s.item).collect::<Vec<_>>(), vec![1, 2, 3]);
    assert!((similar[0].score - 1.0).abs() < 1e-6);
    assert!(similar[1].score.abs() < 1e-6 && similar[2].score.abs() < 1e-6);
    assert!(catalogue.similar(9, 3, |_| true).is_empty());
}
