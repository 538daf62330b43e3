//! Backslash escapes outside quoted fields. MySQL, PostgreSQL, ClickHouse, Redshift and Snowflake
//! write a backslash before a delimiter or a line break that is part of a value, and tab-separated
//! text of databases has `\t`, `\n` and `\\`.

use super::NULL_TEXT;

/// Whether a backslash at the end of a field escapes the delimiter or line break after it: a pair
/// of backslashes is an escaped backslash.
pub(crate) fn escapes_next(field: &[u8]) -> bool {
    field.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// Continues the last field of a record, which ends in an escaped line break, with the next record.
pub(crate) fn continue_with<'a>(fields: &mut Vec<Vec<u8>>, mut next: impl Iterator<Item = &'a [u8]>) {
    if let (Some(last), Some(rest)) = (fields.last_mut(), next.next()) {
        continue_field(last, b'\n', rest);
    }
    fields.extend(next.map(<[u8]>::to_owned));
}

/// Joins the fields that an escaped delimiter separates.
pub(crate) fn joined<'a>(fields: impl Iterator<Item = &'a [u8]>, delimiter: u8) -> Vec<Vec<u8>> {
    let mut joined: Vec<Vec<u8>> = Vec::new();
    for field in fields {
        match joined.last_mut().filter(|last| escapes_next(last)) {
            Some(last) => continue_field(last, delimiter, field),
            None => joined.push(field.to_owned()),
        }
    }
    joined
}

/// Replaces the backslash at the end of a field by the byte that it escapes.
fn continue_field(field: &mut Vec<u8>, escaped: u8, rest: &[u8]) {
    field.pop();
    field.push(escaped);
    field.extend_from_slice(rest);
}

/// A value of tab-separated text with escapes. `None` if it has none, is null, or has a backslash
/// that starts no escape: then its writer does not escape, and all of its backslashes are ordinary
/// characters.
pub(crate) fn unescaped(value: &[u8]) -> Option<Vec<u8>> {
    if !value.contains(&b'\\') || value.trim_ascii() == NULL_TEXT.as_bytes() {
        return None;
    }
    let mut text = Vec::with_capacity(value.len());
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'\\' => match bytes.next()? {
                b'0' => 0,
                b'b' => 0x08,
                b't' => b'\t',
                b'n' => b'\n',
                b'v' => 0x0b,
                b'f' => 0x0c,
                b'r' => b'\r',
                b'Z' => 0x1a,
                escaped @ (b'\\' | b'\'' | b'"' | b'\t' | b'\n' | b'\r') => *escaped,
                _ => return None,
            },
            byte => *byte,
        };
        text.push(byte);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_unescaped_unless_a_backslash_is_an_ordinary_character() {
        let check = |value: &str, expected: Option<&str>| {
            let found = unescaped(value.as_bytes());
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{value}");
        };
        check(r"AC\tDC", Some("AC\tDC"));
        check(r"a\\b", Some(r"a\b"));
        check(r"it\'s", Some("it's"));
        check("a\\\tb", Some("a\tb"));
        check(r"\N", None);
        check(r" \N", None);
        check(r"C:\music\temp", None);
        check(r"AC\DC", None);
        check(r"ends\", None);
        check("plain", None);
    }

    #[test]
    fn fields_are_joined_at_escaped_delimiters_and_line_breaks() {
        let split = |record: &'static str| record.split(',').map(str::as_bytes);
        let text = |fields: Vec<Vec<u8>>| -> Vec<String> {
            fields.into_iter().map(|field| String::from_utf8(field).unwrap()).collect()
        };
        let check = |record: &'static str, expected: &[&str]| assert_eq!(text(joined(split(record), b',')), expected);
        check(r"a\,b,1", &["a,b", "1"]);
        check(r"a\,b\,c,1", &["a,b,c", "1"]);
        check(r"a\\,b,1", &[r"a\\", "b", "1"]);
        check(r"a,b\", &["a", r"b\"]);
        let mut fields = vec![b"a".to_vec(), br"b\".to_vec()];
        continue_with(&mut fields, split(r"c\,d,1"));
        assert_eq!(text(fields), ["a", "b\nc\\", "d", "1"]);
    }
}
