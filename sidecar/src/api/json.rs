//! The JSON door: `{"user": "42", "n": 10, "history": [{"item": "a", "rating": 5}], "exclude": ["b"]}`.
//!
//! Fields are read by hand, not by a derived parser, because a refusal must name the field and what was expected.

use serde_json::{Map, Value};
use sidecar_contract::ServingLimits;

use crate::{
    answer::Query,
    api::{
        error::ApiError,
        fields::{check_id, parse_n},
    },
    limits::{EXPLAINED_ITEMS_MAX, ITEMS_PER_ANSWER_DEFAULT},
};

/// Parses text into a JSON object.
///
/// # Errors
/// Where the text stops being JSON, or what it is instead of an object.
pub fn object(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(ApiError::field("body", format!("expected a JSON object, not {}", kind(&other)))),
        Err(error) => Err(ApiError::field("body", format!("not JSON: {error}"))),
    }
}

/// A query from the object of one request; `at` prefixes field names in messages.
///
/// # Errors
/// An unknown or malformed field.
pub fn query(object: Map<String, Value>, at: &str, limits: &ServingLimits) -> Result<Query, ApiError> {
    let mut query = Query { n: ITEMS_PER_ANSWER_DEFAULT, ..Query::default() };
    for (key, value) in object {
        let field = format!("{at}{key}");
        match key.as_str() {
            "user" => query.user = optional(value).map(|user| id(&field, &user)).transpose()?,
            "n" => query.n = number_of_items(&field, &value, limits)?,
            "history" => query.history = history(&field, value, limits)?,
            "exclude" => {
                let items = list(&field, value, limits)?;
                query.exclude = items.iter().map(|item| id(&field, item)).collect::<Result<_, _>>()?;
            }
            "includeSeen" => query.include_seen = boolean(&field, &value)?,
            "explain" => query.explain = boolean(&field, &value)?,
            _ => {
                let known = "user, n, history, exclude, includeSeen, explain";
                return Err(ApiError::field(&field, format!("unknown field; known are {known}")));
            }
        }
    }
    if query.user.is_none() && query.history.is_empty() {
        return Err(ApiError::field(&format!("{at}user"), "missing; give user, or history, or both"));
    }
    if query.explain && query.n > EXPLAINED_ITEMS_MAX {
        let message = format!("{}: with explain at most {EXPLAINED_ITEMS_MAX} items are answered", query.n);
        return Err(ApiError::field(&format!("{at}n"), message));
    }
    Ok(query)
}

/// `n` as a JSON number.
///
/// # Errors
/// Not a whole number in range.
pub fn number_of_items(field: &str, value: &Value, limits: &ServingLimits) -> Result<usize, ApiError> {
    match value.as_i64() {
        Some(n) => parse_n(n, limits),
        None => Err(ApiError::field(
            field,
            format!("{value}: expected a whole number from 1 to {}", limits.items_per_answer_max),
        )),
    }
}

/// An id: a string, or a whole number for clients whose ids are numbers.
///
/// # Errors
/// Anything else, empty, or too long.
pub fn id(field: &str, value: &Value) -> Result<String, ApiError> {
    match value {
        Value::String(text) => check_id(field, text),
        Value::Number(number) if number.is_i64() || number.is_u64() => check_id(field, &number.to_string()),
        other => Err(ApiError::field(field, format!("expected a string, not {}", kind(other)))),
    }
}

fn history(field: &str, value: Value, limits: &ServingLimits) -> Result<Vec<(String, Option<f32>)>, ApiError> {
    let rows = list(field, value, limits)?;
    rows.into_iter().enumerate().map(|(place, row)| history_row(&format!("{field}[{place}]"), row)).collect()
}

fn history_row(field: &str, row: Value) -> Result<(String, Option<f32>), ApiError> {
    let Value::Object(row) = row else {
        let message = format!("expected an object {{\"item\": …, \"rating\": …}}, not {}", kind(&row));
        return Err(ApiError::field(field, message));
    };
    let (mut item, mut rating) = (None, None);
    for (key, value) in row {
        match key.as_str() {
            "item" => item = Some(id(&format!("{field}.item"), &value)?),
            "rating" => {
                #[expect(clippy::cast_possible_truncation, reason = "checked to be finite")]
                let narrow = value.as_f64().map(|x| x as f32).filter(|x| x.is_finite());
                rating = Some(narrow.ok_or_else(|| {
                    ApiError::field(&format!("{field}.rating"), format!("{value}: expected a finite number"))
                })?);
            }
            other => {
                return Err(ApiError::field(&format!("{field}.{other}"), "unknown field; known are item, rating"));
            }
        }
    }
    let item = item.ok_or_else(|| ApiError::field(&format!("{field}.item"), "missing"))?;
    Ok((item, rating))
}

fn list(field: &str, value: Value, limits: &ServingLimits) -> Result<Vec<Value>, ApiError> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(rows) if rows.len() <= limits.history_per_request_max as usize => Ok(rows),
        Value::Array(rows) => {
            let message = format!("{} entries; at most {} are accepted", rows.len(), limits.history_per_request_max);
            Err(ApiError::field(field, message))
        }
        other => Err(ApiError::field(field, format!("expected a list, not {}", kind(&other)))),
    }
}

fn boolean(field: &str, value: &Value) -> Result<bool, ApiError> {
    value.as_bool().ok_or_else(|| ApiError::field(field, format!("expected true or false, not {}", kind(value))))
}

fn optional(value: Value) -> Option<Value> {
    (!value.is_null()).then_some(value)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
