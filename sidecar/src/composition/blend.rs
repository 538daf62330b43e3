//! The lists of several parts as one. Pure.

use std::{cmp::Ordering, collections::HashMap};

use answering::Item;
use sidecar_contract::composition::Normalize;

use crate::limits::{BLEND_DEPTH_MIN, RANK_OFFSET};

/// The list of a part.
#[derive(Debug)]
pub struct WeightedList {
    /// Weight of its scores.
    pub weight: f64,
    /// Its items, best first.
    pub items: Vec<Item<'static>>,
}

/// An item of the blend.
struct Blended {
    item: Item<'static>,
    /// Sum of its weighted scores.
    sum: f64,
    /// The largest of them, which names its source.
    largest: f64,
}

/// Number of items that each part is asked for, so that an item that is low in each list can be
/// high in the blend.
pub fn depth(n: usize) -> usize {
    n.saturating_mul(2).max(BLEND_DEPTH_MIN)
}

/// The items of all lists, best first. The score of an item is the mean of its normalized scores in
/// the lists, by weight; it is 0 in a list that does not have the item. Scores are from 0 to 1.
/// Items of equal score are in the order of their ids.
pub fn blend(lists: Vec<WeightedList>, normalize: Normalize) -> Vec<Item<'static>> {
    let weights: f64 = lists.iter().map(|list| list.weight).sum();
    let mut blended: HashMap<String, Blended> = HashMap::new();
    for WeightedList { weight, items } in lists {
        let scores = normalized(&items, normalize);
        let mut known = std::collections::HashSet::new();
        for (item, score) in items.into_iter().zip(scores) {
            // A list that repeats an item must not raise it.
            if !known.insert(item.id.clone()) {
                continue;
            }
            let contribution = weight * score;
            match blended.get_mut(&*item.id) {
                None => {
                    let id = item.id.clone().into_owned();
                    blended.insert(id, Blended { item, sum: contribution, largest: contribution });
                }
                Some(known) => known.add(&item, contribution),
            }
        }
    }
    let mut ranked: Vec<Blended> = blended.into_values().collect();
    ranked.sort_by(|x, y| match y.sum.total_cmp(&x.sum) {
        Ordering::Equal => x.item.id.cmp(&y.item.id),
        order => order,
    });
    #[expect(clippy::cast_possible_truncation, reason = "scores are of single precision")]
    let scored = |Blended { item, sum, .. }: Blended| Item { score: (sum / weights) as f32, ..item };
    ranked.into_iter().map(scored).collect()
}

impl Blended {
    fn add(&mut self, item: &Item<'static>, contribution: f64) {
        self.sum += contribution;
        let title = self.item.title.take().or_else(|| item.title.clone());
        if contribution > self.largest {
            self.largest = contribution;
            self.item.source = item.source;
        }
        self.item.title = title;
    }
}

/// Scores of a list from 0 to 1.
///
/// By rank: the reciprocal of the rank with an offset (Cormack, Clarke, Büttcher 2009), divided by
/// that of the first. By score: the lowest score of the list is 0 and the highest is 1 (Lee 1997);
/// if all are equal, they are 1.
fn normalized(items: &[Item<'_>], normalize: Normalize) -> Vec<f64> {
    match normalize {
        Normalize::Rank => {
            let by_rank = |rank: usize| {
                #[expect(clippy::cast_precision_loss, reason = "a list has at most thousands of items")]
                let rank = rank as f64;
                (RANK_OFFSET + 1.0) / (RANK_OFFSET + 1.0 + rank)
            };
            (0..items.len()).map(by_rank).collect()
        }
        Normalize::Score => {
            let scores = || items.iter().map(|item| f64::from(item.score));
            let (low, high) = (scores().fold(f64::INFINITY, f64::min), scores().fold(f64::NEG_INFINITY, f64::max));
            let range = high - low;
            scores().map(|score| if range > 0.0 { (score - low) / range } else { 1.0 }).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use answering::Source;
    use proptest::prelude::*;

    use super::*;

    fn list(weight: f64, source: Source, items: &[(&str, f32)]) -> WeightedList {
        let item = |(id, score): &(&str, f32)| Item {
            id: (*id).to_owned().into(),
            title: None,
            score: *score,
            source,
            explanation: None,
        };
        WeightedList { weight, items: items.iter().map(item).collect() }
    }

    fn scores(items: &[Item<'_>]) -> Vec<(String, f32)> {
        items.iter().map(|item| (item.id.to_string(), item.score)).collect()
    }

    #[test]
    fn ranks_are_blended_by_their_reciprocals_with_an_offset_of_60() {
        let lists = vec![
            list(2.0, Source::Model, &[("a", 9.0), ("b", 8.0)]),
            list(1.0, Source::Popular, &[("c", 500.0), ("b", 400.0)]),
        ];
        let items = blend(lists, Normalize::Rank);
        // a: 2 · 1 / 3; b: (2 + 1) · 61/62 / 3; c: 1 · 1 / 3.
        let expected = [("b", 61.0 / 62.0), ("a", 2.0 / 3.0), ("c", 1.0 / 3.0)];
        for ((id, score), (expected_id, expected)) in scores(&items).into_iter().zip(expected) {
            assert_eq!(id, expected_id);
            assert!((f64::from(score) - expected).abs() < 1e-6, "{id}: {score}");
        }
        let sources: Vec<Source> = items.iter().map(|item| item.source).collect();
        assert_eq!(sources, [Source::Model, Source::Model, Source::Popular], "that of the largest contribution");
    }

    #[test]
    fn scores_are_blended_on_the_range_of_each_list() {
        let lists = vec![
            list(1.0, Source::Model, &[("a", 5.0), ("b", 4.0), ("c", 1.0)]),
            list(3.0, Source::Model, &[("c", -1.0), ("b", -3.0)]),
            list(4.0, Source::Model, &[("d", 7.0)]),
        ];
        // a: 1·1; b: 1·.75 + 3·0; c: 1·0 + 3·1; d: 4·1, because one score has no range. Sum of weights: 8.
        let expected = [("d", 0.5), ("c", 0.375), ("a", 0.125), ("b", 0.09375)];
        assert_eq!(scores(&blend(lists, Normalize::Score)), expected.map(|(id, score)| (id.to_owned(), score)));
    }

    #[test]
    fn equal_scores_are_in_the_order_of_ids_and_a_repeated_item_counts_once() {
        let lists = vec![
            list(1.0, Source::Model, &[("b", 1.0), ("b", 1.0)]),
            list(1.0, Source::Model, &[("a", 1.0)]),
            list(1.0, Source::Model, &[]),
        ];
        let third = 1.0 / 3.0;
        assert_eq!(scores(&blend(lists, Normalize::Rank)), [("a".to_owned(), third), ("b".to_owned(), third)]);
        assert!(blend(Vec::new(), Normalize::Score).is_empty());
    }

    proptest! {
        /// The order of one list stays, and the order of lists does not matter.
        #[test]
        fn a_list_alone_keeps_its_order(ids in proptest::collection::hash_set("[a-z]{1,3}", 0..40), weight in 0.1..9.0) {
            let ids: Vec<String> = ids.into_iter().collect();
            let of = || list(weight, Source::Model, &ids.iter().map(|id| (id.as_str(), 1.0)).collect::<Vec<_>>());
            let items = blend(vec![of()], Normalize::Rank);
            prop_assert_eq!(items.iter().map(|item| item.id.to_string()).collect::<Vec<_>>(), ids.clone());
            let other = || list(1.0, Source::Popular, &[("a", 2.0), ("zz", 1.0)]);
            let (one, two) = (blend(vec![of(), other()], Normalize::Rank), blend(vec![other(), of()], Normalize::Rank));
            prop_assert_eq!(scores(&one), scores(&two));
        }
    }
}
