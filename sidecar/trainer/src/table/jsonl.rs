//! JSON Lines (one object per line) as rows of cells.

use std::{fmt, ops::ControlFlow};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{
    COLUMNS_REQUESTED_MAX, Cell, RowSink,
    header::{ColumnNaming, Header, present},
};
use crate::{
    dropped::DropReason,
    failure::RunError,
    limits::{FIELDS_PER_ROW_MAX, ROW_BYTES_MAX},
};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Objects whose keys are the columns...
const HEAD_OBJECTS_MAX: usize = 1000;
/// ...and the maximum length of these lines, which are in memory.
const HEAD_BYTES_MAX: usize = 1 << 20;

/// Reads one file.
pub(crate) struct Jsonl<'a> {
    described_as: &'a str,
    /// The line so far; up to [`ROW_BYTES_MAX`] bytes.
    line: Vec<u8>,
    too_long: bool,
    /// Keys of the requested columns; known from the first objects.
    keys: Option<[Option<String>; COLUMNS_REQUESTED_MAX]>,
    /// The first lines, until the keys are known.
    head: Head,
    first_line: bool,
    values: Values,
}

/// The first lines of a file. Exporters leave out a key without a value, so one object does not
/// show all keys.
#[derive(Default)]
struct Head {
    lines: Vec<Vec<u8>>,
    bytes: usize,
    /// Distinct keys, in the order in which they appear.
    keys: Vec<String>,
    objects: usize,
}

/// The requested values of one object. Text is stored in one buffer, so that a row allocates
/// nothing.
#[derive(Default)]
struct Values {
    text: Vec<u8>,
    values: [Value; COLUMNS_REQUESTED_MAX],
}

#[derive(Clone, Copy, Default)]
enum Value {
    #[default]
    Null,
    Text {
        start: usize,
        end: usize,
    },
    Int(i128),
    Float(f64),
    Bool(bool),
    Other,
}

impl<'a> Jsonl<'a> {
    pub(crate) fn new(described_as: &'a str) -> Self {
        Self {
            described_as,
            line: Vec::new(),
            too_long: false,
            keys: None,
            head: Head::default(),
            first_line: true,
            values: Values::default(),
        }
    }

    /// Processes the next bytes of the file.
    pub(crate) fn feed(&mut self, mut chunk: &[u8], sink: &mut dyn RowSink) -> Result<ControlFlow<()>, RunError> {
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            let (head, rest) = chunk.split_at(end);
            self.extend(head);
            if self.take(sink)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            chunk = rest.get(1..).unwrap_or_default();
        }
        self.extend(chunk);
        Ok(ControlFlow::Continue(()))
    }

    /// Processes the end of the file.
    pub(crate) fn finish(&mut self, sink: &mut dyn RowSink) -> Result<ControlFlow<()>, RunError> {
        if self.take(sink)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        self.finish_head(sink)
    }

    fn extend(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() > ROW_BYTES_MAX {
            self.too_long = true;
            self.line.clear();
        } else if !self.too_long {
            self.line.extend_from_slice(bytes);
        }
    }

    fn take(&mut self, sink: &mut dyn RowSink) -> Result<ControlFlow<()>, RunError> {
        let line = std::mem::take(&mut self.line);
        let result = self.take_line(&line, sink);
        self.line = line;
        self.line.clear();
        self.too_long = false;
        result
    }

    fn take_line(&mut self, line: &[u8], sink: &mut dyn RowSink) -> Result<ControlFlow<()>, RunError> {
        let first = std::mem::take(&mut self.first_line);
        let line = if first { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line };
        if self.too_long {
            sink.bad(DropReason::RowTooLong, 1);
            return Ok(ControlFlow::Continue(()));
        }
        if line.trim_ascii().is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        if first && line.trim_ascii_start().starts_with(b"[") {
            return Err(RunError::bad_data(format!(
                "{} is a JSON array: expected one object per line, for example {{\"user_id\": \"a\", \"item_id\": 1}}",
                self.described_as
            )));
        }
        if self.keys.is_none() {
            self.head.push(line);
            return if self.head.is_full() { self.finish_head(sink) } else { Ok(ControlFlow::Continue(())) };
        }
        self.take_object(line, sink)
    }

    /// Resolves the columns by the keys of the first lines, then processes these lines.
    fn finish_head(&mut self, sink: &mut dyn RowSink) -> Result<ControlFlow<()>, RunError> {
        let Head { lines, keys, objects, .. } = std::mem::take(&mut self.head);
        if objects > 0 {
            let header = Header { described_as: self.described_as, naming: ColumnNaming::Keys(keys) };
            sink.columns(&header.naming);
            let positions = header.positions(sink.requests())?;
            let ColumnNaming::Keys(names) = header.naming else { return Ok(ControlFlow::Continue(())) };
            sink.begin(self.described_as, present(&positions))?;
            self.keys = Some(positions.map(|position| names.get(position?).cloned()));
        }
        for line in lines {
            if self.take_object(&line, sink)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn take_object(&mut self, line: &[u8], sink: &mut dyn RowSink) -> Result<ControlFlow<()>, RunError> {
        let Some(keys) = &self.keys else {
            sink.bad(DropReason::NotJson, 1);
            return Ok(ControlFlow::Continue(()));
        };
        self.values.text.clear();
        self.values.values = [Value::Null; COLUMNS_REQUESTED_MAX];
        let mut json = serde_json::Deserializer::from_slice(line);
        let read = Object { keys, values: &mut self.values }.deserialize(&mut json).and_then(|()| json.end());
        if read.is_err() {
            // Invalid UTF-8 fails only inside a requested value; any other error means invalid
            // JSON.
            let reason = if std::str::from_utf8(line).is_err() { DropReason::NotUtf8 } else { DropReason::NotJson };
            sink.bad(reason, 1);
            return Ok(ControlFlow::Continue(()));
        }
        let Values { text, values } = &self.values;
        sink.row(&values.map(|value| match value {
            Value::Null => Cell::Null,
            Value::Text { start, end } => Cell::Text(text.get(start..end).unwrap_or_default()),
            Value::Int(number) => Cell::Int(number),
            Value::Float(number) => Cell::Float(number),
            Value::Bool(flag) => Cell::Bool(flag),
            Value::Other => Cell::Other,
        }))
    }
}

impl Head {
    fn push(&mut self, line: &[u8]) {
        if let Ok(keys) = keys_of(line) {
            self.objects += 1;
            for key in keys {
                if self.keys.len() < FIELDS_PER_ROW_MAX && !self.keys.contains(&key) {
                    self.keys.push(key);
                }
            }
        }
        self.bytes += line.len();
        self.lines.push(line.to_owned());
    }

    /// A file without objects ends at [`HEAD_BYTES_MAX`], too: its lines are then dropped one by
    /// one.
    fn is_full(&self) -> bool {
        self.objects >= HEAD_OBJECTS_MAX || self.bytes >= HEAD_BYTES_MAX
    }
}

/// The distinct keys of an object.
fn keys_of(line: &[u8]) -> Result<Vec<String>, serde_json::Error> {
    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<String>, A::Error> {
            let mut keys: Vec<String> = Vec::new();
            while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                if keys.len() < FIELDS_PER_ROW_MAX && !keys.contains(&key) {
                    keys.push(key);
                }
            }
            Ok(keys)
        }
    }
    let mut json = serde_json::Deserializer::from_slice(line);
    let keys = json.deserialize_map(Keys)?;
    json.end()?;
    Ok(keys)
}

/// Deserializes the requested values of an object. The last value of a duplicate key wins.
struct Object<'a> {
    keys: &'a [Option<String>; COLUMNS_REQUESTED_MAX],
    values: &'a mut Values,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(slots) = map.next_key_seed(Key { keys: self.keys })? {
            if slots.iter().any(|slot| *slot) {
                let value = map.next_value_seed(Scalar { text: &mut self.values.text })?;
                // A key may be requested twice, for example as id and as title.
                for (slot, _) in self.values.values.iter_mut().zip(slots).filter(|(_, requested)| *requested) {
                    *slot = value;
                }
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Deserializes a key to flags of the requested columns that it names.
struct Key<'a> {
    keys: &'a [Option<String>; COLUMNS_REQUESTED_MAX],
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = [bool; COLUMNS_REQUESTED_MAX];
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = [bool; COLUMNS_REQUESTED_MAX];
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(std::array::from_fn(|slot| self.keys.get(slot).is_some_and(|requested| requested.as_deref() == Some(key))))
    }
}

/// Deserializes one value; text is appended to `text`.
struct Scalar<'a> {
    text: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Scalar<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Scalar<'_> {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number.into()))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Int(number.into()))
    }
    /// Integers beyond 64 bits arrive here as well, rounded: as an id they are rejected like any
    /// other float.
    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }
    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        let start = self.text.len();
        self.text.extend_from_slice(text.as_bytes());
        Ok(Value::Text { start, end: self.text.len() })
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}
