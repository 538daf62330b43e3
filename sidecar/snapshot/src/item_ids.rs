//! The item ids of a snapshot, read from a part of its file.
//!
//! The digest that names a snapshot verifies all of its bytes, so it cannot verify a part. The ids
//! have a checksum of their own, which detects bytes that changed since the file was written. It
//! does not detect a file that someone wrote in place of another: only the digest does.

use std::ops::Range;

use sha2::{Digest as _, Sha256};
use tensor_file::{Buffer, Container, bytes_at, check, numbers};

use crate::{
    error::SnapshotError,
    metadata::Metadata,
    tensors::{Spec, Tensor},
};

/// The part of a file that has the item ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemIdsPart {
    /// Byte ranges in the file.
    bytes: Range<usize>,
    offsets: Range<usize>,
    sorted: Range<usize>,
    checksum: Range<usize>,
}

/// Item ids by row.
pub struct ItemIds {
    buffer: Buffer,
    /// Byte ranges in the buffer.
    part: ItemIdsPart,
}

impl ItemIdsPart {
    /// Length of the head of a file that begins with these bytes. [`Self::find`] requires the whole
    /// head.
    ///
    /// # Errors
    /// The file is not a snapshot.
    pub fn head_bytes(file: &[u8]) -> Result<usize, SnapshotError> {
        Ok(Container::head_bytes(file)?)
    }

    /// Finds the ids by the head of a file of this size; `None` in a file of an older release, whose
    /// ids have no checksum.
    ///
    /// # Errors
    /// The file is not a snapshot that this build reads.
    pub fn find(head: &[u8], file_bytes: u64) -> Result<Option<Self>, SnapshotError> {
        let container = Container::parse_head(head, file_bytes)?;
        let metadata = Metadata::from_json(&container.metadata)?;
        if !container.has(Tensor::ItemIdChecksum.spec().name) {
            return Ok(None);
        }
        let find = |tensor: Tensor| {
            let Spec { name, dtype, .. } = tensor.spec();
            container.tensor(name, dtype, &tensor.shape(&metadata, |dimension| container.length(name, dimension)))
        };
        Ok(Some(Self {
            bytes: find(Tensor::ItemIdBytes)?,
            offsets: find(Tensor::ItemIdOffsets)?,
            sorted: find(Tensor::ItemIdSorted)?,
            checksum: find(Tensor::ItemIdChecksum)?,
        }))
    }

    fn ranges(&mut self) -> [&mut Range<usize>; 4] {
        let Self { bytes, offsets, sorted, checksum } = self;
        [bytes, offsets, sorted, checksum]
    }

    /// The byte range of the file that has the ids.
    pub fn range(&self) -> Range<u64> {
        let all = [&self.bytes, &self.offsets, &self.sorted, &self.checksum];
        let start = all.map(|range| range.start as u64).into_iter().min().unwrap_or_default();
        start..all.map(|range| range.end as u64).into_iter().max().unwrap_or_default()
    }

    /// The ids, from the bytes of [`Self::range`].
    ///
    /// # Errors
    /// Bytes that changed since the file was written.
    pub fn open(mut self, bytes: &[u8]) -> Result<ItemIds, SnapshotError> {
        let start = usize::try_from(self.range().start).unwrap_or(usize::MAX);
        for range in self.ranges() {
            *range = range.start - start..range.end - start;
        }
        // Tensors start at multiples of the alignment, and so they do in the copy.
        let ids = ItemIds { buffer: Buffer::copy_of(bytes), part: self };
        ids.check()?;
        Ok(ids)
    }
}

impl ItemIds {
    fn check(&self) -> Result<(), SnapshotError> {
        let ((bytes, offsets), sorted) = (self.ids(), self.sorted());
        let checksum = self.buffer.bytes().get(self.part.checksum.clone()).unwrap_or_default();
        if *checksum != ids_checksum(bytes, offsets) {
            let problem = "the ids have changed since the file was written";
            return Err(SnapshotError::corrupt(Tensor::ItemIdChecksum.spec().name, problem));
        }
        check::offsets(Tensor::ItemIdOffsets.spec().name, offsets, bytes.len() as u64)?;
        check::strings(Tensor::ItemIdBytes.spec().name, bytes, offsets)?;
        // The order needs no checksum: there is one that passes.
        Ok(check::sorted(Tensor::ItemIdSorted.spec().name, bytes, offsets, sorted)?)
    }

    /// Number of items.
    pub fn items(&self) -> usize {
        self.sorted().len()
    }

    /// Row of an id.
    pub fn item_index(&self, id: &str) -> Option<u32> {
        let ((bytes, offsets), sorted) = (self.ids(), self.sorted());
        let bytes_of = |row: u32| bytes_at(bytes, offsets, row as usize);
        let found = sorted.binary_search_by(|row| bytes_of(*row).cmp(&Some(id.as_bytes()))).ok()?;
        sorted.get(found).copied()
    }

    fn ids(&self) -> (&[u8], &[u64]) {
        let get = |range: &Range<usize>| self.buffer.bytes().get(range.clone()).unwrap_or_default();
        (get(&self.part.bytes), numbers(get(&self.part.offsets)).unwrap_or_default())
    }

    fn sorted(&self) -> &[u32] {
        self.buffer.bytes().get(self.part.sorted.clone()).and_then(numbers).unwrap_or_default()
    }
}

/// SHA-256 of ids: their bytes, then their offsets.
pub(crate) fn ids_checksum(bytes: &[u8], offsets: &[u64]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(bytes);
    for offset in offsets {
        hash.update(offset.to_le_bytes());
    }
    hash.finalize().into()
}
