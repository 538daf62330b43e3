//! Requests as they arrive, typed: parsing, their part of the OpenAPI document, and the [`Ask`]
//! that they become. Text is borrowed from the body.

mod conditions;
mod count;
mod cursor;
mod id;
mod list;
mod object;
mod rating;

use answering::{Ask, Filter, HistoryEntry, Query, RequestId, limits::EXPLAINED_ITEMS_MAX};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use sidecar_contract::ServingLimits;

pub use self::{
    conditions::Conditions,
    count::{Count, check_count},
    cursor::Cursor,
    id::{Id, check_id},
    list::List,
    object::Object,
    rating::{Rating, parse_rating, ratings_pattern},
};
use crate::{
    api::error::ApiError,
    limits::{CANDIDATES_MAX, ITEMS_PER_BATCH_MAX},
};

/// Items for a user, a history, or both.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "RecommendRequest", transform = add_rules)]
pub struct RecommendRequest<'a> {
    /// Id of the user. An unknown user without a history gets popular items.
    #[serde(default, borrow)]
    user: Option<Id<'a>>,
    /// Maximum number of items. With candidates, their number is the default.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Count")]
    n: Option<Count>,
    /// Interactions of the user. They are folded in and replace the stored user vector.
    #[serde(default, borrow)]
    #[schemars(
        with = "Option<Vec<HistoryRow<'a>>>",
        length(max = ServingLimits::default().history_per_request_max)
    )]
    history: Option<List<Object<HistoryRow<'a>>>>,
    /// Items that are left out.
    #[serde(default, borrow)]
    #[schemars(with = "Option<Vec<Id<'a>>>", length(max = ServingLimits::default().history_per_request_max))]
    exclude: Option<List<Id<'a>>>,
    /// The only items that may be recommended, such as those of a search result. Those that are
    /// left out are in `leftOut` with the reason.
    #[serde(default, borrow)]
    #[schemars(with = "Option<Vec<Id<'a>>>", length(max = CANDIDATES_MAX))]
    candidates: Option<List<Id<'a>>>,
    /// Conditions on columns of the catalogue.
    #[serde(default, rename = "where", deserialize_with = "present")]
    #[schemars(with = "Conditions")]
    conditions: Option<Conditions>,
    /// Page of the list.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Cursor")]
    cursor: Option<Cursor>,
    /// Whether items that the user interacted with in training may be recommended.
    #[serde(default)]
    include_seen: bool,
    /// Whether items come with the contributions to their scores. Allowed up to 100 items.
    #[serde(default)]
    explain: bool,
}

/// One interaction of a history.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "HistoryEntry")]
pub struct HistoryRow<'a> {
    /// Id of the item. An unknown one is ignored.
    #[serde(borrow)]
    item: Id<'a>,
    /// Weight or rating; 1 if it is absent. A model of ratings requires it.
    #[serde(default)]
    rating: Option<Rating>,
}

/// Several requests that one generation of models answers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "BatchRequest")]
pub struct BatchRequest<'a> {
    /// The requests.
    #[serde(borrow)]
    #[schemars(
        with = "Vec<RecommendRequest<'a>>",
        length(min = 1, max = ServingLimits::default().requests_per_batch_max)
    )]
    requests: List<Object<RecommendRequest<'a>>>,
}

/// Items similar to an item.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SimilarRequest")]
pub struct SimilarRequest<'a> {
    /// Id of the item.
    #[serde(borrow)]
    item: Id<'a>,
    /// Maximum number of items.
    #[serde(default)]
    n: Count,
    /// Conditions on columns of the catalogue.
    #[serde(default, rename = "where", deserialize_with = "present")]
    #[schemars(with = "Conditions")]
    conditions: Option<Conditions>,
    /// Page of the list.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Cursor")]
    cursor: Option<Cursor>,
}

/// A field that may be absent, but not null.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Adds the rules about several fields: a user or a history, few items with explanations, and no
/// pages of candidates.
fn add_rules(schema: &mut Schema) {
    let user_or_history = json!({"anyOf": [
        {"required": ["user"], "properties": {"user": {"not": {"type": "null"}}}},
        {"required": ["history"], "properties": {"history": {"type": "array", "minItems": 1}}},
    ]});
    let few_explanations = json!({
        "if": {"required": ["explain"], "properties": {"explain": {"const": true}}},
        "then": {"properties": {"n": {"maximum": EXPLAINED_ITEMS_MAX}}},
    });
    let no_pages_of_candidates = json!({
        "not": {"required": ["candidates", "cursor"], "properties": {"candidates": {"type": "array"}}},
    });
    schema.insert("allOf".to_owned(), json!([user_or_history, few_explanations, no_pages_of_candidates]));
}

impl RecommendRequest<'_> {
    /// The question; `at` prefixes the names of fields in messages.
    ///
    /// # Errors
    /// A number out of range, or neither user nor history.
    pub fn into_ask(self, id: RequestId, at: &str, limits: &ServingLimits) -> Result<Ask, ApiError> {
        let Self { user, n, history, exclude, candidates, conditions, cursor, include_seen, explain } = self;
        let entries = 0..=limits.history_per_request_max as usize;
        let history = history.unwrap_or_default().check(&format!("{at}history"), "entries", &entries)?;
        let exclude = exclude.unwrap_or_default().check(&format!("{at}exclude"), "entries", &entries)?;
        let ids = |list: List<Id<'_>>| {
            let ids = list.check(&format!("{at}candidates"), "entries", &(0..=CANDIDATES_MAX))?;
            Ok::<Vec<String>, ApiError>(ids.into_iter().map(Id::into_owned).collect())
        };
        let candidates = candidates.map(ids).transpose()?;
        if candidates.is_some() && cursor.is_some() {
            let message = "not together with candidates, which are all in one answer; send one of them";
            return Err(ApiError::field(&format!("{at}cursor"), message));
        }
        let n = match (n, &candidates) {
            (None, Some(ids)) => {
                let max = if explain { EXPLAINED_ITEMS_MAX } else { usize::MAX };
                ids.len().clamp(1, max.min(limits.items_per_answer_max as usize))
            }
            (n, _) => n.unwrap_or_default().check(&format!("{at}n"), limits)?,
        };
        if user.is_none() && history.is_empty() {
            return Err(ApiError::field(&format!("{at}user"), "missing; send user, or history, or both"));
        }
        if explain && n > EXPLAINED_ITEMS_MAX {
            let message = format!("{n}: with explain an answer has at most {EXPLAINED_ITEMS_MAX} items");
            return Err(ApiError::field(&format!("{at}n"), message));
        }
        let history = history.into_iter().map(|Object(HistoryRow { item, rating })| HistoryEntry {
            item: item.into_owned(),
            rating: rating.map(Rating::value),
        });
        let query = Query::Recommend { user: user.map(Id::into_owned), history: history.collect() };
        let exclude = exclude.into_iter().map(Id::into_owned).collect();
        let matching = conditions.unwrap_or_default().into_filter();
        let filter = Filter { exclude, include_seen, candidates, matching };
        Ok(Ask { n, filter, page: cursor.unwrap_or_default().into_page(), explain, ..Ask::new(id, query) })
    }
}

impl BatchRequest<'_> {
    /// The questions, with the ids of the batch's parts.
    ///
    /// # Errors
    /// Too many requests or items, or an invalid request.
    pub fn into_asks(self, id: &RequestId, limits: &ServingLimits) -> Result<Vec<Ask>, ApiError> {
        let requests = self.requests.check("requests", "requests", &(1..=limits.requests_per_batch_max as usize))?;
        let asks = requests
            .into_iter()
            .enumerate()
            .map(|(index, Object(request))| request.into_ask(id.part(index), &format!("requests[{index}]."), limits));
        let asks = asks.collect::<Result<Vec<Ask>, ApiError>>()?;
        let items: usize = asks.iter().map(|ask| ask.n).sum();
        if items > ITEMS_PER_BATCH_MAX {
            let message = format!("{items} items in total; a batch is answered with at most {ITEMS_PER_BATCH_MAX}");
            return Err(ApiError::field("requests", message));
        }
        Ok(asks)
    }
}

impl SimilarRequest<'_> {
    /// The question.
    ///
    /// # Errors
    /// A number out of range.
    pub fn into_ask(self, id: RequestId, limits: &ServingLimits) -> Result<Ask, ApiError> {
        let Self { item, n, conditions, cursor } = self;
        let n = n.check("n", limits)?;
        let filter = Filter { matching: conditions.unwrap_or_default().into_filter(), ..Filter::default() };
        let page = cursor.unwrap_or_default().into_page();
        Ok(Ask { n, filter, page, ..Ask::new(id, Query::Similar { item: item.into_owned() }) })
    }
}
