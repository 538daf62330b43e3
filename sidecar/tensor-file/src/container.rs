//! The safetensors container: an 8-byte length, a JSON header, then the tensors without gaps.

use std::{borrow::Cow, collections::BTreeMap, ops::Range};

use serde::{Deserialize, Serialize};

use crate::{buffer::ALIGNMENT_BYTES, error::TensorFileError};

/// Size of the header length field at the start of the file.
const LENGTH_BYTES: usize = 8;
/// Max size of a header; a snapshot's has about 3 KiB, a catalogue's at most 64 KiB.
const HEADER_BYTES_MAX: u64 = 1 << 20;
/// Key of the metadata in the header; a tensor cannot have this name.
const METADATA_KEY: &str = "__metadata__";
/// Key of the only entry of the metadata.
const RECMESH_KEY: &str = "recmesh";
/// Name prefix of padding tensors, which fill the file up to the next multiple of
/// [`ALIGNMENT_BYTES`].
const PADDING_PREFIX: &str = "_pad.";

/// Element types of tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dtype {
    /// Bytes, bits or flags.
    U8,
    /// 32-bit unsigned integers.
    U32,
    /// 64-bit unsigned integers.
    U64,
    /// The upper halves of single precision numbers.
    BF16,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
}

impl Dtype {
    fn size_bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::BF16 => 2,
            Self::U32 | Self::F32 => 4,
            Self::U64 | Self::F64 => 8,
        }
    }
}

/// Name, type and shape of a tensor to write.
#[derive(Clone, Debug)]
pub struct PlannedTensor {
    /// Name.
    pub name: Cow<'static, str>,
    /// Type of the elements.
    pub dtype: Dtype,
    /// Length of each dimension.
    pub shape: Vec<usize>,
}

impl PlannedTensor {
    fn size_bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size_bytes()
    }

    /// Size of the padding after the tensor.
    pub fn padding_bytes(&self) -> usize {
        self.size_bytes().next_multiple_of(ALIGNMENT_BYTES) - self.size_bytes()
    }
}

#[derive(Serialize)]
struct HeaderEntry {
    dtype: Dtype,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// Length field and header of a file with these tensors in this order, each followed by its
/// padding. The total size is a multiple of [`ALIGNMENT_BYTES`], so that the first tensor is
/// aligned.
#[expect(clippy::missing_panics_doc, reason = "a struct of numbers serializes")]
pub fn head(metadata: &str, tensors: &[PlannedTensor]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    header.insert(METADATA_KEY.to_owned(), serde_json::json!({ RECMESH_KEY: metadata }));
    let mut offset = 0;
    let mut append = |name: String, dtype: Dtype, shape: Vec<usize>, bytes: usize| {
        let tensor = HeaderEntry { dtype, shape, data_offsets: [offset, offset + bytes] };
        offset += bytes;
        header.insert(name, serde_json::to_value(tensor).expect("a struct of numbers serializes"));
    };
    for tensor in tensors {
        append(tensor.name.clone().into_owned(), tensor.dtype, tensor.shape.clone(), tensor.size_bytes());
        let padding = tensor.padding_bytes();
        if padding > 0 {
            append(format!("{PADDING_PREFIX}{}", tensor.name), Dtype::U8, vec![padding], padding);
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
struct RawHeader {
    #[serde(rename = "__metadata__", default)]
    metadata: BTreeMap<String, String>,
    #[serde(flatten)]
    tensors: BTreeMap<String, RawEntry>,
}

#[derive(Deserialize)]
struct RawEntry {
    /// Not a [`Dtype`], so that an unknown tensor may have an unsupported type.
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// Parsed header. The ranges of all tensors are within the file.
pub struct Container {
    /// JSON of the file's own format.
    pub metadata: String,
    tensors: BTreeMap<String, TensorEntry>,
}

struct TensorEntry {
    dtype: String,
    shape: Vec<u64>,
    range: Range<usize>,
}

impl Container {
    /// Length of the head of a file that begins with these bytes: its length field and header.
    pub fn head_bytes(file: &[u8]) -> Result<usize, TensorFileError> {
        let bad = |problem: &str| TensorFileError::Container(problem.to_owned());
        let length = file.first_chunk::<LENGTH_BYTES>().ok_or_else(|| bad("the file is shorter than its header"))?;
        let length = u64::from_le_bytes(*length);
        if length > HEADER_BYTES_MAX {
            return Err(TensorFileError::Container(format!(
                "the header has {length} bytes; the maximum is {HEADER_BYTES_MAX}"
            )));
        }
        let length = usize::try_from(length).map_err(|_| bad("the header exceeds the address space"))?;
        Ok(LENGTH_BYTES + length)
    }

    /// Parses the header and validates that the tensors cover the rest of the file without gap or
    /// overlap.
    pub fn parse(file: &[u8]) -> Result<Self, TensorFileError> {
        Self::parse_head(file, file.len() as u64)
    }

    /// [`Self::parse`] of the beginning of a file of this size, with at least its head.
    pub fn parse_head(file: &[u8], file_bytes: u64) -> Result<Self, TensorFileError> {
        let bad = |problem: &str| TensorFileError::Container(problem.to_owned());
        let data_start = Self::head_bytes(file)?;
        let header = file.get(LENGTH_BYTES..data_start).ok_or_else(|| bad("the file is shorter than its header"))?;
        let data_bytes =
            file_bytes.checked_sub(data_start as u64).ok_or_else(|| bad("the file is shorter than its header"))?;
        let header: RawHeader =
            serde_json::from_slice(header).map_err(|error| TensorFileError::Container(format!("header: {error}")))?;

        let mut order: Vec<(&String, &RawEntry)> = header.tensors.iter().collect();
        order.sort_by_key(|(_, tensor)| tensor.data_offsets);
        let mut previous_end = 0;
        for (name, tensor) in order {
            let [start, end] = tensor.data_offsets;
            if start != previous_end || end < start {
                return Err(TensorFileError::corrupt(
                    name,
                    format!("bytes {start}..{end}: expected a start at byte {previous_end} and an end after the start"),
                ));
            }
            previous_end = end;
        }
        if previous_end != data_bytes {
            return Err(TensorFileError::Container(format!(
                "the tensors have {data_bytes} bytes, but the header describes {previous_end}; the file is truncated or has \
                 extra bytes"
            )));
        }

        let mut metadata = header.metadata;
        let metadata = metadata.remove(RECMESH_KEY).ok_or_else(|| bad("the metadata key `recmesh` is missing"))?;
        let mut tensors = BTreeMap::new();
        for (name, RawEntry { dtype, shape, data_offsets: [start, end] }) in header.tensors {
            // Offsets are at most the size of the file.
            let in_file = |offset: u64| usize::try_from(offset).ok().and_then(|offset| offset.checked_add(data_start));
            let (Some(start), Some(end)) = (in_file(start), in_file(end)) else {
                return Err(bad("an offset exceeds the address space"));
            };
            tensors.insert(name, TensorEntry { dtype, shape, range: start..end });
        }
        Ok(Self { metadata, tensors })
    }

    /// Whether the file has a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Length of a dimension of a tensor, for lengths that the metadata does not determine.
    pub fn length(&self, name: &str, dimension: usize) -> Option<u64> {
        self.tensors.get(name)?.shape.get(dimension).copied()
    }

    /// Byte range of a tensor. Validates its type, shape, size and alignment.
    pub fn tensor(&self, name: &str, dtype: Dtype, shape: &[u64]) -> Result<Range<usize>, TensorFileError> {
        let found = self.tensors.get(name).ok_or_else(|| TensorFileError::corrupt(name, "is missing"))?;
        let expected = format!("{dtype:?}");
        if found.dtype != expected || found.shape != shape {
            return Err(TensorFileError::corrupt(
                name,
                format!("has type {} and shape {:?}; expected {expected} {shape:?}", found.dtype, found.shape),
            ));
        }
        let size = shape.iter().try_fold(dtype.size_bytes() as u64, |size, length| size.checked_mul(*length));
        if size != Some(found.range.len() as u64) {
            return Err(TensorFileError::corrupt(
                name,
                format!("has {} bytes, which does not match the shape {shape:?}", found.range.len()),
            ));
        }
        if !found.range.start.is_multiple_of(ALIGNMENT_BYTES) {
            return Err(TensorFileError::corrupt(
                name,
                format!("does not start at a multiple of {ALIGNMENT_BYTES} bytes"),
            ));
        }
        Ok(found.range.clone())
    }
}
