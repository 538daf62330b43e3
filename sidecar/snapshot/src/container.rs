//! The safetensors container: an 8-byte length, a JSON header, then the tensors without holes. It knows nothing of models.

use std::{collections::BTreeMap, ops::Range};

use serde::{Deserialize, Serialize};

use crate::{buffer::ALIGNMENT_BYTES, error::SnapshotError};

/// Bytes of the header's length at the start of the file.
const LENGTH_BYTES: usize = 8;
/// Longest header that is read; ours is about 3 KiB.
const HEADER_BYTES_MAX: u64 = 1 << 20;
/// The header's key for text; a tensor cannot have this name.
const METADATA_KEY: &str = "__metadata__";
/// The one text in it.
const OUR_KEY: &str = "recmesh";
/// Prefix of the tensors that only fill up to the next multiple of [`ALIGNMENT_BYTES`].
const PADDING_PREFIX: &str = "_pad.";

/// Types of numbers in our tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Dtype {
    U8,
    U32,
    U64,
    F32,
    F64,
}

impl Dtype {
    fn size_bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U32 | Self::F32 => 4,
            Self::U64 | Self::F64 => 8,
        }
    }
}

/// A tensor to be written.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) name: &'static str,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
}

impl Planned {
    fn size_bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size_bytes()
    }

    /// Zero bytes that follow the tensor.
    pub(crate) fn padding_bytes(&self) -> usize {
        self.size_bytes().next_multiple_of(ALIGNMENT_BYTES) - self.size_bytes()
    }
}

#[derive(Serialize)]
struct WrittenTensor {
    dtype: Dtype,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// Length and header of a file with these tensors in this order, each followed by its padding. Its own length is a
/// multiple of [`ALIGNMENT_BYTES`], so the first tensor is aligned too.
pub(crate) fn head(metadata: &str, tensors: &[Planned]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    header.insert(METADATA_KEY.to_owned(), serde_json::json!({ OUR_KEY: metadata }));
    let mut offset = 0;
    let mut place = |name: String, dtype: Dtype, shape: Vec<usize>, bytes: usize| {
        let tensor = WrittenTensor { dtype, shape, data_offsets: [offset, offset + bytes] };
        offset += bytes;
        header.insert(name, serde_json::to_value(tensor).expect("a struct of numbers serializes"));
    };
    for tensor in tensors {
        place(tensor.name.to_owned(), tensor.dtype, tensor.shape.clone(), tensor.size_bytes());
        let padding = tensor.padding_bytes();
        if padding > 0 {
            place(format!("{PADDING_PREFIX}{}", tensor.name), Dtype::U8, vec![padding], padding);
        }
    }
    let mut text = serde_json::Value::Object(header).to_string();
    let padded = (LENGTH_BYTES + text.len()).next_multiple_of(ALIGNMENT_BYTES) - LENGTH_BYTES;
    text.extend(std::iter::repeat_n(' ', padded - text.len()));
    let mut head = (text.len() as u64).to_le_bytes().to_vec();
    head.extend_from_slice(text.as_bytes());
    head
}

#[derive(Deserialize)]
struct ReadHeader {
    #[serde(rename = "__metadata__", default)]
    metadata: BTreeMap<String, String>,
    #[serde(flatten)]
    tensors: BTreeMap<String, ReadTensor>,
}

#[derive(Deserialize)]
struct ReadTensor {
    /// Text, so that a type that we do not write is no error in a tensor that we do not know.
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// A parsed header. Every tensor's range lies within the file.
pub(crate) struct Container {
    pub(crate) metadata: String,
    tensors: BTreeMap<String, FoundTensor>,
}

struct FoundTensor {
    dtype: String,
    shape: Vec<u64>,
    range: Range<usize>,
}

impl Container {
    /// Parses the header, and checks that the tensors cover the rest of the file without hole or overlap.
    pub(crate) fn parse(file: &[u8]) -> Result<Self, SnapshotError> {
        let bad = |problem: &str| SnapshotError::NotASnapshot(problem.to_owned());
        let (length, rest) = file.split_first_chunk::<LENGTH_BYTES>().ok_or_else(|| bad("shorter than its header"))?;
        let length = u64::from_le_bytes(*length);
        if length > HEADER_BYTES_MAX {
            return Err(SnapshotError::NotASnapshot(format!(
                "a header of {length} bytes (at most {HEADER_BYTES_MAX} are read)"
            )));
        }
        let length = usize::try_from(length).map_err(|_| bad("a header longer than memory"))?;
        let (header, data) = rest.split_at_checked(length).ok_or_else(|| bad("shorter than its header"))?;
        let header: ReadHeader =
            serde_json::from_slice(header).map_err(|error| SnapshotError::NotASnapshot(format!("header: {error}")))?;
        let data_start = LENGTH_BYTES + length;

        let mut order: Vec<(&String, &ReadTensor)> = header.tensors.iter().collect();
        order.sort_by_key(|(_, tensor)| tensor.data_offsets);
        let mut end_before = 0;
        for (name, tensor) in order {
            let [start, end] = tensor.data_offsets;
            if start != end_before || end < start {
                return Err(SnapshotError::corrupt(
                    name,
                    format!("bytes {start}..{end} do not follow byte {end_before}"),
                ));
            }
            end_before = end;
        }
        if end_before != data.len() as u64 {
            return Err(SnapshotError::NotASnapshot(format!(
                "{} bytes of tensors, but the header describes {end_before}: the file is cut or has grown",
                data.len()
            )));
        }

        let mut metadata = header.metadata;
        let metadata = metadata.remove(OUR_KEY).ok_or_else(|| bad("the header has no metadata key `recmesh`"))?;
        let mut tensors = BTreeMap::new();
        for (name, ReadTensor { dtype, shape, data_offsets: [start, end] }) in header.tensors {
            // Both fit: they are at most `data.len()`.
            let at = |offset: u64| usize::try_from(offset).map(|offset| offset + data_start);
            let (Ok(start), Ok(end)) = (at(start), at(end)) else {
                return Err(bad("offsets beyond memory"));
            };
            tensors.insert(name, FoundTensor { dtype, shape, range: start..end });
        }
        Ok(Self { metadata, tensors })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// First dimension of a tensor, for those whose length nothing else gives.
    pub(crate) fn rows(&self, name: &str) -> Option<u64> {
        self.tensors.get(name)?.shape.first().copied()
    }

    /// The tensor's bytes, after checking that it has this type and shape and as many bytes as that needs.
    pub(crate) fn tensor(&self, name: &str, dtype: Dtype, shape: &[u64]) -> Result<Range<usize>, SnapshotError> {
        let found = self.tensors.get(name).ok_or_else(|| SnapshotError::corrupt(name, "is missing"))?;
        let expected = format!("{dtype:?}");
        if found.dtype != expected || found.shape != shape {
            return Err(SnapshotError::corrupt(
                name,
                format!("is {} {:?}, expected {expected} {shape:?}", found.dtype, found.shape),
            ));
        }
        let size = shape.iter().try_fold(dtype.size_bytes() as u64, |size, length| size.checked_mul(*length));
        if size != Some(found.range.len() as u64) {
            return Err(SnapshotError::corrupt(
                name,
                format!("has {} bytes, which is not {shape:?}", found.range.len()),
            ));
        }
        if !found.range.start.is_multiple_of(ALIGNMENT_BYTES) {
            return Err(SnapshotError::corrupt(
                name,
                format!("does not start at a multiple of {ALIGNMENT_BYTES} bytes"),
            ));
        }
        Ok(found.range.clone())
    }
}
