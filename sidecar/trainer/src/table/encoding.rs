//! Encodings of text other than UTF-8: UTF-16 is named, and human-readable text in a legacy
//! encoding is decoded.

use std::borrow::Cow;

use crate::failure::RunError;

/// Characters of the bytes 0x80 to 0x9f in Windows-1252; the bytes above are those of Latin-1.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// Rejects UTF-16 by the first bytes of a text: its byte order mark, or ASCII characters with zeros
/// in between.
pub(crate) fn check_encoding(first: &[u8], described_as: &str) -> Result<(), RunError> {
    let is_utf16 = match first {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => true,
        [a, 0, b, 0, ..] | [0, a, 0, b, ..] => *a != 0 && *b != 0,
        _ => false,
    };
    if !is_utf16 {
        return Ok(());
    }
    Err(RunError::bad_data(format!(
        "{described_as} is UTF-16: expected UTF-8. Convert it, for example with: iconv -f UTF-16 -t UTF-8 old.csv > new.csv"
    )))
}

/// Text that is only shown. Bytes that are not UTF-8 are read as Windows-1252, which includes
/// Latin-1.
pub(crate) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    let legacy = |byte: &u8| match usize::from(*byte).checked_sub(0x80) {
        Some(index) => WINDOWS_1252.get(index).copied().unwrap_or(char::from(*byte)),
        None => char::from(*byte),
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(legacy).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf16_is_named() {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let big_endian = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
        for bytes in [utf16("\u{feff}user"), utf16("user"), big_endian("\u{feff}user"), big_endian("user")] {
            let error = check_encoding(&bytes, "it").unwrap_err().to_string();
            assert!(error.contains("it is UTF-16") && error.contains("iconv"), "{error}");
        }
        for text in ["", "u", "user_id", "\u{feff}user_id", "é,ö"] {
            assert_eq!(check_encoding(text.as_bytes(), "it"), Ok(()), "{text}");
        }
    }

    #[test]
    fn legacy_text_is_decoded() {
        assert_eq!(decode("Café".as_bytes()), "Café");
        assert_eq!(decode(b"Caf\xe9 \x80 \x93x\x94"), "Café € “x”");
    }
}
