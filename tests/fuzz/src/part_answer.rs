//! Documents of a part of a composition: an answer, a batch of answers, a problem.

use std::{collections::HashSet, sync::LazyLock};

use answering::{Answer, Ask, Item, Query, RequestId};
use recommender_sidecar::composition::{
    blend::{WeightedList, blend},
    document,
};
use sidecar_contract::composition::Normalize;

/// Items that a part is asked for; short inputs have more.
const N: usize = 3;

static ASK: LazyLock<Ask> = LazyLock::new(|| Ask::new(RequestId::new(), Query::Similar { item: "item".to_owned() }));

/// A response of a part. Returns whether it answers one question or two, or states a problem.
pub fn part_answer(input: &[u8]) -> bool {
    let one = document::answers("part", &[(&ASK, N)], input);
    let two = document::answers("part", &[(&ASK, N), (&ASK, N)], input);
    for (answers, asked) in [(&one, 1), (&two, 2)] {
        let Some(answers) = answers else { continue };
        assert_eq!(answers.len(), asked);
        answers.iter().for_each(check);
    }
    let rejection = document::rejection(input);
    one.is_some() || two.is_some() || rejection.is_some()
}

/// No more items than asked for, with finite scores; and the blend with itself is a list.
fn check(answer: &Answer<'static>) {
    assert!(answer.items.len() <= N, "{} items", answer.items.len());
    assert!(answer.items.iter().all(|item| item.score.is_finite()));
    for normalize in [Normalize::Rank, Normalize::Score] {
        let list = |weight| WeightedList { weight, items: answer.items.clone() };
        let blended = blend(vec![list(1.0), list(0.25)], normalize);
        let ids: HashSet<&str> = blended.iter().map(|item| &*item.id).collect();
        assert_eq!(ids.len(), blended.len(), "an item is twice in {blended:?}");
        assert_eq!(ids, answer.items.iter().map(|item| &*item.id).collect(), "another item is in {blended:?}");
        let score = |item: &Item<'_>| item.score;
        assert!(blended.iter().map(score).all(|score| (0.0..=1.0).contains(&score)), "{blended:?}");
        assert!(blended.iter().map(score).is_sorted_by(|a, b| a >= b), "{blended:?}");
    }
}
