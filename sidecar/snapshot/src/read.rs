//! A snapshot that was checked when it was opened, so that every later access is safe and cheap.

use std::{fmt, ops::Range, path::Path};

use ndarray::ArrayView2;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use sidecar_contract::Digest;

use crate::{
    buffer::{Buffer, Number, numbers},
    check,
    container::{Container, Dtype},
    error::SnapshotError,
    metadata::{FORMAT_VERSION, FORMAT_VERSION_WITH_SHARES, Metadata, Scale},
    strings::string_at,
};

/// A model, ready to answer. Rows are numbers below [`Metadata::users`] and [`Metadata::items`]; a row that is not there
/// is `None` or empty, never a panic.
pub struct Snapshot {
    buffer: Buffer,
    metadata: Metadata,
    tensors: Tensors,
}

/// Where the tensors are in the buffer. Types, shapes and contents were checked.
struct Tensors {
    factors: usize,
    user_factors: Range<usize>,
    item_factors: Range<usize>,
    gram: Range<usize>,
    ratings: Option<RatingRanges>,
    item_counts: Range<usize>,
    popular_items: Range<usize>,
    user_ids: IdRanges,
    item_ids: IdRanges,
    seen_offsets: Range<usize>,
    seen_items: Range<usize>,
    seen_weights: Option<Range<usize>>,
    titles: Option<StringRanges>,
    available: Option<Range<usize>>,
}

struct RatingRanges {
    scale: Scale,
    user_biases: Range<usize>,
    item_biases: Range<usize>,
}

struct StringRanges {
    bytes: Range<usize>,
    offsets: Range<usize>,
}

struct IdRanges {
    strings: StringRanges,
    sorted: Range<usize>,
}

impl Snapshot {
    /// Maps the file and checks all of it but its digest.
    ///
    /// The file must not be written to while the snapshot lives (replacing it by a rename, or removing it, is fine): map
    /// only a verified copy of one's own.
    pub fn open(path: &Path) -> Result<Self, SnapshotError> {
        let buffer = Buffer::map(path).map_err(|source| SnapshotError::Read { path: path.to_owned(), source })?;
        Self::check(buffer)
    }

    /// The same from bytes in memory, which are copied.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SnapshotError> {
        Self::check(Buffer::copy_of(bytes))
    }

    fn check(buffer: Buffer) -> Result<Self, SnapshotError> {
        let container = Container::parse(buffer.bytes())?;
        let metadata = parse_metadata(&container.metadata)?;
        let tensors = Tensors::find(&container, &metadata)?;
        let snapshot = Self { buffer, metadata, tensors };
        snapshot.check_contents()?;
        Ok(snapshot)
    }

    fn check_contents(&self) -> Result<(), SnapshotError> {
        let Metadata { users: _, items, interactions, .. } = self.metadata;
        check::finite_f32("user_factors", self.numbers(&self.tensors.user_factors))?;
        check::finite_f32("item_factors", self.numbers(&self.tensors.item_factors))?;
        check::finite_f64("gram", self.numbers(&self.tensors.gram))?;
        if let Some(RatingRanges { scale, user_biases, item_biases }) = &self.tensors.ratings {
            if !scale.is_valid() {
                return Err(SnapshotError::corrupt("metadata", "ratings are on no scale"));
            }
            check::finite_f32("user_biases", self.numbers(user_biases))?;
            check::finite_f32("item_biases", self.numbers(item_biases))?;
        }
        check::below("popular_items", self.popular(), items)?;
        check::distinct("popular_items", self.popular(), items)?;
        self.check_ids("user_ids", &self.tensors.user_ids)?;
        self.check_ids("item_ids", &self.tensors.item_ids)?;
        check::offsets("seen.offsets", self.numbers(&self.tensors.seen_offsets), interactions)?;
        check::below("seen.items", self.numbers(&self.tensors.seen_items), items)?;
        check::ascending_rows(
            "seen.items",
            self.numbers(&self.tensors.seen_offsets),
            self.numbers(&self.tensors.seen_items),
        )?;
        if let Some(weights) = &self.tensors.seen_weights {
            check::finite_f32("seen.weights", self.numbers(weights))?;
        }
        if let Some(titles) = &self.tensors.titles {
            self.check_strings("item_titles", titles)?;
        }
        Ok(())
    }

    fn check_strings(&self, name: &str, strings: &StringRanges) -> Result<(), SnapshotError> {
        let (bytes, offsets) = (self.numbers::<u8>(&strings.bytes), self.numbers::<u64>(&strings.offsets));
        check::offsets(name, offsets, bytes.len() as u64)?;
        check::strings(name, bytes, offsets)
    }

    fn check_ids(&self, name: &str, ids: &IdRanges) -> Result<(), SnapshotError> {
        self.check_strings(name, &ids.strings)?;
        let IdRanges { strings: StringRanges { bytes, offsets }, sorted } = ids;
        check::sorted(name, self.numbers(bytes), self.numbers(offsets), self.numbers(sorted))
    }

    /// Compares the content with its name.
    pub fn verify_digest(&self, expected: &Digest) -> Result<(), SnapshotError> {
        let found = self.digest();
        if found == *expected { Ok(()) } else { Err(SnapshotError::WrongDigest { expected: expected.clone(), found }) }
    }

    /// SHA-256 of all bytes, computed now.
    pub fn digest(&self) -> Digest {
        Digest::from_hash(Sha256::digest(self.buffer.bytes()).into())
    }

    /// Length of the file in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.buffer.bytes().len() as u64
    }

    /// What the model is.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Rows of users.
    pub fn users(&self) -> usize {
        self.numbers::<u32>(&self.tensors.user_ids.sorted).len()
    }

    /// Rows of items.
    pub fn items(&self) -> usize {
        self.numbers::<u32>(&self.tensors.item_ids.sorted).len()
    }

    /// Row of a user.
    pub fn user_index(&self, id: &str) -> Option<u32> {
        self.row(&self.tensors.user_ids, id)
    }

    /// Row of an item.
    pub fn item_index(&self, id: &str) -> Option<u32> {
        self.row(&self.tensors.item_ids, id)
    }

    /// Id of a user.
    pub fn user_id(&self, row: u32) -> Option<&str> {
        self.string(&self.tensors.user_ids.strings, row)
    }

    /// Id of an item.
    pub fn item_id(&self, row: u32) -> Option<&str> {
        self.string(&self.tensors.item_ids.strings, row)
    }

    /// Title of an item, if it has one.
    pub fn title(&self, row: u32) -> Option<&str> {
        self.string(self.tensors.titles.as_ref()?, row).filter(|title| !title.is_empty())
    }

    /// users × factors.
    pub fn user_factors(&self) -> ArrayView2<'_, f32> {
        self.matrix(&self.tensors.user_factors, self.users())
    }

    /// items × factors.
    pub fn item_factors(&self) -> ArrayView2<'_, f32> {
        self.matrix(&self.tensors.item_factors, self.items())
    }

    /// factors × factors: Gram matrix of the item factors.
    pub fn gram(&self) -> ArrayView2<'_, f64> {
        self.matrix(&self.tensors.gram, self.factors())
    }

    /// Scale of the ratings, biases of users and biases of items; `None` unless it is a model of ratings.
    pub fn ratings(&self) -> Option<(Scale, &[f32], &[f32])> {
        let RatingRanges { scale, user_biases, item_biases } = self.tensors.ratings.as_ref()?;
        Some((*scale, self.numbers(user_biases), self.numbers(item_biases)))
    }

    /// Columns of both factor matrices.
    pub fn factors(&self) -> usize {
        self.tensors.factors
    }

    /// Items that the user has met, ascending; empty for a row that is not there.
    pub fn seen(&self, user: u32) -> &[u32] {
        self.seen_range(user).and_then(|range| self.numbers(&self.tensors.seen_items).get(range)).unwrap_or_default()
    }

    /// Weights beside [`Self::seen`]; `None` when each is 1.
    pub fn seen_weights(&self, user: u32) -> Option<&[f32]> {
        let weights = self.tensors.seen_weights.as_ref()?;
        self.numbers(weights).get(self.seen_range(user)?)
    }

    /// How many users chose each item.
    pub fn item_counts(&self) -> &[u32] {
        self.numbers(&self.tensors.item_counts)
    }

    /// Items from the most to the least popular.
    pub fn popular(&self) -> &[u32] {
        self.numbers(&self.tensors.popular_items)
    }

    /// One byte an item, 0 for those that are never to be recommended; `None` when all may be.
    pub fn available(&self) -> Option<&[u8]> {
        self.tensors.available.as_ref().map(|available| self.numbers(available))
    }

    /// Whether an item may be recommended. A row that is not there may not.
    pub fn is_available(&self, item: u32) -> bool {
        match self.available() {
            Some(available) => available.get(item as usize).is_some_and(|flag| *flag != 0),
            None => (item as usize) < self.items(),
        }
    }

    fn seen_range(&self, user: u32) -> Option<Range<usize>> {
        let offsets: &[u64] = self.numbers(&self.tensors.seen_offsets);
        let start = usize::try_from(*offsets.get(user as usize)?).ok()?;
        let end = usize::try_from(*offsets.get((user as usize).checked_add(1)?)?).ok()?;
        Some(start..end)
    }

    fn row(&self, ids: &IdRanges, id: &str) -> Option<u32> {
        let sorted: &[u32] = self.numbers(&ids.sorted);
        let found = sorted.binary_search_by(|row| self.string(&ids.strings, *row).cmp(&Some(id))).ok()?;
        sorted.get(found).copied()
    }

    fn string(&self, strings: &StringRanges, row: u32) -> Option<&str> {
        string_at(self.numbers(&strings.bytes), self.numbers(&strings.offsets), row as usize)
    }

    fn matrix<T: Number>(&self, range: &Range<usize>, rows: usize) -> ArrayView2<'_, T> {
        ArrayView2::from_shape((rows, self.factors()), self.numbers(range)).expect("the shape was checked when opened")
    }

    fn numbers<T: Number>(&self, range: &Range<usize>) -> &[T] {
        self.buffer
            .bytes()
            .get(range.clone())
            .and_then(numbers)
            .expect("range, length and alignment were checked when opened")
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

/// The version is looked at first: another version's metadata need not parse here.
fn parse_metadata(text: &str) -> Result<Metadata, SnapshotError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        format_version: u64,
    }
    let unreadable = |error: serde_json::Error| SnapshotError::NotASnapshot(format!("metadata: {error}"));
    let Version { format_version } = serde_json::from_str(text).map_err(unreadable)?;
    if !(FORMAT_VERSION..=FORMAT_VERSION_WITH_SHARES).contains(&format_version) {
        return Err(SnapshotError::UnknownVersion { found: format_version });
    }
    serde_json::from_str(text).map_err(unreadable)
}

impl Tensors {
    fn find(container: &Container, metadata: &Metadata) -> Result<Self, SnapshotError> {
        let Metadata { users, items, factors, interactions, ratings, .. } = *metadata;
        if !metadata.is_consistent() {
            return Err(SnapshotError::corrupt(
                "metadata",
                "ratings, cold items, shares and version do not go together",
            ));
        }
        if users > u64::from(u32::MAX) || items > u64::from(u32::MAX) {
            return Err(SnapshotError::corrupt("metadata", "more users or items than a 32-bit row number counts"));
        }
        let strings = |bytes: &str, offsets: &str, rows: u64| {
            let length = container.rows(bytes).unwrap_or(0);
            Ok::<_, SnapshotError>(StringRanges {
                bytes: container.tensor(bytes, Dtype::U8, &[length])?,
                offsets: container.tensor(offsets, Dtype::U64, &[rows + 1])?,
            })
        };
        let optional = |name: &str, dtype, shape: &[u64]| {
            container.has(name).then(|| container.tensor(name, dtype, shape)).transpose()
        };
        let popular = container.rows("popular_items").unwrap_or(0);
        Ok(Self {
            factors: usize::try_from(factors)
                .map_err(|_| SnapshotError::corrupt("metadata", "more factors than memory holds"))?,
            user_factors: container.tensor("user_factors", Dtype::F32, &[users, factors])?,
            item_factors: container.tensor("item_factors", Dtype::F32, &[items, factors])?,
            gram: container.tensor("gram", Dtype::F64, &[factors, factors])?,
            ratings: ratings
                .map(|scale| {
                    let user_biases = container.tensor("user_biases", Dtype::F32, &[users])?;
                    let item_biases = container.tensor("item_biases", Dtype::F32, &[items])?;
                    Ok::<_, SnapshotError>(RatingRanges { scale, user_biases, item_biases })
                })
                .transpose()?,
            item_counts: container.tensor("item_counts", Dtype::U32, &[items])?,
            popular_items: container.tensor("popular_items", Dtype::U32, &[popular])?,
            user_ids: IdRanges {
                strings: strings("user_ids.bytes", "user_ids.offsets", users)?,
                sorted: container.tensor("user_ids.sorted", Dtype::U32, &[users])?,
            },
            item_ids: IdRanges {
                strings: strings("item_ids.bytes", "item_ids.offsets", items)?,
                sorted: container.tensor("item_ids.sorted", Dtype::U32, &[items])?,
            },
            seen_offsets: container.tensor("seen.offsets", Dtype::U64, &[users + 1])?,
            seen_items: container.tensor("seen.items", Dtype::U32, &[interactions])?,
            seen_weights: optional("seen.weights", Dtype::F32, &[interactions])?,
            titles: container
                .has("item_titles.bytes")
                .then(|| strings("item_titles.bytes", "item_titles.offsets", items))
                .transpose()?,
            available: optional("item_available", Dtype::U8, &[items])?,
        })
    }
}
