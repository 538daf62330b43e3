//! File format of a trained model: one file, written once by the trainer. Serving maps its own copy
//! ([`PrivateFile`]); a file that others may overwrite is read into memory.
//!
//! The file is a standard `safetensors` file (it opens in Python) with everything that serving
//! needs but the catalogue: titles, availability and filter columns are a file of their own, which
//! changes without training. No index is built at load time. Equal models yield equal bytes: the
//! file contains no time, host or thread, and the order of the header is fixed.
//!
//! | tensor                 | type | shape                  | content                                                |
//! |------------------------|------|------------------------|--------------------------------------------------------|
//! | `user_factors`         | F32  | users, factors         | one row per user                                       |
//! | `item_factors`         | F32  | items, factors         | one row per item                                       |
//! | `gram`                 | F64  | factors, factors       | Gram matrix of item factors, for fold-in               |
//! | `user_biases`          | F32  | users                  | user biases; with `ratings`                            |
//! | `item_biases`          | F32  | items                  | item biases; with `ratings`                            |
//! | `item_counts`          | U32  | items                  | number of users who chose the item                     |
//! | `popular_items`        | U32  | up to items            | items by descending popularity                         |
//! | `user_ids.bytes`       | U8   | bytes                  | user ids in row order, concatenated UTF-8              |
//! | `user_ids.offsets`     | U64  | users + 1              | start of each id, then the end of the last             |
//! | `user_ids.sorted`      | U32  | users                  | rows sorted by id bytes, for binary search             |
//! | `item_ids.bytes`       | U8   | bytes                  | item ids, likewise                                     |
//! | `item_ids.offsets`     | U64  | items + 1              | likewise                                               |
//! | `item_ids.sorted`      | U32  | items                  | likewise                                               |
//! | `item_ids.checksum`    | U8   | 32                     | SHA-256 of their bytes and offsets; optional           |
//! | `seen.offsets`         | U64  | users + 1              | start of each user's items in `seen.items`             |
//! | `seen.items`           | U32  | interactions           | items the user interacted with, ascending              |
//! | `seen.weights`         | F32  | interactions           | their weights, unless all are 1; optional              |
//! | `item_titles.bytes`    | U8   | bytes                  | titles, in files of earlier releases; optional         |
//! | `item_titles.offsets`  | U64  | items + 1              | likewise; equal if there is no title; optional         |
//! | `item_available`       | U8   | items                  | likewise; 0: never recommend; optional                 |
//! | `item_codes.order`     | U32  | items                  | items by descending norm; optional                     |
//! | `item_codes.codes`     | U8   | bytes                  | four bits a factor; optional                           |
//! | `item_codes.scales`    | BF16 | items, 2               | residual bound and scale; optional                     |
//! | `item_codes.bounds`    | F32  | blocks, 3              | norms and bias of a block; optional                    |
//! | `two_hop.lists`        | U64  | items + 1              | start of each item's users; with `two-hop`             |
//! | `two_hop.users`        | U32  | two-hop entries        | users of each item, ascending; with `two-hop`          |
//! | `two_hop.user_weights` | F32  | two-hop entries        | their weights, unless all are 1; optional              |
//! | `two_hop.rows`         | U64  | users + 1              | start of each user's items, unless as `seen`; optional |
//! | `two_hop.items`        | U32  | two-hop entries        | items of each user, ascending; optional                |
//! | `two_hop.item_weights` | F32  | two-hop entries        | their weights, unless all are 1; optional              |
//! | `two_hop.span`         | F64  | factors, factors       | K of the item factors; with `two-hop-span`             |
//! | `two_hop.pairs`        | U32  | pair items, pair items | sums over shared users; with `two-hop-pairs`           |
//! | `checksum`             | U8   | 32                     | SHA-256 of all bytes before it; optional               |
//!
//! Files of earlier releases also have titles and availability. They are read until the first
//! catalogue of the revision is loaded, and never written.
//!
//! The item ids can be read apart from the rest of the file ([`ItemIdsPart`]), verified by their own
//! checksum.
//!
//! The codes belong to the crate `factorization`, which documents their layout and checks that they
//! match the factors. They make lists faster and change nothing else, so a reader may ignore them.
//!
//! The crate `tensor-file` contains the container. The only metadata key, `recmesh`, contains
//! canonical JSON: `formatVersion`, the sorted list `capabilities` (absent if it is empty), and the
//! fields of [`Metadata`]. Files can grow: readers ignore unknown tensors and fields, and refuse a
//! file that requires a [`Capability`] that they do not know.

mod capability;
mod error;
mod item_ids;
mod metadata;
mod parts;
mod read;
mod tensors;
mod write;

pub use capability::Capability;
pub use error::SnapshotError;
pub use item_ids::{ItemIds, ItemIdsPart};
pub use metadata::{Metadata, Scale};
pub use parts::{Biases, ItemCodes, ModelParts, Rows, Seen, TwoHopRows};
pub use read::Snapshot;
pub use tensor_file::{Contents, PrivateDirectory, PrivateFile, StringTable, Written};
pub use write::write;
