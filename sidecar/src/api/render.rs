//! Answers as JSON documents, written straight from the model: a long answer is never held twice.

use model_snapshot::Metadata;
use serde::Serialize;
use serde_json::{Value, json};
use sidecar_contract::LoadedModel;

use crate::{answer::Item, api::request_id::RequestId, explain::Because, model::ServingModel};

/// The variant of a Recommender that serves one revision to everybody.
const ONLY_VARIANT: &str = "default";

/// Which door asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `{"recommendations": [ids], "requestId"}`.
    Form,
    /// `{"requestId", "model", "items": [{"id", "title", "score", "source", "because", "average", "rest"}]}`.
    Json,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FormAnswer<'a> {
    recommendations: Vec<&'a str>,
    request_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonAnswer<'a> {
    request_id: &'a str,
    model: ModelName<'a>,
    items: Vec<JsonItem<'a>>,
}

#[derive(Serialize)]
struct ModelName<'a> {
    revision: &'a str,
    variant: &'a str,
}

#[derive(Serialize)]
struct JsonItem<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    score: f32,
    source: &'a str,
    #[serde(flatten)]
    because: Option<JsonBecause<'a>>,
}

/// `because`, `average` and `rest` add up to the score.
#[derive(Serialize)]
struct JsonBecause<'a> {
    because: Vec<JsonContribution<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    average: Option<f32>,
    rest: f32,
}

#[derive(Serialize)]
struct JsonContribution<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    contribution: f32,
}

/// A list of items.
pub fn recommendations(model: &ServingModel, items: &[Item], style: Style, id: &RequestId) -> Vec<u8> {
    let snapshot = &model.snapshot;
    match style {
        Style::Form => json_bytes(&FormAnswer {
            recommendations: items.iter().filter_map(|item| snapshot.item_id(item.row)).collect(),
            request_id: id.as_str(),
        }),
        Style::Json => json_bytes(&JsonAnswer {
            request_id: id.as_str(),
            model: ModelName { revision: model.digest.revision(), variant: ONLY_VARIANT },
            items: items
                .iter()
                .filter_map(|item| {
                    let (id, title) = (snapshot.item_id(item.row)?, snapshot.title(item.row));
                    let because = item.because.as_ref().map(|because| json_because(model, because));
                    Some(JsonItem { id, title, score: item.score, source: item.source, because })
                })
                .collect(),
        }),
    }
}

fn json_because<'a>(model: &'a ServingModel, Because { items, average, rest }: &Because) -> JsonBecause<'a> {
    let snapshot = &model.snapshot;
    let named = items.iter().filter_map(|&(row, contribution)| {
        Some(JsonContribution { id: snapshot.item_id(row)?, title: snapshot.title(row), contribution })
    });
    JsonBecause { because: named.collect(), average: *average, rest: *rest }
}

/// The answers of a batch, each of which is a document already.
pub fn batch(answers: &[Vec<u8>], id: &RequestId) -> Vec<u8> {
    let mut body = b"{\"requestId\":".to_vec();
    body.extend_from_slice(&json_bytes(&id.as_str()));
    body.extend_from_slice(b",\"responses\":[");
    for (place, answer) in answers.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        body.extend_from_slice(answer);
    }
    body.extend_from_slice(b"]}");
    body
}

fn json_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts and numbers serialize")
}

/// The loaded model.
pub fn model(loaded: &LoadedModel, metadata: &Metadata, id: &RequestId) -> Value {
    let ratings = metadata.ratings.as_ref().map(|scale| json!({"low": scale.low, "high": scale.high}));
    json!({
        "requestId": id.as_str(),
        "revision": loaded.digest.revision(),
        "digest": loaded.digest,
        "algorithm": metadata.algorithm,
        "signal": metadata.signal,
        "ratings": ratings,
        "users": loaded.users,
        "items": loaded.items,
        "interactions": metadata.interactions,
        "factors": loaded.factors,
        "answers": loaded.answers,
        "loadedAt": loaded.loaded_at,
    })
}
