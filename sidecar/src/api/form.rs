//! `application/x-www-form-urlencoded`: `user_id=42&items=a,b&ratings=5,3&n=10&where.genre=comedy`.

use std::collections::HashSet;

use answering::{Ask, Filter, HistoryEntry, Query, RequestId, limits::ITEMS_PER_ANSWER_DEFAULT};
use http::StatusCode;
use percent_encoding::percent_decode;
use schemars::JsonSchema;
use serde::Serialize;
use sidecar_contract::ServingLimits;

use crate::{
    api::{
        error::ApiError,
        quote::quoted,
        request::{Conditions, Count, Cursor, Rating, check_count, check_id, parse_rating, ratings_pattern},
    },
    limits::{CANDIDATES_MAX, CURSOR_CHARS_MAX, ID_CHARS_MAX},
};

/// The fields of the form, for the OpenAPI document.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, extend("anyOf" = [
    {"required": ["user_id"]},
    {"required": ["items"], "properties": {"items": {"minLength": 1}}},
], "patternProperties" = {"^where\\.": {"type": "string"}}, "not" = {"required": ["candidates", "cursor"]}))]
pub struct RecommendForm {
    /// Id of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = ID_CHARS_MAX))]
    user_id: Option<String>,
    /// Ids of items that the user interacted with, separated by commas. An id that contains a comma
    /// requires application/json.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = "^([^,]+(,[^,]+)*)?$"))]
    items: Option<String>,
    /// One weight or rating for each of `items`, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = ratings_pattern()))]
    ratings: Option<String>,
    /// Maximum number of items. With candidates, their number is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Count")]
    n: Option<u32>,
    /// Ids of the only items that may be recommended, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = "^([^,]+(,[^,]+)*)?$"))]
    candidates: Option<String>,
    /// Page of the list, as in application/json.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = CURSOR_CHARS_MAX))]
    cursor: Option<String>,
}

/// Prefix of the fields with conditions on columns of the catalogue: `where.<column>` has values
/// separated by commas, `where.<column>.not` values that items must not have, `where.<column>.min`
/// and `.max` the ends of a range.
const WHERE: &str = "where.";

const TWICE: &str = "present twice; send it once, and the values of a list separated by commas";

/// Parses the form.
///
/// # Errors
/// An unknown, repeated or malformed field.
pub fn parse(body: &[u8], id: RequestId, limits: &ServingLimits) -> Result<Ask, ApiError> {
    if body.trim_ascii_start().starts_with(b"{") {
        let detail = "content-type: application/x-www-form-urlencoded, but the body is JSON; send content-type: application/json";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail));
    }
    let (mut user, mut items, mut ratings, mut n, mut candidates, mut cursor) = (None, None, None, None, None, None);
    let (mut conditions, mut columns) = (Conditions::default(), HashSet::new());
    for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let (name, value) = split_once(pair, b'=').unwrap_or((pair, &[]));
        let name = decode(name).unwrap_or_else(|_| String::from_utf8_lossy(name).into_owned());
        let field = match name.as_str() {
            "user_id" => &mut user,
            "items" => &mut items,
            "ratings" => &mut ratings,
            "n" => &mut n,
            "candidates" => &mut candidates,
            "cursor" => &mut cursor,
            _ if name.starts_with(WHERE) => {
                let value = decode(value).map_err(|message| ApiError::field(&quoted(&name), message))?;
                if !columns.insert(name.clone()) {
                    return Err(ApiError::field(&quoted(&name), TWICE));
                }
                let field = name.strip_prefix(WHERE).unwrap_or_default();
                conditions.push_form(field, &value).map_err(|message| ApiError::field(&quoted(&name), message))?;
                continue;
            }
            _ => {
                let message =
                    "unknown field; valid fields are user_id, items, ratings, n, candidates, cursor, where.<column>";
                return Err(ApiError::field(&quoted(name), message));
            }
        };
        let value = decode(value).map_err(|message| ApiError::field(&name, message))?;
        if field.replace(value).is_some() {
            return Err(ApiError::field(&name, TWICE));
        }
    }
    let id_of =
        |field, text: &str| check_id(text).map(str::to_owned).map_err(|message| ApiError::field(field, message));
    let user = user.map(|user| id_of("user_id", &user)).transpose()?;
    let candidates = candidates.as_deref().map(|text| list(Some(text)));
    if candidates.as_ref().is_some_and(|ids| ids.len() > CANDIDATES_MAX) {
        return Err(ApiError::field("candidates", format!("more than {CANDIDATES_MAX} entries")));
    }
    if candidates.is_some() && cursor.is_some() {
        let message = "not together with candidates, which are all in one answer; send one of them";
        return Err(ApiError::field("cursor", message));
    }
    let n = match n {
        None => candidates
            .as_ref()
            .map_or(ITEMS_PER_ANSWER_DEFAULT, |ids| ids.len().clamp(1, limits.items_per_answer_max as usize)),
        Some(n) => {
            let parsed =
                n.parse::<i64>().map_err(|_| format!("{} is not a whole number", quoted(format_args!("{n:?}"))));
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
        let message = format!(
            "{} ratings for {} items; send one rating per item, or none; an id that contains a comma requires application/json",
            ratings.len(),
            items.len()
        );
        return Err(ApiError::field("ratings", message));
    }
    if items.len() > limits.history_per_request_max as usize {
        let message = format!("{} items; expected at most {}", items.len(), limits.history_per_request_max);
        return Err(ApiError::field("items", message));
    }
    let entry = |(index, item): (usize, &&str)| {
        let rating = ratings.as_ref().and_then(|ratings| ratings.get(index)).map(|text| parse_rating(text));
        let rating = rating.transpose().map_err(|message| ApiError::field("ratings", message))?;
        Ok(HistoryEntry { item: id_of("items", item)?, rating: rating.map(Rating::value) })
    };
    let history = items.iter().enumerate().map(entry).collect::<Result<_, ApiError>>()?;
    let ids = |ids: Vec<&str>| ids.into_iter().map(|id| id_of("candidates", id)).collect::<Result<Vec<_>, _>>();
    let filter = Filter {
        candidates: candidates.map(ids).transpose()?,
        matching: conditions.into_filter(),
        ..Filter::default()
    };
    let cursor = cursor.as_deref().map(Cursor::parse).transpose();
    let page = cursor.map_err(|message| ApiError::field("cursor", message))?.unwrap_or_default().into_page();
    Ok(Ask { n, filter, page, ..Ask::new(id, Query::Recommend { user, history }) })
}

fn list(text: Option<&str>) -> Vec<&str> {
    text.filter(|text| !text.is_empty()).map(|text| text.split(',').collect()).unwrap_or_default()
}

fn split_once(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == separator)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

/// Decodes a name or a value strictly: a sequence that is not UTF-8 is an error, not U+FFFD.
///
/// # Errors
/// A sentence without the name of the field.
pub fn decode(encoded: &[u8]) -> Result<String, &'static str> {
    let spaced: Vec<u8> = encoded.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    let decoded =
        percent_decode(&spaced).decode_utf8().map_err(|_| "not UTF-8: percent-encode the bytes of UTF-8 text")?;
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: &str) -> Result<Ask, String> {
        parse(body.as_bytes(), RequestId::new(), &ServingLimits::default()).map_err(|error| error.detail)
    }

    fn user(body: &str) -> Option<String> {
        match parsed(body).unwrap().query {
            Query::Recommend { user, .. } => user,
            Query::Similar { .. } => None,
        }
    }

    #[test]
    fn values_are_decoded_strictly() {
        assert_eq!(user("user_id=a+b%20c%2Bd"), Some("a b c+d".to_owned()));
        assert_eq!(user("user_id=%EF%BF%BD"), Some("\u{fffd}".to_owned()), "a replacement character is a character");
        assert_eq!(user("user_id=100%&n=3"), Some("100%".to_owned()), "a lone percent sign is one");
        assert_eq!(user("&user%5Fid=\u{e9}&"), Some("\u{e9}".to_owned()));
        assert_eq!(parsed("user_id=%ff").unwrap_err(), "user_id: not UTF-8: percent-encode the bytes of UTF-8 text");
        assert_eq!(
            parsed("user_id=a%ff&n=1").unwrap_err(),
            "user_id: not UTF-8: percent-encode the bytes of UTF-8 text"
        );
    }

    #[test]
    fn spaces_belong_to_ids() {
        let Query::Recommend { history, .. } = parsed("items=a,+b+&ratings=1,2").unwrap().query else { panic!() };
        let items: Vec<&str> = history.iter().map(|entry| entry.item.as_str()).collect();
        assert_eq!(items, ["a", " b "]);
    }

    #[test]
    fn errors_repeat_the_beginning_of_a_name_or_value() {
        let long = "\u{1}".repeat(1 << 20);
        for body in [format!("{long}=1"), format!("user_id=1&n={long}"), format!("items=a&ratings={long}")] {
            let message = parsed(&body).unwrap_err();
            assert!(message.contains('…') && message.chars().count() < 400, "{message}");
        }
    }
}
