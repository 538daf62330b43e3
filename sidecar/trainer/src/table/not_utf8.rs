//! Bytes that are not UTF-8 as characters, for a parser that takes only UTF-8.
//!
//! Each such byte becomes one of the last 128 characters of Unicode, which are for private use.

/// The character of the byte 0, if that needed one.
const FIRST: u32 = 0x10_ff00;

/// The text with escapes; `None` if it is UTF-8, or if it has the characters of escapes itself.
pub(super) fn escaped(bytes: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(bytes.len());
    let mut has_escapes = false;
    for chunk in bytes.utf8_chunks() {
        if chunk.valid().chars().any(|character| byte(character).is_some()) {
            return None;
        }
        text.push_str(chunk.valid());
        has_escapes |= !chunk.invalid().is_empty();
        text.extend(chunk.invalid().iter().filter_map(|byte| char::from_u32(FIRST + u32::from(*byte))));
    }
    has_escapes.then_some(text)
}

/// Appends the bytes of a text with escapes.
pub(super) fn unescape(text: &str, bytes: &mut Vec<u8>) {
    for character in text.chars() {
        match byte(character) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// The byte of an escape. Bytes below 0x80 are UTF-8.
fn byte(character: char) -> Option<u8> {
    u32::from(character).checked_sub(FIRST).and_then(|byte| u8::try_from(byte).ok()).filter(|byte| *byte >= 0x80)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_is_not_utf8_is_escaped() {
        assert_eq!(escaped("Café".as_bytes()), None);
        assert_eq!(escaped(b"Caf\xe9 \xc3\xa9").as_deref(), Some("Caf\u{10ffe9} é"));
        assert_eq!(escaped("\u{10ffe9}".as_bytes()), None);
        assert_eq!(escaped(&["\u{10ffe9}".as_bytes(), b"\xe9"].concat()), None);
    }

    proptest! {
        #[test]
        fn unescaped_bytes_are_the_escaped_ones(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(text) = escaped(&bytes) {
                let mut unescaped = Vec::new();
                unescape(&text, &mut unescaped);
                prop_assert_eq!(unescaped, bytes);
            }
        }
    }
}
