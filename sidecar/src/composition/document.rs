//! The documents of a part as answers. A part is another process, of another version perhaps: what
//! is not understood of a document is ignored, and a source that is unknown counts as the model.

use std::borrow::Cow;

use answering::{
    Answer, Ask, Contribution, Explanation, Item, LeftOut, Part, Reason, Rejection, Source, limits::CONTRIBUTIONS_MAX,
};
use serde::Deserialize;

use crate::limits::PART_DETAIL_CHARS_MAX;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    model: Model,
    #[serde(default)]
    degraded: bool,
    items: Vec<DocumentItem>,
    #[serde(default)]
    left_out: Vec<DocumentLeftOut>,
    #[serde(default)]
    matches: Option<usize>,
    #[serde(default)]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Model {
    revision: String,
    variant: String,
    #[serde(default)]
    catalogue: Option<String>,
}

#[derive(Deserialize)]
struct DocumentItem {
    id: String,
    #[serde(default)]
    title: Option<String>,
    score: f32,
    source: String,
    #[serde(default)]
    explanation: Option<DocumentExplanation>,
}

#[derive(Deserialize)]
struct DocumentExplanation {
    contributions: Vec<DocumentContribution>,
    remainder: f32,
    #[serde(default)]
    baseline: Option<f32>,
}

#[derive(Deserialize)]
struct DocumentContribution {
    id: String,
    #[serde(default)]
    title: Option<String>,
    contribution: f32,
}

#[derive(Deserialize)]
struct DocumentLeftOut {
    id: String,
    reason: String,
}

#[derive(Deserialize)]
struct Batch {
    responses: Vec<Document>,
}

#[derive(Deserialize)]
struct Problem {
    r#type: String,
    detail: String,
}

/// The answers to these questions in a response with status 200; `None` for a document that is not
/// one of a serving pod.
pub fn answers(part: &str, asks: &[(&Ask, usize)], document: &[u8]) -> Option<Vec<Answer<'static>>> {
    let documents = match asks {
        [_] => vec![serde_json::from_slice::<Document>(document).ok()?],
        _ => serde_json::from_slice::<Batch>(document).ok()?.responses,
    };
    if documents.len() != asks.len() {
        return None;
    }
    let answers = documents.into_iter().zip(asks).map(|(document, (ask, n))| answer(part, ask, *n, document));
    Some(answers.collect())
}

fn answer(part: &str, ask: &Ask, n: usize, document: Document) -> Answer<'static> {
    let Document { model: Model { revision, variant, catalogue }, degraded, items, left_out, matches, next } = document;
    let left_out = left_out.into_iter().filter_map(|DocumentLeftOut { id, reason }| {
        let reason = reason_of(&reason)?;
        Some(LeftOut { id, reason })
    });
    Answer {
        request_id: ask.request_id.clone(),
        parts: vec![Part { name: Some(part.to_owned()), revision, variant, catalogue }].into(),
        // Not more than requested, whatever the part sends.
        items: items.into_iter().take(n).filter_map(item).collect(),
        left_out: left_out.collect(),
        matches,
        next,
        degraded,
        missing: Vec::new(),
    }
}

/// An item; `None` if its score is not a finite number.
fn item(DocumentItem { id, title, score, source, explanation }: DocumentItem) -> Option<Item<'static>> {
    let source = Source::ALL.into_iter().find(|known| known.as_str() == source).unwrap_or(Source::Model);
    let title = title.map(Cow::Owned);
    score.is_finite().then(|| Item { id: id.into(), title, score, source, explanation: explanation.map(explained) })
}

fn explained(DocumentExplanation { contributions, remainder, baseline }: DocumentExplanation) -> Explanation<'static> {
    let contribution = |DocumentContribution { id, title, contribution }| Contribution {
        id: Cow::Owned(id),
        title: title.map(Cow::Owned),
        contribution,
    };
    let contributions = contributions.into_iter().take(CONTRIBUTIONS_MAX).map(contribution).collect();
    Explanation { contributions, remainder, baseline }
}

fn reason_of(reason: &str) -> Option<Reason> {
    Some(match reason {
        "unknown" => Reason::Unknown,
        "excluded" => Reason::Excluded,
        "seen" => Reason::Seen,
        "unavailable" => Reason::Unavailable,
        "filtered" => Reason::Filtered,
        "beyondN" => Reason::BeyondN,
        _ => return None,
    })
}

/// What a part states about a question that it rejects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Kind.
    pub kind: Rejection,
    /// The field, what was expected, what to try; bounded.
    pub detail: String,
    /// Index of the question in its batch.
    pub index: Option<usize>,
}

/// What a problem document states about a question; `None` for one that states nothing.
pub fn rejection(document: &[u8]) -> Option<Rejected> {
    let Problem { r#type, detail } = serde_json::from_slice(document).ok()?;
    let kind = match r#type.rsplit(':').next()? {
        "invalid-field" => Rejection::InvalidField,
        "unanswerable" => Rejection::Unanswerable,
        "unknown-item" => Rejection::UnknownItem,
        "cursor-gone" => Rejection::CursorGone,
        _ => return None,
    };
    let (index, detail) = match indexed(&detail) {
        Some((index, rest)) => (Some(index), rest),
        None => (None, detail.as_str()),
    };
    Some(Rejected { kind, detail: detail.chars().take(PART_DETAIL_CHARS_MAX).collect(), index })
}

/// Index and rest of a detail about a question of a batch: `requests[7].user: missing`.
fn indexed(detail: &str) -> Option<(usize, &str)> {
    let (index, rest) = detail.strip_prefix("requests[")?.split_once("].")?;
    Some((index.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use answering::{Query, RequestId};
    use serde_json::json;

    use super::*;
    use crate::api::response::{self, ResponseFormat};

    fn ask() -> Ask {
        Ask::new(RequestId::new(), Query::Similar { item: "i".to_owned() })
    }

    fn whole(ask: &Ask) -> Answer<'static> {
        let contribution = Contribution { id: "h".into(), title: Some("H".into()), contribution: 0.25 };
        let explanation = Explanation { contributions: vec![contribution], remainder: 0.5, baseline: Some(3.0) };
        let item = |source| Item { id: "a".into(), title: None, score: 1.5, source, explanation: None };
        let mut items: Vec<_> = Source::ALL.map(item).into();
        items[0].explanation = Some(explanation);
        items[1].title = Some("A".into());
        let reasons = ["Unknown", "Excluded", "Seen", "Unavailable", "Filtered", "BeyondN"];
        let reason = |name: &str| match name {
            "Unknown" => Reason::Unknown,
            "Excluded" => Reason::Excluded,
            "Seen" => Reason::Seen,
            "Unavailable" => Reason::Unavailable,
            "Filtered" => Reason::Filtered,
            _ => Reason::BeyondN,
        };
        Answer {
            request_id: ask.request_id.clone(),
            parts: vec![Part {
                name: None,
                revision: "0123456789".to_owned(),
                variant: "canary".to_owned(),
                catalogue: Some("v1".to_owned()),
            }]
            .into(),
            items,
            left_out: reasons.map(|name| LeftOut { id: name.to_owned(), reason: reason(name) }).into(),
            matches: Some(3),
            next: Some("cursor".to_owned()),
            degraded: true,
            missing: Vec::new(),
        }
    }

    #[test]
    fn a_document_of_a_serving_pod_is_the_answer_that_it_was_made_of() {
        let ask = ask();
        let mut expected = whole(&ask);
        let document = response::recommendations(&expected, ResponseFormat::Json);
        expected.parts.to_mut()[0].name = Some("films".to_owned());
        assert_eq!(answers("films", &[(&ask, 10)], &document), Some(vec![expected.clone()]));
        let shorter = answers("films", &[(&ask, 2)], &document).unwrap();
        assert_eq!(shorter[0].items, expected.items[..2]);
        let parts = [response::part(&expected), response::part(&expected)];
        let batch = response::batch(&parts, &ask.request_id);
        assert_eq!(answers("films", &[(&ask, 10), (&ask, 10)], &batch), Some(vec![expected.clone(), expected]));
        assert_eq!(answers("films", &[(&ask, 10), (&ask, 10), (&ask, 10)], &batch), None);
    }

    #[test]
    fn what_a_newer_part_adds_is_ignored() {
        let ask = ask();
        let document = json!({
            "requestId": "r", "model": {"revision": "0123456789", "variant": "default", "colour": "red"},
            "items": [{"id": "a", "score": 1, "source": "oracle"}],
            "leftOut": [{"id": "c", "reason": "tired"}],
        });
        let answers = answers("films", &[(&ask, 10)], document.to_string().as_bytes()).unwrap();
        assert_eq!(
            answers[0].items.iter().map(|item| (&*item.id, item.source)).collect::<Vec<_>>(),
            [("a", Source::Model)]
        );
        assert!(answers[0].left_out.is_empty());
        assert_eq!(super::answers("films", &[(&ask, 10)], b"{}"), None);
        // No serving pod sends a number beyond single precision.
        let beyond = document.to_string().replace("\"score\":1", "\"score\":1e300");
        assert_eq!(super::answers("films", &[(&ask, 10)], beyond.as_bytes()), None);
    }

    #[test]
    fn only_a_problem_with_the_question_is_a_rejection() {
        let problem = |kind: &str| json!({"type": format!("urn:recmesh:problem:{kind}"), "detail": "x".repeat(5000)});
        let rejected = |kind: &str| rejection(problem(kind).to_string().as_bytes());
        let long = rejected("unknown-item").unwrap();
        assert_eq!((long.kind, long.detail.len(), long.index), (Rejection::UnknownItem, PART_DETAIL_CHARS_MAX, None));
        assert_eq!(rejected("overloaded"), None);
        let of_batch = json!({"type": "urn:recmesh:problem:invalid-field", "detail": "requests[7].user: missing"});
        let of_batch = rejection(of_batch.to_string().as_bytes()).unwrap();
        assert_eq!((of_batch.index, of_batch.detail.as_str()), (Some(7), "user: missing"));
        assert_eq!(rejection(b"<html>"), None);
    }
}
