//! `application/x-www-form-urlencoded`: `user_id=42&items=a,b&ratings=5,3&n=10`.

use answering::{Ask, HistoryEntry, Query, RequestId, limits::ITEMS_PER_ANSWER_DEFAULT};
use schemars::JsonSchema;
use serde::Serialize;
use sidecar_contract::ServingLimits;

use crate::api::{
    error::ApiError,
    request::{check_count, check_id},
};

/// The fields of the form, for the OpenAPI document.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(extend("anyOf" = [{"required": ["user_id"]}, {"required": ["items"]}]))]
pub struct RecommendForm {
    /// Id of the user.
    #[schemars(length(min = 1, max = 256))]
    user_id: Option<String>,
    /// Ids of items that the user interacted with, separated by commas.
    #[schemars(regex(pattern = "^[^,]{1,256}(,[^,]{1,256}){0,99}$"))]
    items: Option<String>,
    /// One weight or rating for each of `items`, separated by commas.
    #[schemars(regex(pattern = "^[0-9]{1,3}(,[0-9]{1,3}){0,99}$"))]
    ratings: Option<String>,
    /// Maximum number of items.
    #[schemars(range(min = 1, max = 1000))]
    n: Option<u32>,
}

/// Parses the form.
///
/// # Errors
/// An unknown, repeated or malformed field.
pub fn parse(body: &[u8], id: RequestId, limits: &ServingLimits) -> Result<Ask, ApiError> {
    let text = std::str::from_utf8(body)
        .map_err(|error| ApiError::field("body", format!("not UTF-8 after byte {}", error.valid_up_to())))?;
    let (mut user, mut items, mut ratings, mut n) = (None, None, None, None);
    for (key, value) in url::form_urlencoded::parse(text.as_bytes()) {
        let field = match &*key {
            "user_id" => &mut user,
            "items" => &mut items,
            "ratings" => &mut ratings,
            "n" => &mut n,
            other => {
                let name: String = other.chars().take(100).collect();
                return Err(ApiError::field(&name, "unknown field; valid fields are user_id, items, ratings, n"));
            }
        };
        // A percent-encoded byte that is not UTF-8 arrives as the replacement character.
        if value.contains('\u{fffd}') {
            return Err(ApiError::field(&key, "not UTF-8"));
        }
        if field.replace(value).is_some() {
            return Err(ApiError::field(&key, "present twice; lists are comma-separated in one field"));
        }
    }
    let id_of =
        |field, text: &str| check_id(text).map(str::to_owned).map_err(|message| ApiError::field(field, message));
    let user = user.map(|user| id_of("user_id", &user)).transpose()?;
    let n = match n {
        None => ITEMS_PER_ANSWER_DEFAULT,
        Some(n) => {
            let parsed = n.parse::<i64>().map_err(|_| format!("{:?} is not a whole number", quoted(&n)));
            parsed.and_then(|n| check_count(n, limits)).map_err(|message| ApiError::field("n", message))?
        }
    };
    let items = list(items.as_deref());
    if user.is_none() && items.is_empty() {
        return Err(ApiError::field("user_id", "missing; send user_id, or items with ratings, or both"));
    }
    let ratings = ratings.as_deref().map(|text| list(Some(text)));
    if let Some(ratings) = &ratings
        && ratings.len() != items.len()
    {
        let message = format!("{} ratings for {} items; send one rating per item, or none", ratings.len(), items.len());
        return Err(ApiError::field("ratings", message));
    }
    if items.len() > limits.history_per_request_max as usize {
        let message = format!("{} items; expected at most {}", items.len(), limits.history_per_request_max);
        return Err(ApiError::field("items", message));
    }
    let entry = |(index, item): (usize, &&str)| {
        let rating = ratings.as_ref().and_then(|ratings| ratings.get(index)).map(|text| rating(text)).transpose()?;
        Ok(HistoryEntry { item: id_of("items", item)?, rating })
    };
    let history = items.iter().enumerate().map(entry).collect::<Result<_, ApiError>>()?;
    Ok(Ask { n, ..Ask::new(id, Query::Recommend { user, history }) })
}

fn list(text: Option<&str>) -> Vec<&str> {
    match text.map(str::trim) {
        None | Some("") => Vec::new(),
        Some(text) => text.split(',').map(str::trim).collect(),
    }
}

fn rating(text: &str) -> Result<f32, ApiError> {
    match text.parse::<f32>() {
        Ok(rating) if rating.is_finite() => Ok(rating),
        _ => Err(ApiError::field("ratings", format!("{:?} is not a finite number", quoted(text)))),
    }
}

/// The beginning of a value that a message quotes.
fn quoted(text: &str) -> String {
    text.chars().take(100).collect()
}
