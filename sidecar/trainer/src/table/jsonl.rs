//! JSON Lines (one object per line) as rows of cells. The column `a.b` is the key `a.b`, or the key
//! `b` of the object `a`.

use std::{fmt, ops::ControlFlow};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use sidecar_contract::Column;

use super::{
    COLUMNS_REQUESTED_MAX, Cell, ColumnRequest, RowSink,
    header::{ColumnNaming, Header},
    not_utf8,
};
use crate::{
    dropped::DropReason,
    failure::RunError,
    limits::{FIELDS_PER_ROW_MAX, ROW_BYTES_MAX},
    reinterpreted::Reinterpretation,
};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Objects whose keys decide which optional columns the file has...
const HEAD_OBJECTS_MAX: usize = 1000;
/// ...and the maximum length of these lines, which are in memory.
const HEAD_BYTES_MAX: usize = 1 << 20;

/// Reads one file.
pub(crate) struct Jsonl<'a> {
    described_as: &'a str,
    /// The line so far; up to [`ROW_BYTES_MAX`] bytes.
    line: Vec<u8>,
    too_long: bool,
    /// Known after the first objects.
    keys: Option<Keys>,
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
    keys: ObjectKeys,
    objects: usize,
}

/// Keys of the requested columns.
struct Keys {
    /// Key of each column, also if no object had it yet: a sparse key may come late.
    names: [Option<String>; COLUMNS_REQUESTED_MAX],
    /// Whether the column is used. An optional column is not if the first objects lack it: they
    /// would be dropped.
    used: [bool; COLUMNS_REQUESTED_MAX],
    /// Whether an object had the key.
    seen: [bool; COLUMNS_REQUESTED_MAX],
    /// Keys of the first objects, for messages.
    first: Vec<String>,
}

impl Keys {
    fn new(first: Vec<String>, requests: &[ColumnRequest]) -> Self {
        let mut keys = Self {
            names: Default::default(),
            used: [false; COLUMNS_REQUESTED_MAX],
            seen: [false; COLUMNS_REQUESTED_MAX],
            first,
        };
        for ((name, used), request) in keys.names.iter_mut().zip(&mut keys.used).zip(requests) {
            *name = match (&request.column, request.default_name) {
                (Some(Column::Name(name)), _) => Some(name.clone()),
                (None, Some(name)) => Some(name.to_owned()),
                (Some(Column::Index(_)) | None, _) => None,
            };
            *used = request.column.is_some() || name.as_ref().is_some_and(|name| keys.first.contains(name));
        }
        keys
    }

    /// Fails if no object has the key of a column that the resource names.
    fn check(self, described_as: &str, requests: &[ColumnRequest]) -> Result<(), RunError> {
        let missing = |(request, seen): &(&ColumnRequest, bool)| request.column.is_some() && !seen;
        let Some((request, _)) = requests.iter().zip(self.seen).find(missing) else { return Ok(()) };
        let header = Header { described_as, naming: ColumnNaming::Keys(self.first) };
        header.positions(std::slice::from_ref(request)).map(|_| ())
    }
}

/// The requested values of one object. Text is stored in one buffer, so that a row allocates
/// nothing.
#[derive(Default)]
struct Values {
    text: Vec<u8>,
    /// Whether the texts that are deserialized have escapes of [`not_utf8`].
    has_escapes: bool,
    slots: [Value; COLUMNS_REQUESTED_MAX],
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
        if self.keys.is_none() && self.finish_head(sink)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        match self.keys.take() {
            Some(keys) => keys.check(self.described_as, sink.requests()).map(ControlFlow::Continue),
            None => Ok(ControlFlow::Continue(())),
        }
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
                "{} is a JSON array: expected one object per line, for example {{\"user_id\": \"a\", \"item_id\": 1}}. \
                 Convert it, for example with: jq -c '.[]' old.json > new.jsonl",
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
        if objects == 0 && lines.first().is_some_and(|line| line.trim_ascii() == b"{") {
            return Err(RunError::bad_data(format!(
                "{} has JSON objects of several lines: expected one object per line. Convert it, for example with: jq -c . \
                 old.json > new.jsonl",
                self.described_as
            )));
        }
        if objects > 0 {
            let naming = ColumnNaming::Keys(keys.into_names());
            sink.columns(&naming);
            if let Some(numbered) =
                sink.requests().iter().find(|request| matches!(request.column, Some(Column::Index(_))))
            {
                let header = Header { described_as: self.described_as, naming };
                return header.positions(std::slice::from_ref(numbered)).map(|_| ControlFlow::Continue(()));
            }
            let ColumnNaming::Keys(first) = naming else { return Ok(ControlFlow::Continue(())) };
            let keys = Keys::new(first, sink.requests());
            sink.begin(self.described_as, keys.used)?;
            self.keys = Some(keys);
        }
        for line in lines {
            if self.take_object(&line, sink)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn take_object(&mut self, line: &[u8], sink: &mut dyn RowSink) -> Result<ControlFlow<()>, RunError> {
        let Some(keys) = &mut self.keys else {
            sink.bad(DropReason::NotJson, 1);
            return Ok(ControlFlow::Continue(()));
        };
        if self.values.read(line, keys, false).is_err() {
            // Invalid UTF-8 fails only inside a requested value; any other error means invalid
            // JSON. What becomes of bytes that are not UTF-8 depends on the column.
            let reason = if std::str::from_utf8(line).is_err() { DropReason::NotUtf8 } else { DropReason::NotJson };
            let escaped = not_utf8::escaped(line);
            if escaped.is_none_or(|escaped| self.values.read(escaped.as_bytes(), keys, true).is_err()) {
                sink.bad(reason, 1);
                return Ok(ControlFlow::Continue(()));
            }
        }
        let Values { text, slots, .. } = &mut self.values;
        let mut has_late_key = false;
        for (value, _) in slots.iter_mut().zip(keys.used).filter(|(_, used)| !used) {
            has_late_key |= !matches!(std::mem::take(value), Value::Null);
        }
        if has_late_key {
            sink.reinterpreted(Reinterpretation::LateKey);
        }
        sink.row(&slots.map(|value| match value {
            Value::Null => Cell::Null,
            Value::Text { start, end } => Cell::Text(text.get(start..end).unwrap_or_default()),
            Value::Int(number) => Cell::Int(number),
            Value::Float(number) => Cell::Float(number),
            Value::Bool(flag) => Cell::Bool(flag),
            Value::Other => Cell::Other,
        }))
    }
}

impl Values {
    /// Replaces the values by those of an object.
    fn read(&mut self, line: &[u8], keys: &mut Keys, has_escapes: bool) -> Result<(), serde_json::Error> {
        self.text.clear();
        self.has_escapes = has_escapes;
        self.slots = [Value::Null; COLUMNS_REQUESTED_MAX];
        let mut json = serde_json::Deserializer::from_slice(line);
        json.deserialize_map(Object { keys, values: self, path: "" }).and_then(|()| json.end())
    }
}

impl Head {
    fn push(&mut self, line: &[u8]) {
        if let Ok(keys) = keys_of(line) {
            self.objects += 1;
            self.keys.extend(keys);
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

/// Distinct keys, in the order in which they appear.
#[derive(Default)]
struct ObjectKeys {
    keys: Vec<String>,
    /// Keys of inner objects, as paths.
    inner: Vec<String>,
}

impl ObjectKeys {
    fn push(list: &mut Vec<String>, key: String) {
        if list.len() < FIELDS_PER_ROW_MAX && !list.contains(&key) {
            list.push(key);
        }
    }

    fn extend(&mut self, other: Self) {
        other.keys.into_iter().for_each(|key| Self::push(&mut self.keys, key));
        other.inner.into_iter().for_each(|key| Self::push(&mut self.inner, key));
    }

    /// Keys of inner objects come last.
    fn into_names(self) -> Vec<String> {
        self.keys.into_iter().chain(self.inner).take(FIELDS_PER_ROW_MAX).collect()
    }
}

/// The keys of an object. Its inner keys are omitted if a value is not UTF-8: such a value is an
/// error only where it is requested.
fn keys_of(line: &[u8]) -> Result<ObjectKeys, serde_json::Error> {
    collect_keys(line, true).or_else(|_| collect_keys(line, false))
}

fn collect_keys(line: &[u8], has_inner: bool) -> Result<ObjectKeys, serde_json::Error> {
    let mut found = ObjectKeys::default();
    let mut json = serde_json::Deserializer::from_slice(line);
    json.deserialize_map(CollectKeys { found: &mut found, has_inner, path: "" })?;
    json.end()?;
    Ok(found)
}

/// Collects the keys of an object; `path` is that of the object with a dot, or empty.
struct CollectKeys<'a> {
    found: &'a mut ObjectKeys,
    has_inner: bool,
    path: &'a str,
}

impl<'de> DeserializeSeed<'de> for CollectKeys<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CollectKeys<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let path = format!("{}{key}", self.path);
            let inner_path = format!("{path}.");
            let list = if self.path.is_empty() { &mut self.found.keys } else { &mut self.found.inner };
            ObjectKeys::push(list, path);
            if self.has_inner {
                map.next_value_seed(CollectKeys { found: self.found, has_inner: true, path: &inner_path })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Deserializes the requested values of an object. The last value of a duplicate key wins.
struct Object<'a> {
    keys: &'a mut Keys,
    values: &'a mut Values,
    /// Path of the object with a dot; empty for the outermost one.
    path: &'a str,
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(requested) = map.next_key_seed(Key { names: &self.keys.names, path: self.path })? {
            let Some(Requested { slots, inner_path }) = requested else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let path = inner_path.as_deref().unwrap_or_default();
            let object = Object { keys: self.keys, values: self.values, path };
            let value = map.next_value_seed(Requestable { object, has_inner: inner_path.is_some() })?;
            // A key may be requested twice, for example as id and as title.
            let slots = slots.into_iter().zip(&mut self.values.slots).zip(&mut self.keys.seen);
            for ((_, slot), seen) in slots.filter(|((requested, _), _)| *requested) {
                (*slot, *seen) = (value, true);
            }
        }
        Ok(())
    }
}

/// What is requested of a key.
struct Requested {
    /// The columns that are its value.
    slots: [bool; COLUMNS_REQUESTED_MAX],
    /// Path of its object with a dot, if values inside that are requested.
    inner_path: Option<String>,
}

/// Deserializes a key to what is requested of it; `None`: nothing.
struct Key<'a> {
    names: &'a [Option<String>; COLUMNS_REQUESTED_MAX],
    path: &'a str,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<Requested>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<Requested>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        // What follows the key in the path of each requested value.
        let rests = self.names.each_ref().map(|name| name.as_deref()?.strip_prefix(self.path)?.strip_prefix(key));
        let slots = rests.map(|rest| rest == Some(""));
        let has_inner = rests.iter().flatten().any(|rest| rest.starts_with('.'));
        let inner_path = has_inner.then(|| format!("{}{key}.", self.path));
        Ok((has_inner || slots.contains(&true)).then_some(Requested { slots, inner_path }))
    }
}

/// Deserializes one value. Text is appended to the text of the values, and an object is searched if
/// values inside it are requested.
struct Requestable<'a> {
    object: Object<'a>,
    has_inner: bool,
}

impl<'de> DeserializeSeed<'de> for Requestable<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Requestable<'_> {
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
        let Values { text: all, has_escapes, .. } = &mut *self.object.values;
        let start = all.len();
        if *has_escapes {
            not_utf8::unescape(text, all);
        } else {
            all.extend_from_slice(text.as_bytes());
        }
        Ok(Value::Text { start, end: all.len() })
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        if self.has_inner {
            self.object.visit_map(map)?;
        } else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        }
        Ok(Value::Other)
    }
}
