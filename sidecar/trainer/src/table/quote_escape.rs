//! How a writer of delimited text escapes quotes inside quoted fields: RFC 4180, spreadsheets and
//! most databases double them; MySQL and Spark write a backslash before them.

/// Escape of a quote inside a quoted field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuoteEscape {
    /// `""`; a backslash is an ordinary character.
    Doubled,
    /// `\"`; a backslash is written as `\\`.
    Backslash,
}

/// Position of a byte in a record.
#[derive(Clone, Copy)]
enum Place {
    FieldStart,
    Unquoted,
    /// `escaped`: an odd number of backslashes precedes.
    Quoted {
        escaped: bool,
    },
}

/// The escape that a record shows, if it shows one. The record is cut as if quotes are doubled: if
/// they are not, it ends too early or too late, but its first quote that distinguishes the two is
/// in it. A backslash before a closing quote has both meanings, and shows none.
pub(crate) fn shown_by(record: &[u8], delimiter: u8) -> Option<QuoteEscape> {
    let ends_field = |rest: &[u8]| rest.first().is_none_or(|byte| matches!(byte, b'\r' | b'\n') || *byte == delimiter);
    let mut place = Place::FieldStart;
    let mut may_have_closed_early = false;
    let mut rest = record;
    while let [byte, after @ ..] = rest {
        place = match (place, *byte) {
            (Place::Quoted { escaped }, b'"') => match after {
                // `"12\""` ends with a quote; `"x\""y"` contains a backslash and a quote.
                [b'"', then @ ..] if escaped && ends_field(then) => return Some(QuoteEscape::Backslash),
                [b'"', ..] => return Some(QuoteEscape::Doubled),
                _ if !escaped => Place::Unquoted,
                _ if ends_field(after) => {
                    may_have_closed_early = true;
                    Place::Unquoted
                }
                _ => return Some(QuoteEscape::Backslash),
            },
            (Place::Quoted { escaped }, b'\\') => Place::Quoted { escaped: !escaped },
            (Place::Quoted { .. }, _) | (Place::FieldStart, b'"') => Place::Quoted { escaped: false },
            // `"12\", black"`
            (Place::Unquoted, b'"') if may_have_closed_early => return Some(QuoteEscape::Backslash),
            (_, byte) if byte == delimiter || matches!(byte, b'\r' | b'\n') => Place::FieldStart,
            _ => Place::Unquoted,
        };
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_quote_that_only_one_writer_writes_shows_the_escape() {
        use QuoteEscape::{Backslash, Doubled};
        for (record, expected) in [
            (r#"a,"say \"hi\"",1"#, Some(Backslash)),
            (r#"a,"\"hi\", he said",1"#, Some(Backslash)),
            (r#"a,"12\"",1"#, Some(Backslash)),
            (r#"a,"12\"""#, Some(Backslash)),
            (r#"a,"12\", black",1"#, Some(Backslash)),
            (r#"a,"x \\\" y",1"#, Some(Backslash)),
            (r#"a,"{\"a\":\"b\",\"c\":1}",1"#, Some(Backslash)),
            (r#"a,"say ""hi""",1"#, Some(Doubled)),
            (r#"a,"""hi""",1"#, Some(Doubled)),
            (r#"a,"{""a"":""x\""y""}",1"#, Some(Doubled)),
            (r#"a,"x\""y",1"#, Some(Doubled)),
            (r#"a,"C:\dir\",1"#, None),
            (r#"a,"C:\dir\\",1"#, None),
            (r#"a,"","C:\dir",1"#, None),
            (r#"a,12\" pipe,"x",1"#, None),
            (r#"a,5" pipe\,1"#, None),
            ("\n\"C:\\\"\r\n", None),
            ("", None),
        ] {
            assert_eq!(shown_by(record.as_bytes(), b','), expected, "{record}");
        }
    }
}
