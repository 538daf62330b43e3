//! A trained model as one file: written once by the trainer, mapped and read by whoever serves.
//!
//! The file is a standard `safetensors` file (it opens in Python) that holds all that serving needs; nothing is built at
//! load. Equal models give equal bytes: the file names no time, host or thread, and the header is in a fixed order.
//!
//! | tensor               | type | shape                | holds                                                        |
//! |----------------------|------|----------------------|--------------------------------------------------------------|
//! | `user_factors`       | F32  | users, factors       | one row a user                                               |
//! | `item_factors`       | F32  | items, factors       | one row an item                                              |
//! | `gram`               | F64  | factors, factors     | Gram matrix of the item factors, for folding users in        |
//! | `user_biases`        | F32  | users                | added to a user's predicted ratings; models of ratings only  |
//! | `item_biases`        | F32  | items                | added to an item's predicted ratings; models of ratings only |
//! | `item_counts`        | U32  | items                | how many users chose the item                                |
//! | `popular_items`      | U32  | at most items        | items from the most to the least popular                     |
//! | `user_ids.bytes`     | U8   | bytes                | the users' ids in row order, one after the other, UTF-8      |
//! | `user_ids.offsets`   | U64  | users + 1            | where each id starts; the last entry is the end              |
//! | `user_ids.sorted`    | U32  | users                | rows in the byte order of their ids: lookup by bisection     |
//! | `item_ids.*`         |      |                      | the same for items                                           |
//! | `seen.offsets`       | U64  | users + 1            | where each user's items start in `seen.items`                |
//! | `seen.items`         | U32  | interactions         | items that the user has met, ascending                       |
//! | `seen.weights`       | F32  | interactions         | their weights; absent when every weight is 1                 |
//! | `item_titles.bytes`, `item_titles.offsets` | | as ids  | titles in row order, empty where there is none; optional     |
//! | `item_available`     | U8   | items                | 0: never recommend; optional                                 |
//!
//! Every tensor starts at a multiple of 64 bytes. The standard allows no holes, so `_pad.<name>` tensors of less than 64
//! zero bytes stand between. Tensors that a reader does not know are ignored; what changes the meaning of a known one
//! raises the version in the metadata, and a reader refuses a version that it does not know: [`FORMAT_VERSION`] has no biases,
//! [`FORMAT_VERSION_WITH_BIASES`] has them, with [`FORMAT_VERSION_WITH_COLD_ITEMS`] the last items may be ones that nobody has met, and
//! with [`FORMAT_VERSION_WITH_SHARES`] weights depend on degrees.
//!
//! The one metadata key, `recmesh`, holds [`Metadata`] as canonical JSON.

mod buffer;
mod check;
mod container;
mod error;
mod metadata;
mod parts;
mod read;
mod strings;
mod write;

pub use error::SnapshotError;
pub use metadata::{
    FORMAT_VERSION, FORMAT_VERSION_WITH_BIASES, FORMAT_VERSION_WITH_COLD_ITEMS, FORMAT_VERSION_WITH_SHARES, Metadata,
    Scale,
};
pub use parts::{Biases, ModelParts, Seen};
pub use read::Snapshot;
pub use strings::StringTable;
pub use write::{Written, write};
