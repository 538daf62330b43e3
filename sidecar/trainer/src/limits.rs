//! Input limits of one run. Every table, row and id is bounded, so that no input exhausts the
//! machine without an error.

/// Limits of one run. [`Limits::default`] returns the documented ones; tests use smaller ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of users.
    pub users_max: u32,
    /// Maximum number of items.
    pub items_max: u32,
    /// Maximum number of kept rows, before duplicates are merged.
    pub interactions_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { users_max: USERS_MAX, items_max: ITEMS_MAX, interactions_max: INTERACTIONS_MAX }
    }
}

/// Maximum number of users in one model.
pub const USERS_MAX: u32 = 200_000_000;
/// Maximum number of items in one model.
pub const ITEMS_MAX: u32 = 20_000_000;
/// Maximum number of kept rows; each takes 16 bytes during the read.
pub const INTERACTIONS_MAX: u32 = 4_000_000_000;
/// Maximum length of an id; rows with a longer one are dropped.
pub const ID_BYTES_MAX: usize = 1024;
/// Maximum length of a row, all fields together; longer rows are dropped.
pub const ROW_BYTES_MAX: usize = 64 * 1024;
/// Maximum number of fields in a row; rows with more are dropped.
pub const FIELDS_PER_ROW_MAX: usize = 1024;
/// Bytes of text in one read.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;
/// Maximum size of zstd's window: 2 to this power, in bytes. Text is decompressed as a stream,
/// never as a whole.
pub(crate) const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// Maximum size in bytes of a column of a Parquet row group; one of its pages is in memory at a
/// time.
pub const PARQUET_COLUMN_BYTES_MAX: u64 = 2 << 30;
/// Size in bytes that a Parquet page may have although the footer states a smaller column: footers
/// of some writers count too little, and so much is no harm.
pub(crate) const PARQUET_PAGE_BYTES_TOLERATED: u64 = 64 << 20;
/// Maximum number of entries of a Parquet dictionary, and of the lengths of byte arrays in a page.
pub(crate) const PARQUET_PAGE_VALUES_MAX: usize = 1 << 24;
/// Maximum number of bytes that the values of a batch of a Parquet column repeat of the values
/// before them, which are encoded once.
pub(crate) const PARQUET_SHARED_BYTES_MAX: u64 = 1 << 30;
/// Maximum size in bytes of a value of a Parquet column of fixed length; UUIDs and decimals have
/// 16.
pub(crate) const PARQUET_FIXED_BYTES_MAX: i32 = 4096;
/// Maximum length of a title; longer titles are truncated.
pub const TITLE_BYTES_MAX: usize = 1024;
/// Maximum number of feature columns in an item table.
pub const ATTRIBUTE_COLUMNS_MAX: usize = 5;
/// Maximum number of filter columns in an item table.
pub const FILTER_COLUMNS_MAX: usize = 8;
/// Separator of several values of one attribute.
pub const ATTRIBUTE_SEPARATOR: char = '|';
/// Maximum number of values in one cell; further values are ignored.
pub const ATTRIBUTE_VALUES_PER_CELL_MAX: usize = 64;
/// Maximum length of a value, in bytes; longer values, such as descriptions, are ignored.
pub const ATTRIBUTE_VALUE_BYTES_MAX: usize = 256;
/// Maximum number of distinct values over all attributes of one table.
pub const ATTRIBUTE_VALUES_READ_MAX: usize = 1_000_000;
/// Maximum number of values in the map from attributes to factors; the most frequent values are
/// selected.
pub const ATTRIBUTE_VALUES_MAX: usize = 10_000;
/// Maximum number of items that are excluded from a fit to evaluate cold-start recommendations.
pub const COLD_ITEMS_MEASURED_MAX: usize = 1000;
/// Fraction of the items with attributes that is excluded; see [`COLD_ITEMS_MEASURED_MAX`].
pub const COLD_ITEMS_MEASURED_FRACTION: f64 = 0.1;
/// If more than this fraction of the rows is dropped, the columns probably do not match the
/// resource.
pub const DROPPED_FRACTION_MAX: f64 = 0.5;
/// First bytes of a snapshot that are read to find its item ids, in bytes. Its header has about
/// 3 KiB.
pub const SNAPSHOT_HEAD_BYTES: u64 = 16 * 1024;
