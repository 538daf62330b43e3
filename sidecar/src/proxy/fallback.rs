//! Answers without a serving pod: the user's last answer, then popular items. Each item states its
//! source.

use std::collections::HashSet;

use answering::{Answer, Ask, DEFAULT_VARIANT, Filter, Item, POPULARITY, Page, Part, Query, Source};

use super::kept_answers::{AnswerKey, KeptAnswer};

/// Key under which the answer to a question is kept; `None` for a history without a user.
pub fn key(query: &Query) -> Option<AnswerKey> {
    match query {
        Query::Recommend { user, history: _ } => user.clone().map(AnswerKey::User),
        Query::Similar { item } => Some(AnswerKey::Item(item.clone())),
    }
}

/// The answer from what is known; `None` if nothing is, or if only a serving pod can tell which
/// items satisfy the question.
pub fn answer(ask: &Ask, last: Option<KeptAnswer>, popular: Option<&[Item<'static>]>) -> Option<Answer<'static>> {
    let Filter { exclude: _, include_seen: _, candidates, matching } = &ask.filter;
    let is_limited = candidates.is_some() || !matching.is_empty() || ask.page != Page::Only;
    if is_limited || last.is_none() && popular.is_none() {
        return None;
    }
    let popularity =
        || Part { name: None, revision: POPULARITY.to_owned(), variant: DEFAULT_VARIANT.to_owned(), catalogue: None };
    let (part, last) = last.map_or_else(|| (popularity(), Vec::new()), |last| (last.part, last.items));
    let mut taken: HashSet<&str> = left_out(ask).collect();
    let candidates = last.iter().chain(popular.unwrap_or_default());
    let items = candidates.filter(|item| taken.insert(&item.id)).take(ask.n).cloned().collect();
    Some(Answer {
        request_id: ask.request_id.clone(),
        parts: vec![part].into(),
        items,
        left_out: Vec::new(),
        matches: None,
        next: None,
        degraded: true,
        missing: Vec::new(),
    })
}

/// What ranked the first item, which names the answer in metrics.
pub fn source(answer: &Answer<'_>) -> Source {
    answer.items.first().map_or(Source::Popular, |item| item.source)
}

/// Items that the answer must not have. The items of a history were interacted with.
fn left_out(ask: &Ask) -> impl Iterator<Item = &str> {
    let (history, item) = match &ask.query {
        Query::Recommend { history, .. } if !ask.filter.include_seen => (history.as_slice(), None),
        Query::Recommend { .. } => (&[][..], None),
        Query::Similar { item } => (&[][..], Some(item)),
    };
    let history = history.iter().map(|entry| entry.item.as_str());
    history.chain(item.map(String::as_str)).chain(ask.filter.exclude.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use answering::{HistoryEntry, RequestId};

    use super::*;

    fn items(ids: &[&'static str], source: Source) -> Vec<Item<'static>> {
        let item = |id: &&'static str| Item { id: (*id).into(), title: None, score: 1.0, source, explanation: None };
        ids.iter().map(item).collect()
    }

    fn last(ids: &[&'static str]) -> KeptAnswer {
        let (revision, variant) = ("0123456789".to_owned(), "canary".to_owned());
        let part = Part { name: None, revision, variant, catalogue: None };
        KeptAnswer { part, items: items(ids, Source::LastAnswer) }
    }

    fn recommend(n: usize, history: &[&str], exclude: &[&str], include_seen: bool) -> Ask {
        let owned = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<String>>();
        let history = owned(history).into_iter().map(|item| HistoryEntry { item, rating: None }).collect();
        let query = Query::Recommend { user: Some("u".to_owned()), history };
        let filter = Filter { exclude: owned(exclude), include_seen, ..Filter::default() };
        Ask { n, filter, ..Ask::new(RequestId::new(), query) }
    }

    fn ids<'a>(answer: &'a Answer<'_>) -> Vec<(&'a str, &'a str)> {
        answer.items.iter().map(|item| (&*item.id, item.source.as_str())).collect()
    }

    #[test]
    fn the_last_answer_comes_first_and_popular_items_fill_the_rest() {
        let popular = items(&["b", "p", "q", "r"], Source::Popular);
        let ask = recommend(4, &[], &["q"], false);
        let answer = answer(&ask, Some(last(&["a", "b"])), Some(&popular)).unwrap();
        assert_eq!(ids(&answer), [("a", "last-answer"), ("b", "last-answer"), ("p", "popular"), ("r", "popular")]);
        assert_eq!((answer.parts[0].revision.as_str(), answer.degraded), ("0123456789", true));
        assert_eq!((source(&answer), answer.request_id), (Source::LastAnswer, ask.request_id));
    }

    #[test]
    fn excluded_and_seen_items_are_left_out_of_both() {
        let popular = items(&["b", "p"], Source::Popular);
        let of = |ask: Ask| {
            let answer = answer(&ask, Some(last(&["a", "b", "c"])), Some(&popular)).unwrap();
            answer.items.into_iter().map(|item| item.id).collect::<Vec<_>>()
        };
        assert_eq!(of(recommend(9, &["p"], &["a"], false)), ["b", "c"]);
        assert_eq!(of(recommend(9, &["p"], &["a"], true)), ["b", "c", "p"]);
        assert_eq!(of(recommend(1, &[], &["a"], false)), ["b"]);
        let similar = Ask::new(RequestId::new(), Query::Similar { item: "b".to_owned() });
        assert_eq!(of(similar), ["a", "c", "p"]);
    }

    #[test]
    fn only_popular_items_have_no_revision_and_without_any_there_is_no_answer() {
        let ask = recommend(2, &[], &[], false);
        let answered = answer(&ask, None, Some(&items(&["p", "q", "r"], Source::Popular))).unwrap();
        assert_eq!(ids(&answered), [("p", "popular"), ("q", "popular")]);
        assert_eq!(answered.parts[0].revision, POPULARITY);
        assert_eq!(answer(&ask, None, None), None);
    }

    #[test]
    fn conditions_candidates_and_pages_are_never_ignored() {
        let mut matching = catalogue::Filter::default();
        matching.push("genre".to_owned(), catalogue::Condition::AnyOf(vec!["comedy".to_owned()]));
        let ask = recommend(2, &[], &[], false);
        let popular = items(&["p"], Source::Popular);
        for limited in [
            Ask { filter: Filter { matching, ..Filter::default() }, ..ask.clone() },
            Ask { filter: Filter { candidates: Some(Vec::new()), ..Filter::default() }, ..ask.clone() },
            Ask { page: Page::First, ..ask },
        ] {
            assert_eq!(answer(&limited, Some(last(&["a"])), Some(&popular)), None);
        }
    }

    #[test]
    fn users_and_items_have_keys_and_histories_have_none() {
        let history =
            Query::Recommend { user: None, history: vec![HistoryEntry { item: "a".to_owned(), rating: None }] };
        assert_eq!(key(&history), None);
        assert_eq!(key(&Query::Similar { item: "a".to_owned() }), Some(AnswerKey::Item("a".to_owned())));
        assert_eq!(key(&recommend(1, &["a"], &[], false).query), Some(AnswerKey::User("u".to_owned())));
    }
}
