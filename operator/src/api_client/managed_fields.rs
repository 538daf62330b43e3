//! Removes `metadata.managedFields` from responses while they arrive, before they are counted,
//! kept or parsed. Nothing but the metadata of Secrets is read there, any client that may write an
//! object may write it, also times that no parser of dates accepts, and it is the largest part of
//! most objects. Pure.

/// A longer key is neither of those that matter.
const KEY_BYTES_MAX: usize = 16;
/// Key of an object's metadata.
const METADATA: &[u8] = b"metadata";
/// Key that is removed from metadata.
const MANAGED_FIELDS: &[u8] = b"managedFields";

/// Filter of a stream of JSON values. It replaces each `managedFields` directly in a `metadata` by
/// null. What is not JSON may be cut, and is not parsed either way.
#[derive(Debug, Default)]
pub struct ManagedFieldsFilter {
    /// The objects and arrays that the next byte is in.
    open: Vec<Container>,
    /// The string that the next byte is in.
    string: Option<Text>,
    /// Number of open containers around the value that is being removed.
    removed_in: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Container {
    Array,
    Object { is_metadata: bool, key: Key },
}

/// The key of the current member of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    /// It is not complete yet.
    Next,
    Metadata,
    ManagedFields,
    Other,
}

/// The beginning of a string.
#[derive(Clone, Copy, Debug, Default)]
struct Text {
    bytes: [u8; KEY_BYTES_MAX],
    len: usize,
    is_escape: bool,
}

impl ManagedFieldsFilter {
    /// The next bytes of the response without what is removed.
    pub fn filter(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(bytes.len());
        for byte in bytes {
            self.next(*byte, &mut kept);
        }
        kept
    }

    fn next(&mut self, byte: u8, kept: &mut Vec<u8>) {
        if self.string.is_none() && self.removed_in == Some(self.open.len()) && matches!(byte, b',' | b'}') {
            self.removed_in = None;
        }
        if self.removed_in.is_none() {
            kept.push(byte);
        }
        if let Some(text) = &mut self.string {
            if text.ends_with(byte) {
                self.end_string();
            }
            return;
        }
        match byte {
            b'"' => self.string = Some(Text::default()),
            b'{' => {
                let is_metadata = matches!(self.open.last(), Some(Container::Object { key: Key::Metadata, .. }));
                self.open.push(Container::Object { is_metadata, key: Key::Next });
            }
            b'[' => self.open.push(Container::Array),
            b'}' | b']' => drop(self.open.pop()),
            b',' => self.set_key(Key::Next),
            b':' if self.removed_in.is_none() && self.is_at_managed_fields() => {
                kept.extend_from_slice(b"null");
                self.removed_in = Some(self.open.len());
            }
            _ => {}
        }
    }

    fn is_at_managed_fields(&self) -> bool {
        self.open.last() == Some(&Container::Object { is_metadata: true, key: Key::ManagedFields })
    }

    /// The first string of a member is its key.
    fn end_string(&mut self) {
        let Some(text) = self.string.take() else { return };
        if matches!(self.open.last(), Some(Container::Object { key: Key::Next, .. })) {
            self.set_key(text.key());
        }
    }

    fn set_key(&mut self, next: Key) {
        if let Some(Container::Object { key, .. }) = self.open.last_mut() {
            *key = next;
        }
    }
}

impl Text {
    /// Adds a byte; whether it ends the string.
    fn ends_with(&mut self, byte: u8) -> bool {
        if !self.is_escape && byte == b'"' {
            return true;
        }
        self.is_escape = !self.is_escape && byte == b'\\';
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
        false
    }

    fn key(&self) -> Key {
        match self.bytes.get(..self.len) {
            Some(METADATA) => Key::Metadata,
            Some(MANAGED_FIELDS) => Key::ManagedFields,
            _ => Key::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The text after the filter, which receives it in pieces of this many bytes.
    fn filtered(text: &str, piece: usize) -> String {
        let mut filter = ManagedFieldsFilter::default();
        let kept: Vec<u8> = text.as_bytes().chunks(piece).flat_map(|piece| filter.filter(piece)).collect();
        String::from_utf8(kept).unwrap()
    }

    /// Replaces it in a parsed value: the meaning of the filter.
    fn replace(value: &mut Value, is_metadata: bool) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| replace(item, false)),
            Value::Object(members) => {
                for (key, member) in members {
                    if is_metadata && key == "managedFields" {
                        *member = Value::Null;
                    } else {
                        replace(member, key == "metadata");
                    }
                }
            }
            _ => {}
        }
    }

    #[test]
    fn only_managed_fields_of_metadata_are_replaced_wherever_the_pieces_end() {
        let entries = json!([{"manager": "a\"}],{[\\", "fieldsV1": {"f:metadata": {"managedFields": [1, "\\\""]}}}, 2]);
        let object = json!({
            "kind": "A \"metadata\": {\"managedFields\":",
            "managedFields": entries,
            "metadata": {
                "annotations": {"managedFields": "kept", "metadata": "managedFields", "a": "\\"},
                "managedFields": entries, "name": "managedFields", "uid": "u",
            },
            "spec": {"list": [{"metadata": {"managedFields": "text, }"}}, {"metadata": []}, "managedFields", 1.5, null]},
        });
        let list = json!({"items": [object, object], "metadata": {"resourceVersion": "1", "managedFields": {}}});
        let event = json!({"type": "ADDED", "object": object});
        for value in [object, list, event] {
            let mut expected = value.clone();
            replace(&mut expected, false);
            assert_ne!(value, expected);
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                for piece in [1, 2, 3, 7, text.len()] {
                    let kept = filtered(&format!("{text}\n{text}\n"), piece);
                    let found: Vec<Value> =
                        serde_json::Deserializer::from_str(&kept).into_iter().collect::<Result<_, _>>().unwrap();
                    assert_eq!(found, [expected.clone(), expected.clone()], "{piece}: {kept}");
                }
            }
        }
    }

    #[test]
    fn text_that_is_not_json_ends_without_a_panic() {
        for text in ["", "}]}", "<html>\"", "{\"metadata\":{\"managedFields\":", "[,,:\\\"]"] {
            assert!(filtered(text, 1).len() <= text.len() + "null".len(), "{text}");
        }
    }
}
