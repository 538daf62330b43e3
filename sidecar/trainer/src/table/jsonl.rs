//! One JSON object a line, as rows of cells.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{
    Cell, Taker, WANTED_MAX,
    header::{Header, Kind, present},
};
use crate::{
    dropped::DropReason,
    failure::Stop,
    limits::{FIELDS_PER_ROW_MAX, ROW_BYTES_MAX},
};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads one file.
pub(crate) struct Jsonl<'a> {
    described_as: &'a str,
    /// The line so far; at most [`ROW_BYTES_MAX`].
    line: Vec<u8>,
    too_long: bool,
    /// Keys of the wanted columns, once an object said which there are.
    keys: Option<[Option<String>; WANTED_MAX]>,
    first_line: bool,
    values: Values,
}

/// The wanted values of one object. Text lies in one buffer, so that a row allocates nothing.
#[derive(Default)]
struct Values {
    text: Vec<u8>,
    values: [Value; WANTED_MAX],
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
            first_line: true,
            values: Values::default(),
        }
    }

    /// Takes the next bytes of the file.
    pub(crate) fn feed(&mut self, mut chunk: &[u8], taker: &mut dyn Taker) -> Result<(), Stop> {
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            let (head, rest) = chunk.split_at(end);
            self.extend(head);
            self.take(taker)?;
            chunk = rest.get(1..).unwrap_or_default();
        }
        self.extend(chunk);
        Ok(())
    }

    /// The file is over.
    pub(crate) fn finish(&mut self, taker: &mut dyn Taker) -> Result<(), Stop> {
        self.take(taker)
    }

    fn extend(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() > ROW_BYTES_MAX {
            self.too_long = true;
            self.line.clear();
        } else if !self.too_long {
            self.line.extend_from_slice(bytes);
        }
    }

    fn take(&mut self, taker: &mut dyn Taker) -> Result<(), Stop> {
        let line = std::mem::take(&mut self.line);
        let result = self.take_line(&line, taker);
        self.line = line;
        self.line.clear();
        self.too_long = false;
        result
    }

    fn take_line(&mut self, line: &[u8], taker: &mut dyn Taker) -> Result<(), Stop> {
        let first = std::mem::take(&mut self.first_line);
        let line = if first { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line };
        if self.too_long {
            taker.bad(DropReason::RowTooLong, 1);
            return Ok(());
        }
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        if first && line.trim_ascii_start().starts_with(b"[") {
            return Err(Stop::bad_data(format!(
                "{} is a JSON array: expected one object a line, for example {{\"user_id\": \"a\", \"item_id\": 1}}",
                self.described_as
            )));
        }
        if self.keys.is_none() {
            let Ok(keys) = keys_of(line) else {
                taker.bad(DropReason::NotJson, 1);
                return Ok(());
            };
            let header = Header { described_as: self.described_as, kind: Kind::Keys(keys) };
            taker.columns(&header.kind);
            let positions = header.positions(taker.wanted())?;
            let Kind::Keys(names) = header.kind else { return Ok(()) };
            taker.begin(self.described_as, present(&positions))?;
            self.keys = Some(positions.map(|position| names.get(position?).cloned()));
        }
        let Some(keys) = &self.keys else { return Ok(()) };
        self.values.text.clear();
        self.values.values = [Value::Null; WANTED_MAX];
        let mut json = serde_json::Deserializer::from_slice(line);
        let read = Object { keys, values: &mut self.values }.deserialize(&mut json).and_then(|()| json.end());
        if read.is_err() {
            // Text that is no UTF-8 fails only inside a wanted value; anything else is no JSON.
            let reason = if std::str::from_utf8(line).is_err() { DropReason::NotUtf8 } else { DropReason::NotJson };
            taker.bad(reason, 1);
            return Ok(());
        }
        let Values { text, values } = &self.values;
        taker.row(&values.map(|value| match value {
            Value::Null => Cell::Null,
            Value::Text { start, end } => Cell::Text(text.get(start..end).unwrap_or_default()),
            Value::Int(number) => Cell::Int(number),
            Value::Float(number) => Cell::Float(number),
            Value::Bool(flag) => Cell::Bool(flag),
            Value::Other => Cell::Other,
        }))
    }
}

/// Names of an object's keys, each once.
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

/// An object whose wanted values are kept. Of a key that stands there twice the last value counts.
struct Object<'a> {
    keys: &'a [Option<String>; WANTED_MAX],
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
                // One key may be wanted twice, for example as id and as title.
                for (slot, _) in self.values.values.iter_mut().zip(slots).filter(|(_, wanted)| *wanted) {
                    *slot = value;
                }
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Which wanted columns a key is.
struct Key<'a> {
    keys: &'a [Option<String>; WANTED_MAX],
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = [bool; WANTED_MAX];
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = [bool; WANTED_MAX];
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(std::array::from_fn(|slot| self.keys.get(slot).is_some_and(|wanted| wanted.as_deref() == Some(key))))
    }
}

/// One value; text goes to the end of `text`.
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
    /// Whole numbers beyond 64 bits arrive here as well, inexact: as an id they are refused like any fraction.
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
