//! Finds the values of a row that are read in another form than they are written.

use crate::{
    reinterpreted::{Reinterpretation, Reinterpreted},
    table::Cell,
    timestamp::{Time, TimeForm, TimeUnit},
};

/// Words that may be a missing id.
const NULL_WORDS: [&str; 5] = ["null", "none", "nan", "nil", "undefined"];

/// Counts the forms of a row that is used.
pub(crate) fn count(found: &mut Reinterpreted, ids: [Cell<'_>; 2], rating: Cell<'_>, time: Option<Time>) {
    let ids = ids.map(|id| text(id).unwrap_or_default());
    if ids.iter().any(|id| id.trim().len() < id.len()) {
        found.add(Reinterpretation::PaddedId);
    }
    if ids.iter().any(|id| is_float_id(id.trim())) {
        found.add(Reinterpretation::FloatId);
    }
    if ids.iter().any(|id| is_quoted(id.trim())) {
        found.add(Reinterpretation::QuotedId);
    }
    if ids.iter().any(|id| is_null_word(id.trim())) {
        found.add(Reinterpretation::NullWord);
    }
    if text(rating).is_some_and(|rating| rating.contains(',')) {
        found.add(Reinterpretation::DecimalComma);
    }
    match time.map(|time| time.form) {
        Some(TimeForm::WithoutZone) => found.add(Reinterpretation::TimeWithoutZone),
        Some(TimeForm::Number(TimeUnit::Millis)) => found.add(Reinterpretation::Milliseconds),
        Some(TimeForm::Number(TimeUnit::Micros)) => found.add(Reinterpretation::Microseconds),
        Some(TimeForm::Number(TimeUnit::Nanos)) => found.add(Reinterpretation::Nanoseconds),
        Some(TimeForm::Number(TimeUnit::Calendar)) => found.add(Reinterpretation::DateNumber),
        Some(TimeForm::Exact | TimeForm::NearZero | TimeForm::Number(TimeUnit::Seconds)) | None => {}
    }
}

/// Text of a cell; other types have one form only.
fn text(cell: Cell<'_>) -> Option<&str> {
    match cell {
        Cell::Text(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// `'a'`, and `"a"` in text where quotes are ordinary characters.
fn is_quoted(id: &str) -> bool {
    matches!(id.as_bytes(), [b'\'', .., b'\''] | [b'"', .., b'"'])
}

/// A missing value as programs write it: `NULL` by `mysql --batch`, `None` and `nan` by Python.
fn is_null_word(id: &str) -> bool {
    NULL_WORDS.iter().any(|word| id.eq_ignore_ascii_case(word))
}

/// `7.0`.
fn is_float_id(id: &str) -> bool {
    id.strip_suffix(".0").is_some_and(|whole| !whole.is_empty() && whole.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_row_are_counted_once() {
        let mut found = Reinterpreted::default();
        let text = |text: &'static str| Cell::Text(text.as_bytes());
        count(&mut found, [text("a"), text("b")], Cell::Null, None);
        assert_eq!(found.described(), "");
        count(&mut found, [text(" a "), text("b ")], text("4,5"), Time::parse("2000-12-31"));
        count(&mut found, [text("7.0"), text("x.0")], text("4"), Time::parse("978300760000"));
        count(&mut found, [text("'a'"), text("'")], Cell::Null, None);
        count(&mut found, [text("NULL"), text("none of these")], Cell::Null, Time::parse("20240501"));
        found.add(Reinterpretation::SeveralLines);
        assert_eq!(
            found.described(),
            "1 dateNumber, 1 decimalComma, 1 floatId, 1 milliseconds, 1 nullWord, 1 paddedId, 1 quotedId, 1 severalLines, 1 timeWithoutZone"
        );
    }
}
