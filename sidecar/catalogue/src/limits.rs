//! Version of the format, and bounds of catalogues and filters.

/// Version of the format. Every change of meaning of a tensor or a field is a new version.
pub const FORMAT_VERSION: u64 = 1;

/// Maximum number of filter columns. An answer may test one item against each of them.
pub const COLUMNS_MAX: usize = 32;
/// Maximum length of a column's name, in bytes; names are in error messages.
pub const COLUMN_NAME_BYTES_MAX: usize = 128;
/// Maximum length of a value of a category column, in bytes; values are in error messages.
pub const VALUE_BYTES_MAX: usize = 256;
/// Maximum number of distinct values of a category column.
pub const VALUES_MAX: usize = 1_000_000;
/// Maximum size of a column, in bytes an item, without the text of its distinct values.
pub const COLUMN_BYTES_PER_ITEM_MAX: usize = 16;
/// Size below which a column of a small catalogue is not refused, in bytes.
pub const COLUMN_BYTES_FREE: usize = 1024 * 1024;
/// Maximum length of a catalogue's version, in bytes; answers repeat it.
pub const VERSION_BYTES_MAX: usize = 64;

/// Maximum number of conditions of a filter. Each costs at most one pass over the bits of all
/// items.
pub const FILTER_CONDITIONS_MAX: usize = 32;
/// Maximum number of values in the conditions of a filter, all together; each may be a bitset.
pub const FILTER_VALUES_MAX: usize = 200;
/// Maximum number of known values that an error message names.
pub const KNOWN_VALUES_MAX: usize = 20;
/// Values of a column among which one that differs from an unknown value by case only is looked for.
pub const ALIKE_VALUES_MAX: usize = 10_000;
/// Maximum length of the names of known columns or values in an error message, in bytes.
pub const KNOWN_BYTES_MAX: usize = 1000;
