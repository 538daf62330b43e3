//! The catalogue of a revision: titles, availability and filter columns of its items, apart from
//! the model, in the order of the model's items. One file, written by a [`CatalogueWriter`], mapped
//! and checked by a [`Catalogue`], which turns a [`Filter`] into an [`ItemSet`].
//!
//! The file is a standard `safetensors` file (crate `tensor-file`). Equal content yields equal
//! bytes, in whatever order it was added. The metadata entry `recmesh` is JSON: `formatVersion`,
//! `version` of the catalogue, `revision` that it belongs to (SHA-256 of the snapshot), `items`,
//! and `columns` (name and kind), sorted by name. `<n>` is the index of a column.
//!
//! | tensor                   | type | shape             | content                                     |
//! |--------------------------|------|-------------------|---------------------------------------------|
//! | `available`              | U64  | words             | bit of each item that may be recommended;   |
//! |                          |      |                   | absent if all may                           |
//! | `titles.bytes`           | U8   | bytes             | titles, concatenated UTF-8; optional        |
//! | `titles.offsets`         | U32  | items + 1         | equal if an item has no title               |
//! | `column.<n>.names.bytes` | U8   | bytes             | category: distinct values, sorted           |
//! | `column.<n>.names.offsets` | U32 | values + 1       | start of each, then the end of the last     |
//! | `column.<n>.starts`      | U32  | values + 1        | start of each value's items in `.lists`     |
//! | `column.<n>.lists`       | U32  | rare items        | items of rare values, ascending by value    |
//! | `column.<n>.frequent`    | U32  | frequent values   | values with a bitset in place of a list     |
//! | `column.<n>.bitsets`     | U64  | frequent × words  | their items                                 |
//! | `column.<n>.values`      | F64  | items             | number, time: value of each item, or NaN    |
//! | `column.<n>.sorted`      | U32  | items with values | items by value, then by index               |
//!
//! Bit `i % 64` of word `i / 64` is item `i`. Times are seconds since 1970.
//!
//! # Size
//! A column of numbers or times takes 12 bytes an item. A category column takes at most
//! [`limits::COLUMN_BYTES_PER_ITEM_MAX`] bytes an item and the text of each distinct value once: an
//! item and value cost the smaller of four bytes and the bits of the value's bitset. A column that
//! would take more, because its items have many rare values each, is refused.

mod bits;
mod column;
mod error;
mod evaluate;
mod filter;
mod item_set;
pub mod limits;
mod metadata;
mod read;
mod texts;
mod time;
mod write;

pub use error::{CatalogueError, FilterError};
pub use filter::{Condition, Filter};
pub use item_set::ItemSet;
pub use metadata::ColumnKind;
pub use read::Catalogue;
pub use tensor_file::{PrivateDirectory, PrivateFile, Written};
pub use time::parse_time;
pub use write::{CatalogueWriter, ColumnId, check_value};
