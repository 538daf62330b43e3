//! Which answers of a cascade are good enough, and how long a part has to answer. Pure.

use std::time::Duration;

use answering::{Answer, Ask};
use sidecar_contract::composition::Cascade;

/// Whether an answer is good enough.
pub fn is_good(cascade: &Cascade, ask: &Ask, answer: &Answer<'_>) -> bool {
    let items_min = (cascade.min_items as usize).min(ask.n);
    answer.items.len() >= items_min && (cascade.accept_degraded || !answer.degraded)
}

/// The better one of two answers, neither of which is good enough: the one with more items; of
/// equal ones, the earlier.
pub fn better<'a>(earlier: Answer<'a>, later: Answer<'a>) -> Answer<'a> {
    if later.items.len() > earlier.items.len() { later } else { earlier }
}

/// Time for a part, so that those after it have as much.
pub fn time(left: Duration, parts_left: usize) -> Duration {
    left / u32::try_from(parts_left).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use answering::{Item, Query, RequestId, Source};

    use super::*;

    fn answer(items: usize, degraded: bool) -> Answer<'static> {
        let item = Item { id: "a".into(), title: None, score: 1.0, source: Source::Model, explanation: None };
        Answer {
            request_id: RequestId::new(),
            parts: Vec::new().into(),
            items: vec![item; items],
            left_out: Vec::new(),
            matches: None,
            next: None,
            degraded,
            missing: Vec::new(),
        }
    }

    #[test]
    fn few_items_are_good_enough_only_if_few_are_requested() {
        let cascade = |min_items, accept_degraded| Cascade { parts: Vec::new(), min_items, accept_degraded };
        let ask = |n| Ask { n, ..Ask::new(RequestId::new(), Query::Similar { item: "a".to_owned() }) };
        assert!(is_good(&cascade(5, false), &ask(10), &answer(5, false)));
        assert!(!is_good(&cascade(5, false), &ask(10), &answer(4, false)));
        assert!(is_good(&cascade(5, false), &ask(3), &answer(3, false)));
        assert!(!is_good(&cascade(1, false), &ask(3), &answer(3, true)));
        assert!(is_good(&cascade(1, true), &ask(3), &answer(3, true)));
    }

    #[test]
    fn the_earlier_of_equal_answers_is_the_better_one() {
        assert!(better(answer(2, true), answer(2, false)).degraded);
        assert!(better(answer(2, false), answer(3, true)).degraded);
    }

    #[test]
    fn each_part_has_an_even_part_of_the_time_that_is_left() {
        let mut left = Duration::from_millis(900);
        let times = [3, 2, 1].map(|parts_left| {
            let time = time(left, parts_left);
            left -= time;
            time.as_millis()
        });
        assert_eq!(times, [300, 300, 300]);
    }
}
