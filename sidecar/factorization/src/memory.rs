//! Forecast of the memory of a fit: the parts that algorithms have in common.

use crate::{gram::partial_sums, rotate::TASK_ROWS, row_solver::Scratch, two_hop::PAIR_ITEMS_MAX};

/// Bytes of an entry in one compressed orientation: column and value.
const ENTRY_BYTES: u64 = 8;
/// Bytes of an entry in addition to its two orientations: entries are sorted before the second
/// orientation exists, and measured or written after the fit.
const TRANSIENT_ENTRY_BYTES: u64 = 8;
/// Bytes of the sum of a pair of items.
const PAIR_BYTES: u64 = 4;
/// Bytes per item of the walk of a thread: a sum, and an addend that is compared and one that is made.
const WALK_ITEM_BYTES: u64 = 16;
/// Bytes of a factor.
const FACTOR_BYTES: u64 = 4;
/// Bytes per column of the rows that a thread copies to rotate them.
const TASK_BYTES_PER_COLUMN: usize = TASK_ROWS * size_of::<f32>();
/// Square matrices of an eigenbasis: the Gram matrix, its copy, the eigenvectors, and the rotation.
pub(crate) const EIGENBASIS_SQUARES: u64 = 4;

/// Size of the data of a fit, and the number of threads that fit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FitSize {
    /// Number of users.
    pub users: u64,
    /// Number of items, including cold-start items.
    pub items: u64,
    /// Number of entries.
    pub entries: u64,
    /// Number of threads.
    pub threads: u64,
}

/// Size of the attributes of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeSize {
    /// Number of items with interactions.
    pub items: u64,
    /// Number of cold-start items.
    pub cold_items: u64,
    /// Number of distinct attribute values.
    pub values: u64,
    /// Number of (item, value) pairs of the items with interactions.
    pub entries: u64,
}

impl FitSize {
    /// Bytes after the fit: the model and one orientation of the interactions.
    pub fn fitted_bytes(&self, factors: usize) -> u64 {
        self.factor_bytes(factors, factors).saturating_add(self.orientation_bytes())
    }

    /// Entries as read, and both orientations of the interactions.
    pub(crate) fn interactions_bytes(&self) -> u64 {
        let entries = self.entries.saturating_mul(2 * ENTRY_BYTES + TRANSIENT_ENTRY_BYTES);
        entries.saturating_add(self.rows().saturating_mul(16))
    }

    /// One more orientation of the interactions.
    pub(crate) fn orientation_bytes(&self) -> u64 {
        self.entries.saturating_mul(ENTRY_BYTES)
    }

    /// What the two-hop term walks: the histories and both orientations of the index, lists with
    /// their starts, and the scales; the sums of pairs of few items; and the walks of all threads.
    pub(crate) fn two_hop_bytes(&self) -> u64 {
        let sums = if self.items <= PAIR_ITEMS_MAX as u64 { self.items * self.items * PAIR_BYTES } else { 0 };
        let walks = self.threads.saturating_mul(self.items.saturating_mul(WALK_ITEM_BYTES));
        total([self.entries.saturating_mul(3 * ENTRY_BYTES), self.rows().saturating_mul(6 * 8), sums, walks])
    }

    /// Users and items.
    pub(crate) fn rows(&self) -> u64 {
        self.users.saturating_add(self.items)
    }

    /// Both factor matrices. Rows that are padded to `width` are copied without the padding at the
    /// end.
    pub(crate) fn factor_bytes(&self, factors: usize, width: usize) -> u64 {
        let copy = if width > factors { factors } else { 0 };
        self.rows().saturating_mul((width + copy) as u64).saturating_mul(FACTOR_BYTES)
    }

    /// Item factors with rows of `width`.
    pub(crate) fn item_bytes(&self, width: usize) -> u64 {
        self.items.saturating_mul(width as u64 * FACTOR_BYTES)
    }

    /// Scratch of all threads: equations of this order, or rows to rotate.
    pub(crate) fn scratch_bytes(&self, order: usize) -> u64 {
        self.threads.saturating_mul(Scratch::bytes(order).max(TASK_BYTES_PER_COLUMN * order) as u64)
    }

    /// Square matrices of this width, and a partial Gram matrix for each chunk of rows.
    pub(crate) fn square_bytes(&self, width: usize, squares: u64) -> u64 {
        let width = width as u64;
        partial_sums(self.users.max(self.items)).saturating_add(squares).saturating_mul(8 * width * width)
    }
}

/// Sum that does not overflow.
pub(crate) fn total<const N: usize>(bytes: [u64; N]) -> u64 {
    bytes.into_iter().fold(0, u64::saturating_add)
}
