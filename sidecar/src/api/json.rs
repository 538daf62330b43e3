//! JSON bodies into typed requests, with errors that name the field.

use serde::Deserialize;

use crate::{
    api::{
        error::ApiError,
        quote::{quoted, shortened},
        request::Object,
    },
    limits::{ID_CHARS_MAX, JSON_STRING_BYTES_MAX},
};

/// Byte order marks.
const UTF_8_MARK: &[u8] = b"\xef\xbb\xbf";
const UTF_16_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// Parses a body that holds one JSON object.
///
/// # Errors
/// Where the text stops being JSON, or the field that is wrong and what was expected.
pub fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    // RFC 8259, 8.1: a parser may ignore a byte order mark.
    let body = body.strip_prefix(UTF_8_MARK).unwrap_or(body);
    if UTF_16_MARKS.iter().any(|mark| body.starts_with(mark)) {
        return Err(ApiError::field("body", "UTF-16; send UTF-8"));
    }
    check_strings(body)?;
    match serde_json::from_slice(body) {
        Ok(Object(parsed)) => Ok(parsed),
        Err(_) => parse_with_path(body),
    }
}

/// As [`parse`]. Following the path of each field takes longer than parsing, so this is for bodies
/// with an error.
fn parse_with_path<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let Object(parsed) = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let field = quoted(error.path());
        problem(if field == "." { "body" } else { &field }, error.inner())
    })?;
    deserializer.end().map_err(|error| problem("body", &error))?;
    Ok(parsed)
}

/// Checks that names and values are short. The parser would copy and escape a long one for its
/// error.
fn check_strings(body: &[u8]) -> Result<(), ApiError> {
    if body.len() <= JSON_STRING_BYTES_MAX {
        return Ok(());
    }
    let mut rest = body;
    while let Some(open) = rest.iter().position(|byte| *byte == b'"') {
        let text = rest.get(open + 1..).unwrap_or_default();
        let mut is_escaped = false;
        let end = text.iter().position(|byte| {
            let is_end = *byte == b'"' && !is_escaped;
            is_escaped = *byte == b'\\' && !is_escaped;
            is_end
        });
        let length = end.unwrap_or(text.len());
        if length > JSON_STRING_BYTES_MAX {
            let message = format!("a name or a value of {length} bytes; an id has at most {ID_CHARS_MAX} characters");
            return Err(ApiError::field("body", message));
        }
        rest = text.get(length + 1..).unwrap_or_default();
    }
    Ok(())
}

fn problem(field: &str, error: &serde_json::Error) -> ApiError {
    let text = error.to_string();
    if !error.is_data() {
        return ApiError::field("body", format!("not JSON: {}", shortened(&text)));
    }
    // The path names the field; a line and a column of a body on one line add nothing.
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    ApiError::field(field, shortened(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::request::{BatchRequest, RecommendRequest},
        limits::QUOTED_CHARS_MAX,
    };

    fn detail<'a, T: Deserialize<'a> + std::fmt::Debug>(body: &'a str) -> String {
        parse::<T>(body.as_bytes()).unwrap_err().detail
    }

    #[test]
    fn errors_name_the_field_by_its_path() {
        type Recommend<'a> = RecommendRequest<'a>;
        let expected = "history[1].rating: invalid type: string \"5\", expected a number";
        assert_eq!(detail::<Recommend>(r#"{"history": [{"item": 1}, {"item": "a", "rating": "5"}]}"#), expected);
        let expected = "requests[0].user: empty id";
        assert_eq!(detail::<BatchRequest<'_>>(r#"{"requests": [{"user": ""}]}"#), expected);
        let expected = "history[0]: missing field `item`";
        assert_eq!(detail::<Recommend>(r#"{"history": [{"rating": 5}]}"#), expected);
        assert!(detail::<Recommend>("{").starts_with("body: not JSON: EOF while parsing"));
        assert!(detail::<Recommend>("{} 1").starts_with("body: not JSON: trailing characters"));
        assert_eq!(detail::<Recommend>(r#"{"user": "a", "user": "b"}"#), "body: duplicate field `user`");
    }

    #[test]
    fn errors_do_not_repeat_a_long_value() {
        let long = "é".repeat(5000);
        for (body, expected) in
            [(format!(r#"{{"n": "{long}"}}"#), "n: invalid type: string \"éé"), (format!(r#"{{"{long}": 1}}"#), "éé")]
        {
            let detail = detail::<RecommendRequest<'_>>(&body);
            assert!(detail.starts_with(expected) && detail.chars().count() < 4 * QUOTED_CHARS_MAX, "{detail}");
            assert!(detail.contains("expected"), "{detail}");
        }
    }

    #[test]
    fn long_names_and_values_are_refused_before_they_are_parsed() {
        let escaped = r"\ud83d\ude00".repeat(ID_CHARS_MAX);
        let user = |text: &str| format!(r#"{{"n": 3, "user": "{text}"}}"#);
        assert!(parse::<RecommendRequest<'_>>(user(&escaped).as_bytes()).is_ok());
        let expected = "body: a name or a value of 12290 bytes; an id has at most 1024 characters";
        assert_eq!(detail::<RecommendRequest<'_>>(&user(&(escaped.clone() + r#"\""#))), expected);
        assert_eq!(detail::<RecommendRequest<'_>>(&format!(r#"{{"\"{}"#, "x".repeat(12_288))), expected);
        // A quote ends a text, and a backslash before it does not always escape it.
        assert!(parse::<RecommendRequest<'_>>(user(r"\\").as_bytes()).is_ok());
        assert!(detail::<RecommendRequest<'_>>(r#"{"user": "a\"#).starts_with("body: not JSON"));
    }
}
