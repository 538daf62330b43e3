//! What an error repeats of a request: the beginning, or the beginning and the end, of a text.

use std::{
    borrow::Cow,
    fmt::{self, Display, Write as _},
};

use crate::limits::QUOTED_CHARS_MAX;

/// The beginning of a value. A longer one ends with an ellipsis and is not formatted further.
pub fn quoted(value: impl Display) -> String {
    let mut quote = Quote { text: String::new(), chars_left: QUOTED_CHARS_MAX };
    // The only error is the end of the quote.
    if write!(quote, "{value}").is_err() {
        quote.text.push('…');
    }
    quote.text
}

/// Max characters of the end of a message: it has the names of all fields of a request.
const END_CHARS_MAX: usize = QUOTED_CHARS_MAX * 3 / 2;

/// The beginning and the end of a message that quotes a value in its middle: the end has what was
/// expected.
pub fn shortened(message: &str) -> String {
    let end = |(start, _): (usize, char)| message.get(start..).unwrap_or_default();
    let tail = message.char_indices().nth_back(END_CHARS_MAX - 1).map_or(message, end);
    match message.strip_suffix(tail).unwrap_or_default() {
        "" => message.to_owned(),
        head => format!("{}{tail}", quoted(head)),
    }
}

/// The beginning of a text whose JSON has at most about this number of bytes.
pub fn within(text: &str, json_bytes_max: usize) -> Cow<'_, str> {
    let mut bytes = 0;
    let beyond = text.char_indices().find(|(_, char)| {
        bytes += json_bytes(*char);
        bytes > json_bytes_max
    });
    let Some((end, _)) = beyond else { return Cow::Borrowed(text) };
    Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default()))
}

/// Length of a character in a string of JSON.
fn json_bytes(char: char) -> usize {
    match char {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..'\u{20}' => 6,
        _ => char.len_utf8(),
    }
}

struct Quote {
    text: String,
    chars_left: usize,
}

impl fmt::Write for Quote {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for char in part.chars() {
            self.chars_left = self.chars_left.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(char);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_texts_are_cut() {
        let (short, long) = ("é".repeat(QUOTED_CHARS_MAX), "é".repeat(QUOTED_CHARS_MAX + 1));
        assert_eq!(quoted(&short), short);
        assert_eq!(quoted(&long), format!("{short}…"));
        assert_eq!(quoted(format_args!("{:?}", "\u{1}".repeat(1 << 20))).chars().count(), QUOTED_CHARS_MAX + 1);
    }

    #[test]
    fn a_text_is_cut_by_its_length_in_json() {
        let all: String = ('\0'..='\u{ff}').collect();
        for char in all.chars().chain(['€', '😀']) {
            let json = serde_json::to_string(&char.to_string()).unwrap();
            assert_eq!(json_bytes(char), json.len() - 2, "{char:?}");
        }
        assert_eq!(within(&all, 1 << 20), all);
        let cut = within(&all, 100);
        let kept = cut.strip_suffix('…').unwrap();
        assert!(all.starts_with(kept) && serde_json::to_string(kept).unwrap().len() - 2 > 100 - 6, "{kept:?}");
        assert_eq!(within(&"\u{1}".repeat(50), 120), format!("{}…", "\u{1}".repeat(20)));
    }

    #[test]
    fn the_end_of_a_message_is_kept() {
        let middle = "é".repeat(1000);
        let short = shortened(&format!("invalid: {middle}, expected a number"));
        assert!(short.starts_with("invalid: éé") && short.ends_with("éé, expected a number"), "{short}");
        assert_eq!(short.chars().count(), QUOTED_CHARS_MAX + END_CHARS_MAX + 1);
        for whole in ["", "short", &"é".repeat(QUOTED_CHARS_MAX), &"é".repeat(2 * QUOTED_CHARS_MAX)] {
            assert_eq!(shortened(whole), whole);
        }
    }
}
