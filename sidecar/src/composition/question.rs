//! Questions as bodies of requests to a part.

use answering::{Ask, HistoryEntry, Page, Query};
use bytes::Bytes;
use catalogue::{Condition, Filter};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Cursor of the first page.
const FIRST_PAGE: &str = "*";

/// A request to a part: its path and its body.
#[derive(Debug)]
pub struct Question {
    /// Path.
    pub path: &'static str,
    /// Body, as JSON.
    pub body: Bytes,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RecommendBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    n: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    history: Vec<HistoryRow<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    exclude: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates: Option<&'a [String]>,
    #[serde(rename = "where", skip_serializing_if = "Map::is_empty")]
    conditions: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    include_seen: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    explain: bool,
}

#[derive(Serialize)]
struct HistoryRow<'a> {
    item: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rating: Option<f32>,
}

#[derive(Serialize)]
struct SimilarBody<'a> {
    item: &'a str,
    n: usize,
    #[serde(rename = "where", skip_serializing_if = "Map::is_empty")]
    conditions: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<&'a str>,
}

/// The request for one question, or for several; each with its number of items. Questions about
/// similar items are never several.
pub fn question(asks: &[(&Ask, usize)]) -> Question {
    match asks {
        [(ask, n)] => {
            let path = if matches!(ask.query, Query::Similar { .. }) { "/similar" } else { "/recommend" };
            Question { path, body: bytes(&one(ask, *n)) }
        }
        asks => {
            let requests: Vec<Value> = asks.iter().map(|(ask, n)| one(ask, *n)).collect();
            Question { path: "/recommend:batch", body: bytes(&json!({"requests": requests})) }
        }
    }
}

fn one(ask: &Ask, n: usize) -> Value {
    let cursor = match &ask.page {
        Page::Only => None,
        Page::First => Some(FIRST_PAGE),
        Page::After(cursor) => Some(cursor.as_str()),
    };
    let conditions = conditions(&ask.filter.matching);
    let body = match &ask.query {
        Query::Similar { item } => serde_json::to_value(SimilarBody { item, n, conditions, cursor }),
        Query::Recommend { user, history } => serde_json::to_value(RecommendBody {
            user: user.as_deref(),
            n,
            history: history.iter().map(|HistoryEntry { item, rating }| HistoryRow { item, rating: *rating }).collect(),
            exclude: &ask.filter.exclude,
            candidates: ask.filter.candidates.as_deref(),
            conditions,
            cursor,
            include_seen: ask.filter.include_seen,
            explain: ask.explain,
        }),
    };
    // Text and finite numbers serialize.
    body.unwrap_or_default()
}

/// Whether a column has values that an item must have, and another condition: JSON, in which the
/// parts are asked, has one entry for each column.
pub fn has_several_conditions(filter: &Filter) -> bool {
    let conditions = filter.conditions();
    let is_alone = |column: &String| conditions.iter().filter(|(other, _)| other == column).count() == 1;
    conditions.iter().any(|(column, condition)| matches!(condition, Condition::AnyOf(_)) && !is_alone(column))
}

/// Conditions as JSON has them: one entry for each column. A form can state both bounds of a range
/// apart, and the composer rejects a question that [`has_several_conditions`].
fn conditions(filter: &Filter) -> Map<String, Value> {
    let mut conditions = Map::new();
    for (column, condition) in filter.conditions() {
        let entry = conditions.entry(column.clone()).or_insert_with(|| json!({}));
        match (condition, entry) {
            (Condition::AnyOf(values), entry) => *entry = json!(values),
            (Condition::NoneOf(values), Value::Object(entry)) => {
                entry.insert("not".to_owned(), json!(values));
            }
            (Condition::Range { min, max }, Value::Object(entry)) => {
                let bounds = [("min", min), ("max", max)].into_iter();
                entry.extend(bounds.filter_map(|(name, bound)| Some((name.to_owned(), json!(bound.as_ref()?)))));
            }
            _ => {}
        }
    }
    conditions
}

fn bytes(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

#[cfg(test)]
mod tests {
    use answering::RequestId;
    use sidecar_contract::ServingLimits;

    use super::*;
    use crate::api::{ContentType, Parsed, parse};

    /// What a part parses of a question.
    fn parsed(path: &str, body: &[u8], id: &RequestId) -> Vec<Ask> {
        match parse(path, ContentType::Json, body, id, &ServingLimits::default()).unwrap() {
            Parsed::One(ask, _) => vec![ask],
            Parsed::Batch(asks) => asks,
        }
    }

    #[test]
    fn a_part_parses_the_question_that_was_asked() {
        let id = RequestId::new();
        let bodies = [
            ("/recommend", r#"{"user": "u\"1", "n": 7}"#),
            ("/recommend", r#"{"history": [{"item": "a", "rating": 0.1}, {"item": "b"}], "exclude": ["c"]}"#),
            ("/recommend", r#"{"user": "u", "candidates": ["x", "y"], "includeSeen": true, "explain": true}"#),
            ("/recommend", r#"{"user": "u", "cursor": "*", "where": {"genre": ["a", "b"], "year": {"min": 5}}}"#),
            ("/recommend", r#"{"user": "u", "cursor": "abc", "where": {"p": {"not": ["x"], "min": "1", "max": 2.5}}}"#),
            ("/similar", r#"{"item": "i", "n": 3, "where": {"genre": {"not": ["a"]}}, "cursor": "*"}"#),
            ("/recommend:batch", r#"{"requests": [{"user": "a", "n": 1}, {"history": [{"item": "b"}], "n": 2}]}"#),
        ];
        for (path, body) in bodies {
            let asks = parsed(path, body.as_bytes(), &id);
            let sent = question(&asks.iter().map(|ask| (ask, ask.n)).collect::<Vec<_>>());
            assert_eq!(sent.path, path, "{body}");
            assert_eq!(parsed(path, &sent.body, &id), asks, "{body}: {:?}", sent.body);
        }
    }

    #[test]
    fn values_and_another_condition_of_a_column_are_several() {
        let any = |value: &str| Condition::AnyOf(vec![value.to_owned()]);
        let not = || Condition::NoneOf(vec!["x".to_owned()]);
        let range = || Condition::Range { min: Some("1".to_owned()), max: None };
        let several = |conditions: Vec<(&str, Condition)>| {
            let mut filter = Filter::default();
            for (column, condition) in conditions {
                filter.push(column.to_owned(), condition);
            }
            has_several_conditions(&filter)
        };
        assert!(several(vec![("a", any("x")), ("a", not())]) && several(vec![("a", range()), ("a", any("1"))]));
        assert!(several(vec![("a", any("x")), ("b", not()), ("a", any("y"))]));
        assert!(!several(vec![("a", any("x")), ("b", not())]) && !several(vec![("a", range()), ("a", not())]));
        assert!(!several(vec![]));
    }

    #[test]
    fn both_bounds_of_a_form_are_one_range() {
        let mut filter = Filter::default();
        filter.push("price".to_owned(), Condition::Range { min: Some("1".to_owned()), max: None });
        filter.push("price".to_owned(), Condition::Range { min: None, max: Some("9".to_owned()) });
        assert_eq!(Value::Object(conditions(&filter)), json!({"price": {"min": "1", "max": "9"}}));
    }
}
