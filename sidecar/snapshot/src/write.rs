//! From a fitted model to bytes and their digest, in one pass and with a small buffer.

use std::io::{self, Write};

use sha2::{Digest as _, Sha256};
use sidecar_contract::{Digest, canonical_json};

use crate::{
    container::{self, Dtype, Planned},
    error::SnapshotError,
    metadata::Metadata,
    parts::ModelParts,
    strings::StringTable,
};

/// Bytes that are gathered before they are hashed and written.
const BUFFER_BYTES: usize = 64 * 1024;

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// SHA-256 of all bytes: the revision's name.
    pub digest: Digest,
    /// How many they are.
    pub bytes: u64,
}

/// Writes the model. Parts that do not fit together are refused before the first byte.
pub fn write(parts: &ModelParts<'_>, out: impl Write) -> Result<Written, SnapshotError> {
    check_sizes(parts)?;
    let tensors = tensors(parts);
    let planned: Vec<Planned> = tensors.iter().map(|(planned, _)| planned.clone()).collect();
    let mut out = HashingWriter { out, hash: Sha256::new(), bytes: 0, buffer: Vec::with_capacity(BUFFER_BYTES) };
    let written = (|| {
        out.put(&container::head(&canonical_json(parts.metadata), &planned))?;
        for (planned, numbers) in &tensors {
            numbers.write(&mut out)?;
            out.put(&vec![0; planned.padding_bytes()])?;
        }
        out.finish()
    })();
    written.map_err(SnapshotError::Write)
}

/// The numbers of one tensor, wherever they are.
enum Numbers<'a> {
    U8(&'a [u8]),
    Bool(&'a [bool]),
    U32(&'a [u32]),
    OwnedU32(Vec<u32>),
    U64(&'a [u64]),
    F32(&'a [f32]),
    Matrix32(ndarray::ArrayView2<'a, f32>),
    Matrix64(ndarray::ArrayView2<'a, f64>),
}

impl Numbers<'_> {
    fn write(&self, out: &mut HashingWriter<impl Write>) -> io::Result<()> {
        match self {
            Self::U8(bytes) => out.put(bytes),
            Self::Bool(flags) => flags.iter().try_for_each(|flag| out.put(&[u8::from(*flag)])),
            Self::U32(numbers) => numbers.iter().try_for_each(|n| out.put(&n.to_le_bytes())),
            Self::OwnedU32(numbers) => numbers.iter().try_for_each(|n| out.put(&n.to_le_bytes())),
            Self::U64(numbers) => numbers.iter().try_for_each(|n| out.put(&n.to_le_bytes())),
            Self::F32(numbers) => numbers.iter().try_for_each(|n| out.put(&n.to_le_bytes())),
            Self::Matrix32(matrix) => matrix.iter().try_for_each(|n| out.put(&n.to_le_bytes())),
            Self::Matrix64(matrix) => matrix.iter().try_for_each(|n| out.put(&n.to_le_bytes())),
        }
    }
}

fn tensors<'a>(parts: &ModelParts<'a>) -> Vec<(Planned, Numbers<'a>)> {
    let ModelParts {
        metadata: _,
        user_ids,
        item_ids,
        user_factors,
        item_factors,
        gram,
        biases,
        item_counts,
        popular_items,
        seen,
        titles,
        available,
    } = parts;
    let flat = |name, dtype, length| Planned { name, dtype, shape: vec![length] };
    let matrix = |name, dtype, (rows, columns): (usize, usize)| Planned { name, dtype, shape: vec![rows, columns] };
    let mut tensors = vec![
        (matrix("user_factors", Dtype::F32, user_factors.dim()), Numbers::Matrix32(*user_factors)),
        (matrix("item_factors", Dtype::F32, item_factors.dim()), Numbers::Matrix32(*item_factors)),
        (matrix("gram", Dtype::F64, gram.dim()), Numbers::Matrix64(*gram)),
        (flat("item_counts", Dtype::U32, item_counts.len()), Numbers::U32(item_counts)),
        (flat("popular_items", Dtype::U32, popular_items.len()), Numbers::U32(popular_items)),
        (flat("user_ids.bytes", Dtype::U8, user_ids.bytes().len()), Numbers::U8(user_ids.bytes())),
        (flat("user_ids.offsets", Dtype::U64, user_ids.offsets().len()), Numbers::U64(user_ids.offsets())),
        (flat("user_ids.sorted", Dtype::U32, user_ids.len()), Numbers::OwnedU32(sorted_rows(user_ids))),
        (flat("item_ids.bytes", Dtype::U8, item_ids.bytes().len()), Numbers::U8(item_ids.bytes())),
        (flat("item_ids.offsets", Dtype::U64, item_ids.offsets().len()), Numbers::U64(item_ids.offsets())),
        (flat("item_ids.sorted", Dtype::U32, item_ids.len()), Numbers::OwnedU32(sorted_rows(item_ids))),
        (flat("seen.offsets", Dtype::U64, seen.offsets.len()), Numbers::U64(seen.offsets)),
        (flat("seen.items", Dtype::U32, seen.items.len()), Numbers::U32(seen.items)),
    ];
    if let Some(biases) = biases {
        tensors.push((flat("user_biases", Dtype::F32, biases.users.len()), Numbers::F32(biases.users)));
        tensors.push((flat("item_biases", Dtype::F32, biases.items.len()), Numbers::F32(biases.items)));
    }
    if let Some(weights) = seen.weights {
        tensors.push((flat("seen.weights", Dtype::F32, weights.len()), Numbers::F32(weights)));
    }
    if let Some(titles) = titles {
        tensors.push((flat("item_titles.bytes", Dtype::U8, titles.bytes().len()), Numbers::U8(titles.bytes())));
        tensors.push((flat("item_titles.offsets", Dtype::U64, titles.offsets().len()), Numbers::U64(titles.offsets())));
    }
    if let Some(available) = available {
        tensors.push((flat("item_available", Dtype::U8, available.len()), Numbers::Bool(available)));
    }
    tensors
}

/// Rows in the byte order of their ids.
fn sorted_rows(ids: &StringTable) -> Vec<u32> {
    let mut rows: Vec<u32> = (0..u32::try_from(ids.len()).unwrap_or(u32::MAX)).collect();
    rows.sort_unstable_by_key(|row| ids.get(*row as usize));
    rows
}

/// Sizes that would make a file that no reader opens; contents are the reader's to check.
fn check_sizes(parts: &ModelParts<'_>) -> Result<(), SnapshotError> {
    let meta = parts.metadata;
    let expect = |what: &str, found: usize, expected: u64| {
        if found as u64 == expected {
            Ok(())
        } else {
            Err(SnapshotError::corrupt(what, format!("has {found} entries, the metadata needs {expected}")))
        }
    };
    if meta.users > u64::from(u32::MAX) || meta.items > u64::from(u32::MAX) {
        return Err(SnapshotError::corrupt("metadata", "more users or items than a 32-bit row number counts"));
    }
    expect("user_ids", parts.user_ids.len(), meta.users)?;
    expect("item_ids", parts.item_ids.len(), meta.items)?;
    expect("user_factors", parts.user_factors.nrows(), meta.users)?;
    expect("user_factors", parts.user_factors.ncols(), meta.factors)?;
    expect("item_factors", parts.item_factors.nrows(), meta.items)?;
    expect("item_factors", parts.item_factors.ncols(), meta.factors)?;
    expect("gram", parts.gram.nrows(), meta.factors)?;
    expect("gram", parts.gram.ncols(), meta.factors)?;
    if !meta.is_consistent() || meta.ratings.is_some() != parts.biases.is_some() {
        let version = Metadata::version(parts.biases.is_some(), meta.cold_items, meta.mean_share.is_some());
        return Err(SnapshotError::corrupt(
            "metadata",
            format!("has to be of version {version}, with ratings as with biases"),
        ));
    }
    if let Some(biases) = &parts.biases {
        expect("user_biases", biases.users.len(), meta.users)?;
        expect("item_biases", biases.items.len(), meta.items)?;
    }
    expect("item_counts", parts.item_counts.len(), meta.items)?;
    expect("seen.offsets", parts.seen.offsets.len(), meta.users + 1)?;
    expect("seen.items", parts.seen.items.len(), meta.interactions)?;
    parts.seen.weights.map_or(Ok(()), |weights| expect("seen.weights", weights.len(), meta.interactions))?;
    parts.titles.map_or(Ok(()), |titles| expect("item_titles", titles.len(), meta.items))?;
    parts.available.map_or(Ok(()), |available| expect("item_available", available.len(), meta.items))
}

struct HashingWriter<W> {
    out: W,
    hash: Sha256,
    bytes: u64,
    buffer: Vec<u8>,
}

impl<W: Write> HashingWriter<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hash.update(&self.buffer);
        self.bytes += self.buffer.len() as u64;
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<Written> {
        self.flush()?;
        self.out.flush()?;
        Ok(Written { digest: Digest::from_hash(self.hash.finalize().into()), bytes: self.bytes })
    }
}
