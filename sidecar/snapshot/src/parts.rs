//! Input of the writer.

use ndarray::ArrayView2;
use tensor_file::StringTable;

use crate::metadata::Metadata;

/// Borrowed model. Sizes must match `metadata`; [`crate::write()`] validates them.
#[derive(Clone, Debug)]
pub struct ModelParts<'a> {
    /// Description of the model.
    pub metadata: &'a Metadata,
    /// Unique ids of users by row.
    pub user_ids: &'a StringTable,
    /// Unique ids of items by row.
    pub item_ids: &'a StringTable,
    /// Users × factors.
    pub user_factors: ArrayView2<'a, f32>,
    /// Items × factors.
    pub item_factors: ArrayView2<'a, f32>,
    /// Gram matrix of the item factors, factors × factors.
    pub gram: ArrayView2<'a, f64>,
    /// Biases of a rating model.
    pub biases: Option<Biases<'a>>,
    /// Number of users who chose each item.
    pub item_counts: &'a [u32],
    /// Items by descending popularity, equal ones by row. Items that nobody chose may be missing.
    pub popular_items: &'a [u32],
    /// Items that each user interacted with.
    pub seen: Seen<'a>,
    /// What the two-hop term walks, in a model with one.
    pub two_hop: Option<TwoHopRows<'a>>,
    /// Codes of the item factors for faster lists, if the catalogue is large.
    pub item_codes: Option<ItemCodes<'a>>,
}

/// Quantized item factors in the order and layout of the crate `factorization`, which checks that
/// they belong to the factors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ItemCodes<'a> {
    /// Items by descending norm.
    pub order: &'a [u32],
    /// Codes of four bits in blocks.
    pub codes: &'a [u8],
    /// Two bfloat16 for each item: the bound of its residual in the low half, its scale.
    pub scales: &'a [u32],
    /// Maximum norm, minimum norm and maximum bias of each block.
    pub bounds: &'a [f32],
}

/// Entries that the two-hop term walks.
#[derive(Clone, Copy, Debug)]
pub struct TwoHopRows<'a> {
    /// Users of each item.
    pub lists: Rows<'a>,
    /// Items of each user; `None` if they are those of [`ModelParts::seen`].
    pub rows: Option<Rows<'a>>,
    /// What the item factors represent of the term, factors × factors; `None` if they are those of
    /// a decomposition.
    pub span: Option<ArrayView2<'a, f64>>,
    /// Sums of all pairs of items, row by row; `None` in a model that walks.
    pub pairs: Option<&'a [u32]>,
}

/// Sparse rows in compressed format; ascending within a row.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Start of each row, and the end of the last.
    pub offsets: &'a [u64],
    /// Columns of all rows.
    pub columns: &'a [u32],
    /// Their weights; `None` if every weight is 1.
    pub weights: Option<&'a [f32]>,
}

/// Biases that are added to the dot product of the factors, in units of the rating.
#[derive(Clone, Copy, Debug)]
pub struct Biases<'a> {
    /// One per user.
    pub users: &'a [f32],
    /// One per item.
    pub items: &'a [f32],
}

/// Items that each user interacted with, as a compressed sparse row matrix; ascending within a
/// user.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Start of each user's items; users + 1 entries.
    pub offsets: &'a [u64],
    /// Item rows.
    pub items: &'a [u32],
    /// Weights of the items; `None` if every weight is 1.
    pub weights: Option<&'a [f32]>,
}
