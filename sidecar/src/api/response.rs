//! Responses, typed: JSON documents and their part of the OpenAPI document.

use answering::{Answer, Explanation, Item, LeftOut, Local, Part, Reason, RequestId, limits::CONTRIBUTIONS_MAX};
use catalogue::{Catalogue, ColumnKind};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use sidecar_contract::{Rule, ServingMode, Signal};

use crate::serving::Composed;

/// Format of a list of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFormat {
    /// [`FormRecommendations`].
    Form,
    /// [`Recommendations`].
    Json,
}

/// Recommended items, best first.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Recommendations")]
pub struct Recommendations<'a> {
    /// Id of the request, as in header x-request-id.
    request_id: &'a str,
    model: ModelName<'a>,
    /// True if a fallback answered in place of the model, or parts are missing; absent otherwise.
    #[serde(skip_serializing_if = "is_false")]
    #[schemars(default)]
    degraded: bool,
    /// Parts of a composition that should have taken part and did not answer in time, or failed;
    /// absent if there are none.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    #[schemars(default)]
    missing_parts: &'a [String],
    #[serde(serialize_with = "items")]
    #[schemars(with = "Vec<JsonItem<'a>>")]
    items: &'a [Item<'a>],
    /// Candidates that are not in the list, in the order of the request; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    left_out: Vec<JsonLeftOut<'a>>,
    /// Number of available items that satisfy `where`; only if it made the list shorter than
    /// requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    matches: Option<usize>,
    /// Cursor of the next page; with `cursor`, while the list may go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
}

/// A candidate that is not in the list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "LeftOut")]
struct JsonLeftOut<'a> {
    id: &'a str,
    reason: JsonReason,
}

/// Why a candidate is not in the list: the model does not have it; the request excludes it; the
/// user interacted with it in training; it is not available; it does not satisfy `where`; n is
/// smaller than the number of candidates.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Reason")]
enum JsonReason {
    Unknown,
    Excluded,
    Seen,
    Unavailable,
    Filtered,
    BeyondN,
}

/// Ids of recommended items, best first.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "FormRecommendations")]
pub struct FormRecommendations<'a> {
    recommendations: Vec<&'a str>,
    /// Id of the request, as in header x-request-id.
    request_id: &'a str,
    /// Cursor of the next page; with `cursor`, while the list may go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
}

/// What answered.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ModelName")]
struct ModelName<'a> {
    /// First ten digits of the revision's digest, or popularity: no model may serve yet. Of a
    /// composition, the first ten digits of the digest of its rule.
    revision: &'a str,
    /// Variant that the user was assigned to; of a composition by split or switch, the part.
    variant: &'a str,
    /// Version of the catalogue, if one is loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    catalogue: Option<&'a str>,
    /// Parts of a composition that took part; absent otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    parts: Vec<PartName<'a>>,
}

/// A Recommender that took part in a composed answer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Part")]
struct PartName<'a> {
    /// Name of the Recommender.
    name: &'a str,
    revision: &'a str,
    variant: &'a str,
    /// Version of its catalogue, if one is loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    catalogue: Option<&'a str>,
}

/// One recommended item.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Item")]
struct JsonItem<'a> {
    id: &'a str,
    /// Title in the item table; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    /// Inner product, predicted rating, cosine, or number of users, depending on the source.
    score: f32,
    source: JsonSource,
    /// Parts of the score, which add up to it; with `explain`, for sources model and fold-in.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<JsonExplanation<'a>>,
}

/// What ranked an item: the stored user vector, one folded in from the history, popularity,
/// similarity to an item, or the last answer to the same user, which an app's sidecar keeps for the
/// time without serving pods.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Source")]
enum JsonSource {
    Model,
    FoldIn,
    Popular,
    Similar,
    LastAnswer,
}

/// A score as a sum.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Explanation")]
struct JsonExplanation<'a> {
    /// Items of the user that contribute most to the score.
    #[schemars(length(max = CONTRIBUTIONS_MAX))]
    contributions: Vec<JsonContribution<'a>>,
    /// Sum of the other contributions, and what clipping to the rating scale removes.
    remainder: f32,
    /// Predicted rating without any history; only for a model of ratings.
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<f32>,
}

/// What one item of the user's history adds to a score.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Contribution")]
struct JsonContribution<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    contribution: f32,
}

/// Answers to the requests of a batch, in their order.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "BatchResponse")]
pub struct BatchResponse<'a> {
    /// Id of the request; those of its parts end with a point and their index.
    request_id: &'a str,
    #[schemars(with = "Vec<Recommendations<'a>>")]
    responses: &'a [Box<RawValue>],
}

/// The loaded model.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Model")]
pub struct ModelDocument<'a> {
    request_id: &'a str,
    /// First ten digits of the digest.
    revision: &'a str,
    /// SHA-256 of the snapshot.
    digest: &'a str,
    /// Algorithm with its parameters.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    algorithm: &'a sidecar_contract::Algorithm,
    #[schemars(with = "JsonSignal")]
    signal: Signal,
    /// Scale of the predicted ratings; null unless the model predicts ratings.
    ratings: Option<RatingRange>,
    users: u64,
    items: u64,
    interactions: u64,
    factors: u64,
    /// popularityOnly: the first model did not pass its quality gate and only its popularity is
    /// served.
    #[schemars(with = "JsonServingMode")]
    serving_mode: &'a ServingMode,
    /// Seconds since 1970.
    loaded_at: i64,
    /// The catalogue; absent if titles and availability are those of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    catalogue: Option<CatalogueDocument<'a>>,
}

/// A composition.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Composition")]
pub struct CompositionDocument<'a> {
    request_id: &'a str,
    /// First ten digits of the digest of the rule.
    revision: &'a str,
    /// The rule with its parameters.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    composition: &'a Rule,
    /// Names of the parts.
    parts: Vec<&'a str>,
}

/// The loaded catalogue.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Catalogue")]
struct CatalogueDocument<'a> {
    version: &'a str,
    /// Number of items that may be recommended.
    available_items: usize,
    /// Columns that `where` can name.
    columns: Vec<ColumnDocument<'a>>,
}

/// A column of the catalogue.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Column")]
struct ColumnDocument<'a> {
    name: &'a str,
    kind: JsonColumnKind,
}

/// Values of a column: texts, numbers, or times.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ColumnKind")]
enum JsonColumnKind {
    Category,
    Number,
    Time,
}

/// Lowest and highest rating.
#[derive(Debug, Serialize, JsonSchema)]
struct RatingRange {
    low: f32,
    high: f32,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Signal")]
#[expect(dead_code, reason = "the schema of a type that knows no schemas")]
enum JsonSignal {
    Implicit,
    Explicit,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ServingMode")]
#[expect(dead_code, reason = "the schema of a type that knows no schemas")]
enum JsonServingMode {
    Personalized,
    PopularityOnly,
}

/// Problem details (RFC 9457).
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Problem")]
pub struct Problem<'a> {
    /// `urn:recmesh:problem:` and a stable word.
    pub r#type: String,
    /// Reason phrase of the status.
    pub title: &'a str,
    /// HTTP status.
    pub status: u16,
    /// The field that is wrong, what was expected, and what to try.
    pub detail: &'a str,
    /// Also in header x-request-id; a valid one from the request is propagated.
    pub request_id: &'a str,
}

/// Usual length of a list without its items, in bytes...
const DOCUMENT_BYTES: usize = 256;
/// ...and of an item, so that the buffer of a usual list is allocated once.
const ITEM_BYTES: usize = 96;

/// A list of items as a document.
pub fn recommendations(answer: &Answer<'_>, format: ResponseFormat) -> Vec<u8> {
    let request_id = answer.request_id.as_str();
    match format {
        ResponseFormat::Form => json_bytes(&FormRecommendations {
            recommendations: answer.items.iter().map(|item| &*item.id).collect(),
            request_id,
            next: answer.next.as_deref(),
        }),
        ResponseFormat::Json => {
            json_bytes_sized(&json_recommendations(answer), DOCUMENT_BYTES + answer.items.len() * ITEM_BYTES)
        }
    }
}

/// An answer of a batch as a document.
pub fn part(answer: &Answer<'_>) -> Box<RawValue> {
    raw_json(&json_recommendations(answer))
}

/// The answers of a batch as a document.
pub fn batch(responses: &[Box<RawValue>], id: &RequestId) -> Vec<u8> {
    json_bytes(&BatchResponse { request_id: id.as_str(), responses })
}

fn json_recommendations<'a>(answer: &'a Answer<'a>) -> Recommendations<'a> {
    Recommendations {
        request_id: answer.request_id.as_str(),
        model: model_name(answer),
        degraded: answer.degraded,
        missing_parts: &answer.missing,
        items: &answer.items,
        left_out: answer.left_out.iter().map(json_left_out).collect(),
        matches: answer.matches,
        next: answer.next.as_deref(),
    }
}

fn model_name<'a>(answer: &'a Answer<'a>) -> ModelName<'a> {
    let whole = answer.parts.first();
    let part = |part: &'a Part| {
        let name = part.name.as_deref()?;
        let Part { name: _, revision, variant, catalogue } = part;
        Some(PartName { name, revision, variant, catalogue: catalogue.as_deref() })
    };
    ModelName {
        revision: whole.map_or("", |part| part.revision.as_str()),
        variant: whole.map_or("", |part| part.variant.as_str()),
        catalogue: whole.and_then(|part| part.catalogue.as_deref()),
        parts: answer.parts.iter().filter_map(part).collect(),
    }
}

fn json_left_out(LeftOut { id, reason }: &LeftOut) -> JsonLeftOut<'_> {
    let reason = match reason {
        Reason::Unknown => JsonReason::Unknown,
        Reason::Excluded => JsonReason::Excluded,
        Reason::Seen => JsonReason::Seen,
        Reason::Unavailable => JsonReason::Unavailable,
        Reason::Filtered => JsonReason::Filtered,
        Reason::BeyondN => JsonReason::BeyondN,
    };
    JsonLeftOut { id, reason }
}

/// Writes the items without a list of their documents.
fn items<S: Serializer>(items: &[Item<'_>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(items.iter().map(json_item))
}

fn json_item<'a>(Item { id, title, score, source, explanation }: &'a Item<'a>) -> JsonItem<'a> {
    JsonItem {
        id,
        title: title.as_deref(),
        score: *score,
        source: match source {
            answering::Source::Model => JsonSource::Model,
            answering::Source::FoldIn => JsonSource::FoldIn,
            answering::Source::Popular => JsonSource::Popular,
            answering::Source::Similar => JsonSource::Similar,
            answering::Source::LastAnswer => JsonSource::LastAnswer,
        },
        explanation: explanation.as_ref().map(json_explanation),
    }
}

fn json_explanation<'a>(explanation: &'a Explanation<'a>) -> JsonExplanation<'a> {
    let Explanation { contributions, remainder, baseline } = explanation;
    let contributions = contributions.iter().map(|contribution| JsonContribution {
        id: &contribution.id,
        title: contribution.title.as_deref(),
        contribution: contribution.contribution,
    });
    JsonExplanation { contributions: contributions.collect(), remainder: *remainder, baseline: *baseline }
}

/// The loaded model as a document.
pub fn model(local: &Local, id: &RequestId) -> Vec<u8> {
    let model = local.model();
    let metadata = model.snapshot().metadata();
    json_bytes(&ModelDocument {
        request_id: id.as_str(),
        revision: model.digest().revision(),
        digest: model.digest().as_str(),
        algorithm: &metadata.algorithm,
        signal: metadata.signal,
        ratings: metadata.ratings.as_ref().map(|scale| RatingRange { low: scale.low, high: scale.high }),
        users: metadata.users,
        items: metadata.items,
        interactions: metadata.interactions,
        factors: metadata.factors,
        serving_mode: &local.mode(),
        loaded_at: model.loaded_at(),
        catalogue: local.catalogue().map(|catalogue| catalogue_document(catalogue)),
    })
}

/// A composition as a document.
pub fn composition(Composed { revision, rule }: &Composed, id: &RequestId) -> Vec<u8> {
    json_bytes(&CompositionDocument { request_id: id.as_str(), revision, composition: rule, parts: rule.parts() })
}

fn catalogue_document(catalogue: &Catalogue) -> CatalogueDocument<'_> {
    let column = |(name, kind)| ColumnDocument {
        name,
        kind: match kind {
            ColumnKind::Category => JsonColumnKind::Category,
            ColumnKind::Number => JsonColumnKind::Number,
            ColumnKind::Time => JsonColumnKind::Time,
        },
    };
    CatalogueDocument {
        version: catalogue.version(),
        available_items: catalogue.available_items(),
        columns: catalogue.columns().map(column).collect(),
    }
}

/// Problem details as a document.
pub fn problem(problem: &Problem<'_>) -> Vec<u8> {
    json_bytes(problem)
}

fn raw_json<T: Serialize>(value: &T) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("text and finite numbers serialize")
}

/// As [`json_bytes`], with a buffer of about the right size.
fn json_bytes_sized<T: Serialize>(value: &T, bytes: usize) -> Vec<u8> {
    let mut document = Vec::with_capacity(bytes);
    serde_json::to_writer(&mut document, value).expect("text and finite numbers serialize");
    document
}

fn json_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("text and finite numbers serialize")
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde expects")]
fn is_false(value: &bool) -> bool {
    !value
}
