//! What one run may read: every table, row and id has a limit, so that no input exhausts the machine unannounced.

/// Limits of one run. [`Limits::default`] are the documented ones; tests use smaller ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most users.
    pub users_max: u32,
    /// Most items.
    pub items_max: u32,
    /// Most rows that are kept, before duplicates merge.
    pub interactions_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { users_max: USERS_MAX, items_max: ITEMS_MAX, interactions_max: INTERACTIONS_MAX }
    }
}

/// Most users of one model.
pub const USERS_MAX: u32 = 200_000_000;
/// Most items of one model.
pub const ITEMS_MAX: u32 = 20_000_000;
/// Most rows that are kept; 16 bytes each while they are read.
pub const INTERACTIONS_MAX: u32 = 4_000_000_000;
/// Longest id; rows with a longer one are dropped.
pub const ID_BYTES_MAX: usize = 1024;
/// Longest row, all fields together; longer ones are dropped.
pub const ROW_BYTES_MAX: usize = 64 * 1024;
/// Most fields of a row; rows with more are dropped.
pub const FIELDS_PER_ROW_MAX: usize = 1024;
/// Bytes of text that are taken at once.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;
/// Most memory that zstd's window takes: 2 to this power, in bytes. Text is decompressed as it is read, never whole.
pub(crate) const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// Largest column of a Parquet row group that is decoded, in bytes; one of its pages is in memory at a time.
pub const PARQUET_COLUMN_BYTES_MAX: u64 = 2 << 30;
/// Longest title; the rest is cut.
pub const TITLE_BYTES_MAX: usize = 1024;
/// Columns of an item table that say what kind of item it is.
pub const ATTRIBUTE_COLUMNS_MAX: usize = 5;
/// What separates several values of one attribute.
pub const ATTRIBUTE_SEPARATOR: char = '|';
/// Values of one column that count for an item; what comes after them does not.
pub const ATTRIBUTE_VALUES_PER_CELL_MAX: usize = 64;
/// Different values of all attributes in one table.
pub const ATTRIBUTE_VALUES_READ_MAX: usize = 1_000_000;
/// Values that a map from attributes to factors is of: those of the most items.
pub const ATTRIBUTE_VALUES_MAX: usize = 10_000;
/// Items that are taken out of a fit to see how well their attributes say who meets them, and their share.
pub const COLD_ITEMS_MEASURED_MAX: usize = 1000;
/// See [`COLD_ITEMS_MEASURED_MAX`].
pub const COLD_ITEMS_MEASURED_SHARE: f64 = 0.1;
/// When more than this share of the rows is dropped, the columns are likely not what the resource says.
pub const DROPPED_SHARE_MAX: f64 = 0.5;
