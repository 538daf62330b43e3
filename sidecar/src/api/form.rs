//! `application/x-www-form-urlencoded`: `user_id=42&items=a,b&ratings=5,3&n=10`.

use crate::{
    answer::Query,
    api::{
        error::ApiError,
        fields::{check_id, parse_n},
    },
    limits::ITEMS_PER_ANSWER_DEFAULT,
};
use sidecar_contract::ServingLimits;

/// Parses the form.
///
/// # Errors
/// An unknown, repeated or malformed field.
pub fn parse(body: &[u8], limits: &ServingLimits) -> Result<Query, ApiError> {
    let text = std::str::from_utf8(body)
        .map_err(|error| ApiError::field("body", format!("not UTF-8 after byte {}", error.valid_up_to())))?;
    let mut query = Query { n: ITEMS_PER_ANSWER_DEFAULT, ..Query::default() };
    let (mut items, mut ratings) = (None, None);
    let mut given: Vec<String> = Vec::new();
    for (key, value) in url::form_urlencoded::parse(text.as_bytes()) {
        if given.iter().any(|k| *k == key) {
            return Err(ApiError::field(&key, "given twice; lists are comma-separated in one field"));
        }
        // A percent-encoded byte that is no UTF-8 arrives as the replacement character.
        if value.contains('\u{fffd}') {
            return Err(ApiError::field(&key, "not UTF-8"));
        }
        match &*key {
            "user_id" => query.user = Some(check_id("user_id", &value)?),
            "items" => items = Some(value.into_owned()),
            "ratings" => ratings = Some(value.into_owned()),
            "n" => {
                let n = value
                    .parse::<i64>()
                    .map_err(|_| ApiError::field("n", format!("{value:?} is not a whole number")))?;
                query.n = parse_n(n, limits)?;
            }
            other => {
                return Err(ApiError::field(other, "unknown field; known are user_id, items, ratings, n"));
            }
        }
        given.push(key.into_owned());
    }
    let items = list(items.as_deref());
    if query.user.is_none() && items.is_empty() {
        return Err(ApiError::field("user_id", "missing; give user_id, or items with ratings, or both"));
    }
    let ratings = ratings.map(|text| list(Some(&text)));
    if let Some(ratings) = &ratings
        && ratings.len() != items.len()
    {
        let message = format!("{} ratings for {} items; give one rating an item, or none", ratings.len(), items.len());
        return Err(ApiError::field("ratings", message));
    }
    if items.len() > limits.history_per_request_max as usize {
        let message = format!("{} items; at most {} are accepted", items.len(), limits.history_per_request_max);
        return Err(ApiError::field("items", message));
    }
    for (place, item) in items.iter().enumerate() {
        let rating = ratings.as_ref().and_then(|r| r.get(place)).map(|text| rating(text)).transpose()?;
        query.history.push((check_id("items", item)?, rating));
    }
    Ok(query)
}

fn list(text: Option<&str>) -> Vec<String> {
    match text.map(str::trim) {
        None | Some("") => Vec::new(),
        Some(text) => text.split(',').map(|part| part.trim().to_owned()).collect(),
    }
}

fn rating(text: &str) -> Result<f32, ApiError> {
    match text.parse::<f32>() {
        Ok(rating) if rating.is_finite() => Ok(rating),
        _ => Err(ApiError::field("ratings", format!("{text:?} is not a finite number"))),
    }
}
