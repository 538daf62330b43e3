//! Reads snapshots. A snapshot is validated when it is opened, so that every later access is safe
//! and cheap.

use std::{fmt, ops::Range, path::Path};

use ndarray::ArrayView2;
use sha2::{Digest as _, Sha256};
use sidecar_contract::Digest;
use tensor_file::{Buffer, Container, Contents, Dtype, Number, PrivateFile, bytes_at, check, numbers, string_at};

use crate::{
    error::SnapshotError,
    metadata::{Metadata, Scale},
    parts::{ItemCodes, Rows, Seen, TwoHopRows},
    tensors::{Spec, Tensor},
};

/// Validated model. Valid rows are below [`Metadata::users`] or [`Metadata::items`]. For any other
/// row, accessors return `None` or an empty slice and do not panic.
pub struct Snapshot {
    buffer: Buffer,
    metadata: Metadata,
    factors: usize,
    ranges: Ranges,
    contents: Contents,
}

/// Byte ranges of the tensors in the buffer, by [`Tensor`]. Types, shapes and contents are
/// validated.
struct Ranges([Option<Range<usize>>; Tensor::ALL.len()]);

/// Tensors of a list of strings.
#[derive(Clone, Copy)]
struct Strings {
    bytes: Tensor,
    offsets: Tensor,
}

/// Tensors of a list of unique ids.
#[derive(Clone, Copy)]
struct Ids {
    strings: Strings,
    sorted: Tensor,
}

const USER_IDS: Ids = Ids {
    strings: Strings { bytes: Tensor::UserIdBytes, offsets: Tensor::UserIdOffsets },
    sorted: Tensor::UserIdSorted,
};
const ITEM_IDS: Ids = Ids {
    strings: Strings { bytes: Tensor::ItemIdBytes, offsets: Tensor::ItemIdOffsets },
    sorted: Tensor::ItemIdSorted,
};
const TITLES: Strings = Strings { bytes: Tensor::TitleBytes, offsets: Tensor::TitleOffsets };

impl Snapshot {
    /// Reads a copy of the file into memory and validates everything except its digest. The file
    /// may be overwritten or removed while the snapshot is in use.
    pub fn read(path: &Path) -> Result<Self, SnapshotError> {
        let buffer = Buffer::read(path).map_err(|source| SnapshotError::Read { path: path.to_owned(), source })?;
        Self::check(buffer, Contents::Unchecked)
    }

    /// Like [`Self::read`], but maps the file: the kernel reads pages when they are used, and can
    /// reclaim them. A rename over the file and its removal are safe. A file whose contents were
    /// checked before is opened without reading them.
    pub fn map(file: &PrivateFile, contents: Contents) -> Result<Self, SnapshotError> {
        let path = file.path();
        let buffer = Buffer::map(file).map_err(|source| SnapshotError::Read { path: path.to_owned(), source })?;
        Self::check(buffer, contents)
    }

    /// Like [`Self::read`], from a copy of bytes in memory.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SnapshotError> {
        Self::check(Buffer::copy_of(bytes), Contents::Unchecked)
    }

    fn check(buffer: Buffer, contents: Contents) -> Result<Self, SnapshotError> {
        let container = Container::parse(buffer.bytes())?;
        let metadata = Metadata::from_json(&container.metadata)?;
        let factors = usize::try_from(metadata.factors)
            .map_err(|_| SnapshotError::corrupt("metadata", "the number of factors exceeds the address space"))?;
        let ranges = Ranges::find(&container, &metadata)?;
        let snapshot = Self { buffer, metadata, factors, ranges, contents };
        if contents == Contents::Unchecked {
            snapshot.check_contents()?;
        }
        Ok(snapshot)
    }

    fn check_contents(&self) -> Result<(), SnapshotError> {
        let Metadata { items, interactions, ratings, .. } = &self.metadata;
        if ratings.as_ref().is_some_and(|scale| !scale.is_valid()) {
            return Err(SnapshotError::corrupt("metadata", "the scale of the ratings is not valid"));
        }
        for tensor in Tensor::ALL {
            let spec = tensor.spec();
            match spec.dtype {
                Dtype::F32 => check::finite_f32(spec.name, self.optional(tensor).unwrap_or_default())?,
                Dtype::F64 => check::finite_f64(spec.name, self.optional(tensor).unwrap_or_default())?,
                Dtype::U8 | Dtype::U32 | Dtype::U64 | Dtype::BF16 => {}
            }
        }
        check::below("popular_items", self.popular(), *items)?;
        check::distinct("popular_items", self.popular(), *items)?;
        self.check_ids(USER_IDS)?;
        self.check_ids(ITEM_IDS)?;
        let (seen_offsets, seen_items) = (self.numbers(Tensor::SeenOffsets), self.numbers(Tensor::SeenItems));
        check::offsets("seen.offsets", seen_offsets, *interactions)?;
        check::below("seen.items", seen_items, *items)?;
        check::ascending_rows("seen.items", seen_offsets, seen_items)?;
        if let Some(TwoHopRows { lists, rows, span: _, pairs: _ }) = self.two_hop() {
            check_rows("two_hop.lists", lists, self.metadata.users)?;
            rows.map_or(Ok(()), |rows| check_rows("two_hop.rows", rows, *items))?;
            // The term reads the pair sums of every item that has users.
            let summed = self.metadata.two_hop_pair_items.and_then(|items| usize::try_from(items).ok());
            if summed.is_some_and(|summed| lists.offsets.get(summed) != lists.offsets.last()) {
                return Err(SnapshotError::corrupt("two_hop.lists", "an item without sums of pairs has users"));
            }
        }
        if self.ranges.get(TITLES.bytes).is_some() {
            self.check_strings(TITLES)?;
        }
        Ok(())
    }

    fn check_strings(&self, Strings { bytes, offsets }: Strings) -> Result<(), SnapshotError> {
        let (name, starts) = (offsets.spec().name, self.numbers::<u64>(offsets));
        let text = self.numbers::<u8>(bytes);
        check::offsets(name, starts, text.len() as u64)?;
        Ok(check::strings(bytes.spec().name, text, starts)?)
    }

    fn check_ids(&self, Ids { strings, sorted }: Ids) -> Result<(), SnapshotError> {
        self.check_strings(strings)?;
        let Strings { bytes, offsets } = strings;
        let ids = (self.numbers(bytes), self.numbers(offsets));
        Ok(check::sorted(sorted.spec().name, ids.0, ids.1, self.numbers(sorted))?)
    }

    /// Verifies that the content has this digest.
    pub fn verify_digest(&self, expected: &Digest) -> Result<(), SnapshotError> {
        let found = self.digest();
        if found == *expected { Ok(()) } else { Err(SnapshotError::WrongDigest { expected: expected.clone(), found }) }
    }

    /// Computes the SHA-256 of all bytes, and verifies the checksum in the file. A file of an older
    /// release has no checksum.
    ///
    /// # Errors
    /// A file whose bytes changed after it was written.
    pub fn checked_digest(&self) -> Result<Digest, SnapshotError> {
        let bytes = self.buffer.bytes();
        let mut hash = Sha256::new();
        let mut rest = bytes;
        if let Some(range) = self.ranges.get(Tensor::Checksum) {
            let (before, after) = bytes.split_at_checked(range.start).unwrap_or((bytes, &[]));
            hash.update(before);
            if Some(hash.clone().finalize().as_slice()) != bytes.get(range.clone()) {
                let problem = "differs from the bytes before it: the file changed after it was written; copy it again, or train again";
                return Err(SnapshotError::corrupt(Tensor::Checksum.spec().name, problem));
            }
            rest = after;
        }
        hash.update(rest);
        Ok(Digest::from_hash(hash.finalize().into()))
    }

    /// Computes the SHA-256 of all bytes.
    pub fn digest(&self) -> Digest {
        Digest::from_hash(Sha256::digest(self.buffer.bytes()).into())
    }

    /// What was known about the contents when the file was opened. Checks of other crates need to
    /// run only if they were unchecked.
    pub fn contents(&self) -> Contents {
        self.contents
    }

    /// Length of the file in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.buffer.bytes().len() as u64
    }

    /// Description of the model.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Number of users.
    pub fn users(&self) -> usize {
        self.numbers::<u32>(Tensor::UserIdSorted).len()
    }

    /// Number of items.
    pub fn items(&self) -> usize {
        self.numbers::<u32>(Tensor::ItemIdSorted).len()
    }

    /// Row of a user.
    pub fn user_index(&self, id: &str) -> Option<u32> {
        self.row(USER_IDS, id)
    }

    /// Row of an item.
    pub fn item_index(&self, id: &str) -> Option<u32> {
        self.row(ITEM_IDS, id)
    }

    /// Id of a user.
    pub fn user_id(&self, row: u32) -> Option<&str> {
        self.string(USER_IDS.strings, row)
    }

    /// Id of an item.
    pub fn item_id(&self, row: u32) -> Option<&str> {
        self.string(ITEM_IDS.strings, row)
    }

    /// Title of an item, if it has one. Only files of earlier releases have titles; see the crate's
    /// docs.
    pub fn title(&self, row: u32) -> Option<&str> {
        self.string(TITLES, row).filter(|title| !title.is_empty())
    }

    /// Users × factors.
    pub fn user_factors(&self) -> ArrayView2<'_, f32> {
        self.matrix(Tensor::UserFactors, self.users())
    }

    /// Items × factors.
    pub fn item_factors(&self) -> ArrayView2<'_, f32> {
        self.matrix(Tensor::ItemFactors, self.items())
    }

    /// Gram matrix of the item factors, factors × factors.
    pub fn gram(&self) -> ArrayView2<'_, f64> {
        self.matrix(Tensor::Gram, self.factors())
    }

    /// Scale of the ratings, user biases and item biases; `None` unless it is a rating model.
    pub fn ratings(&self) -> Option<(Scale, &[f32], &[f32])> {
        let scale = self.metadata.ratings?;
        Some((scale, self.numbers(Tensor::UserBiases), self.numbers(Tensor::ItemBiases)))
    }

    /// Codes of the item factors, if the file has them. Only their types and shapes are validated:
    /// whether they belong to the factors is known to the crate that computes with them.
    pub fn item_codes(&self) -> Option<ItemCodes<'_>> {
        Some(ItemCodes {
            order: self.optional(Tensor::CodeOrder)?,
            codes: self.optional(Tensor::Codes)?,
            // Two halves in one number.
            scales: self.optional::<u32>(Tensor::CodeScales)?,
            bounds: self.optional(Tensor::CodeBounds)?,
        })
    }

    /// What the two-hop term walks; `None` in a model without one.
    pub fn two_hop(&self) -> Option<TwoHopRows<'_>> {
        let rows = |offsets, columns, weights| {
            let (offsets, columns) = (self.optional(offsets)?, self.optional(columns)?);
            Some(Rows { offsets, columns, weights: self.optional(weights) })
        };
        Some(TwoHopRows {
            lists: rows(Tensor::TwoHopLists, Tensor::TwoHopUsers, Tensor::TwoHopUserWeights)?,
            rows: rows(Tensor::TwoHopRows, Tensor::TwoHopItems, Tensor::TwoHopItemWeights),
            span: self.ranges.get(Tensor::TwoHopSpan).map(|_| self.matrix(Tensor::TwoHopSpan, self.factors())),
            pairs: self.optional(Tensor::TwoHopPairs),
        })
    }

    /// Items and weights of all users; see [`Self::seen`] and [`Self::seen_weights`].
    pub fn all_seen(&self) -> Seen<'_> {
        Seen {
            offsets: self.numbers(Tensor::SeenOffsets),
            items: self.numbers(Tensor::SeenItems),
            weights: self.optional(Tensor::SeenWeights),
        }
    }

    /// Number of factors.
    pub fn factors(&self) -> usize {
        self.factors
    }

    /// Items that the user interacted with, ascending; empty for an unknown row.
    pub fn seen(&self, user: u32) -> &[u32] {
        self.seen_range(user).and_then(|range| self.numbers(Tensor::SeenItems).get(range)).unwrap_or_default()
    }

    /// Weights of the items in [`Self::seen`]; `None` if every weight is 1.
    pub fn seen_weights(&self, user: u32) -> Option<&[f32]> {
        self.optional(Tensor::SeenWeights)?.get(self.seen_range(user)?)
    }

    /// Number of users who chose each item.
    pub fn item_counts(&self) -> &[u32] {
        self.numbers(Tensor::ItemCounts)
    }

    /// Items by descending popularity: by [`Self::item_counts`], equal ones by row. Items that nobody
    /// chose may be missing.
    pub fn popular(&self) -> &[u32] {
        self.numbers(Tensor::PopularItems)
    }

    /// One byte per item, 0 for items that must not be recommended; `None` if all items may be.
    /// Only files of earlier releases have it.
    pub fn available(&self) -> Option<&[u8]> {
        self.optional(Tensor::Available)
    }

    /// Whether an item may be recommended; false for an unknown row.
    pub fn is_available(&self, item: u32) -> bool {
        match self.available() {
            Some(available) => available.get(item as usize).is_some_and(|flag| *flag != 0),
            None => (item as usize) < self.items(),
        }
    }

    fn seen_range(&self, user: u32) -> Option<Range<usize>> {
        let offsets: &[u64] = self.numbers(Tensor::SeenOffsets);
        let start = usize::try_from(*offsets.get(user as usize)?).ok()?;
        let end = usize::try_from(*offsets.get((user as usize).checked_add(1)?)?).ok()?;
        Some(start..end)
    }

    fn row(&self, ids: Ids, id: &str) -> Option<u32> {
        let sorted: &[u32] = self.numbers(ids.sorted);
        let Strings { bytes, offsets } = ids.strings;
        let (bytes, offsets) = (self.numbers(bytes), self.numbers(offsets));
        let bytes_of = |row: u32| bytes_at(bytes, offsets, row as usize);
        let found = sorted.binary_search_by(|row| bytes_of(*row).cmp(&Some(id.as_bytes()))).ok()?;
        sorted.get(found).copied()
    }

    fn string(&self, Strings { bytes, offsets }: Strings, row: u32) -> Option<&str> {
        string_at(self.optional(bytes)?, self.optional(offsets)?, row as usize)
    }

    fn matrix<T: Number>(&self, tensor: Tensor, rows: usize) -> ArrayView2<'_, T> {
        ArrayView2::from_shape((rows, self.factors()), self.numbers(tensor)).expect("the shape is validated at open")
    }

    /// Elements of a tensor that the file has. `T` is the type in the list of tensors.
    fn numbers<T: Number>(&self, tensor: Tensor) -> &[T] {
        self.optional(tensor).expect("the presence of the tensor is validated at open")
    }

    /// Like [`Self::numbers`]; `None` if the file does not have the tensor.
    fn optional<T: Number>(&self, tensor: Tensor) -> Option<&[T]> {
        let range = self.ranges.get(tensor)?;
        let bytes = self.buffer.bytes().get(range.clone()).and_then(numbers);
        Some(bytes.expect("range, length and alignment are validated at open"))
    }
}

/// Checks that sparse rows are ascending, with columns below `limit`.
fn check_rows(name: &str, rows: Rows<'_>, limit: u64) -> Result<(), SnapshotError> {
    check::offsets(name, rows.offsets, rows.columns.len() as u64)?;
    check::below(name, rows.columns, limit)?;
    Ok(check::ascending_rows(name, rows.offsets, rows.columns)?)
}

impl Ranges {
    /// Finds every tensor, and validates which ones the file has, their types and their shapes.
    fn find(container: &Container, metadata: &Metadata) -> Result<Self, SnapshotError> {
        let mut ranges = [const { None }; Tensor::ALL.len()];
        for (tensor, range) in Tensor::ALL.into_iter().zip(&mut ranges) {
            if tensor.is_present(metadata, |tensor| container.has(tensor.spec().name))? {
                let Spec { name, dtype, .. } = tensor.spec();
                let shape = tensor.shape(metadata, |dimension| container.length(name, dimension));
                *range = Some(container.tensor(name, dtype, &shape)?);
            }
        }
        Ok(Self(ranges))
    }

    fn get(&self, tensor: Tensor) -> Option<&Range<usize>> {
        self.0.get(tensor as usize)?.as_ref()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("metadata", &self.metadata)
            .field("bytes", &self.buffer.bytes().len())
            .finish_non_exhaustive()
    }
}
