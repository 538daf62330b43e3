//! The tensors of a snapshot, as one list. The writer writes them in this order, the reader checks
//! them against it, and a test compares the table in the crate's docs with it.

use tensor_file::Dtype;

use crate::{capability::Capability, error::SnapshotError, metadata::Metadata};

/// Length of a SHA-256.
const SHA_256_BYTES: u64 = 32;

/// Length of a dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Users,
    UsersPlusOne,
    Items,
    ItemsPlusOne,
    Factors,
    Interactions,
    /// Entries that the two-hop term walks.
    TwoHopEntries,
    /// Items whose pairs have sums in the two-hop term.
    TwoHopPairItems,
    /// Length of the concatenated strings; only the file has it.
    Bytes,
    /// Number of items with a rank; only the file has it.
    UpToItems,
    /// Number of blocks of item codes; only the file has it.
    Blocks,
    /// A scale and a residual.
    Two,
    /// Bounds of a block of item codes.
    Three,
    /// Length of a SHA-256.
    Sha256,
}

impl Length {
    /// Length in a model; `None` if only the file has it. The number of users and items must be
    /// checked.
    fn of(self, metadata: &Metadata) -> Option<u64> {
        match self {
            Self::Users => Some(metadata.users),
            Self::UsersPlusOne => Some(metadata.users + 1),
            Self::Items => Some(metadata.items),
            Self::ItemsPlusOne => Some(metadata.items + 1),
            Self::Factors => Some(metadata.factors),
            Self::Interactions => Some(metadata.interactions),
            Self::TwoHopEntries => metadata.two_hop_entries,
            Self::TwoHopPairItems => metadata.two_hop_pair_items,
            Self::Sha256 => Some(SHA_256_BYTES),
            Self::Two => Some(2),
            Self::Three => Some(3),
            Self::Bytes | Self::UpToItems | Self::Blocks => None,
        }
    }
}

/// Which files have a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// All files.
    Always,
    /// Files with the capability, and no others.
    With(Capability),
    /// Some files.
    Optional,
    /// Files with the other tensor, and no others.
    Beside(Tensor),
}

/// Description of a tensor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) dtype: Dtype,
    pub(crate) shape: &'static [Length],
    pub(crate) presence: Presence,
    /// For the table in the docs.
    #[cfg(test)]
    content: &'static str,
}

/// Defines [`Tensor`] from the list.
macro_rules! tensors {
    ($($tensor:ident $name:literal $dtype:ident [$($length:ident),*] $presence:ident $content:literal)*) => {
        /// A tensor of a snapshot.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Tensor {
            $(#[doc = $content] $tensor,)*
        }

        impl Tensor {
            /// All tensors, in the order of the file.
            pub(crate) const ALL: [Self; [$($name),*].len()] = [$(Self::$tensor),*];

            pub(crate) fn spec(self) -> Spec {
                match self {
                    $(Self::$tensor => Spec {
                        name: $name,
                        dtype: Dtype::$dtype,
                        shape: &[$(Length::$length),*],
                        presence: $presence,
                        #[cfg(test)]
                        content: $content,
                    },)*
                }
            }
        }
    };
}

tensors! {
    UserFactors   "user_factors"        F32 [Users, Factors]   ALWAYS       "one row per user"
    ItemFactors   "item_factors"        F32 [Items, Factors]   ALWAYS       "one row per item"
    Gram          "gram"                F64 [Factors, Factors] ALWAYS       "Gram matrix of item factors, for fold-in"
    UserBiases    "user_biases"         F32 [Users]            WITH_RATINGS "user biases"
    ItemBiases    "item_biases"         F32 [Items]            WITH_RATINGS "item biases"
    ItemCounts    "item_counts"         U32 [Items]            ALWAYS       "number of users who chose the item"
    PopularItems  "popular_items"       U32 [UpToItems]        ALWAYS       "items by descending popularity"
    UserIdBytes   "user_ids.bytes"      U8  [Bytes]            ALWAYS       "user ids in row order, concatenated UTF-8"
    UserIdOffsets "user_ids.offsets"    U64 [UsersPlusOne]     ALWAYS       "start of each id, then the end of the last"
    UserIdSorted  "user_ids.sorted"     U32 [Users]            ALWAYS       "rows sorted by id bytes, for binary search"
    ItemIdBytes   "item_ids.bytes"      U8  [Bytes]            ALWAYS       "item ids, likewise"
    ItemIdOffsets "item_ids.offsets"    U64 [ItemsPlusOne]     ALWAYS       "likewise"
    ItemIdSorted  "item_ids.sorted"     U32 [Items]            ALWAYS       "likewise"
    ItemIdChecksum "item_ids.checksum"  U8  [Sha256]           OPTIONAL     "SHA-256 of their bytes and offsets"
    SeenOffsets   "seen.offsets"        U64 [UsersPlusOne]     ALWAYS       "start of each user's items in `seen.items`"
    SeenItems     "seen.items"          U32 [Interactions]     ALWAYS       "items the user interacted with, ascending"
    SeenWeights   "seen.weights"        F32 [Interactions]     OPTIONAL     "their weights, unless all are 1"
    TitleBytes    "item_titles.bytes"   U8  [Bytes]            OPTIONAL     "titles, in files of earlier releases"
    TitleOffsets  "item_titles.offsets" U64 [ItemsPlusOne]     WITH_TITLES  "likewise; equal if there is no title"
    Available     "item_available"      U8  [Items]            OPTIONAL     "likewise; 0: never recommend"
    CodeOrder     "item_codes.order"    U32 [Items]            OPTIONAL     "items by descending norm"
    Codes         "item_codes.codes"    U8  [Bytes]            WITH_CODES   "four bits a factor"
    CodeScales    "item_codes.scales"   BF16 [Items, Two]      WITH_CODES   "residual bound and scale"
    CodeBounds    "item_codes.bounds"   F32 [Blocks, Three]    WITH_CODES   "norms and bias of a block"
    TwoHopLists   "two_hop.lists"       U64 [ItemsPlusOne]     WITH_TWO_HOP "start of each item's users"
    TwoHopUsers   "two_hop.users"       U32 [TwoHopEntries]    WITH_TWO_HOP "users of each item, ascending"
    TwoHopUserWeights "two_hop.user_weights" F32 [TwoHopEntries] OPTIONAL   "their weights, unless all are 1"
    TwoHopRows    "two_hop.rows"        U64 [UsersPlusOne]     OPTIONAL     "start of each user's items, unless as `seen`"
    TwoHopItems   "two_hop.items"       U32 [TwoHopEntries]    WITH_ROWS    "items of each user, ascending"
    TwoHopItemWeights "two_hop.item_weights" F32 [TwoHopEntries] OPTIONAL   "their weights, unless all are 1"
    TwoHopSpan    "two_hop.span"        F64 [Factors, Factors] WITH_SPAN    "K of the item factors"
    TwoHopPairs   "two_hop.pairs"       U32 [TwoHopPairItems, TwoHopPairItems] WITH_PAIRS "sums over shared users"
    Checksum      "checksum"            U8  [Sha256]           OPTIONAL     "SHA-256 of all bytes before it"
}

const ALWAYS: Presence = Presence::Always;
const OPTIONAL: Presence = Presence::Optional;
const WITH_RATINGS: Presence = Presence::With(Capability::Ratings);
const WITH_CODES: Presence = Presence::Beside(Tensor::CodeOrder);
const WITH_TWO_HOP: Presence = Presence::With(Capability::TwoHop);
const WITH_SPAN: Presence = Presence::With(Capability::TwoHopSpan);
const WITH_PAIRS: Presence = Presence::With(Capability::TwoHopPairs);
const WITH_ROWS: Presence = Presence::Beside(Tensor::TwoHopRows);
const WITH_TITLES: Presence = Presence::Beside(Tensor::TitleBytes);

impl Tensor {
    /// Whether a model has the tensor. Fails if it must and does not, or the reverse. `has` returns
    /// whether the file, or the parts to write, contain a tensor.
    pub(crate) fn is_present(self, metadata: &Metadata, has: impl Fn(Self) -> bool) -> Result<bool, SnapshotError> {
        let Spec { name, presence, .. } = self.spec();
        let (is_expected, condition) = match presence {
            Presence::Always => (true, String::new()),
            Presence::With(capability) => (metadata.requires(capability), format!("capability {}", capability.name())),
            Presence::Beside(other) => (has(other), other.spec().name.to_owned()),
            Presence::Optional => return Ok(has(self)),
        };
        match (is_expected, has(self)) {
            (true, false) => Err(SnapshotError::corrupt(name, "is missing")),
            (false, true) => Err(SnapshotError::corrupt(name, format!("is present without {condition}"))),
            (is_expected, _) => Ok(is_expected),
        }
    }

    /// Shape in a model. `found` returns the length of a dimension that only the file has.
    pub(crate) fn shape(self, metadata: &Metadata, found: impl Fn(usize) -> Option<u64>) -> Vec<u64> {
        let lengths = self.spec().shape.iter().enumerate();
        lengths.map(|(index, length)| length.of(metadata).or_else(|| found(index)).unwrap_or_default()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    impl Tensor {
        /// Row of the table in the docs: name, type, shape, content.
        fn row(self) -> [String; 4] {
            let Spec { name, dtype, shape, presence, content } = self.spec();
            let lengths = shape.iter().map(|length| match length {
                Length::Users => "users",
                Length::UsersPlusOne => "users + 1",
                Length::Items => "items",
                Length::ItemsPlusOne => "items + 1",
                Length::Factors => "factors",
                Length::Interactions => "interactions",
                Length::TwoHopEntries => "two-hop entries",
                Length::TwoHopPairItems => "pair items",
                Length::Bytes => "bytes",
                Length::UpToItems => "up to items",
                Length::Blocks => "blocks",
                Length::Two => "2",
                Length::Three => "3",
                Length::Sha256 => "32",
            });
            let suffix = match presence {
                Presence::Always => String::new(),
                Presence::With(capability) => format!("; with `{}`", capability.name()),
                Presence::Optional | Presence::Beside(_) => "; optional".to_owned(),
            };
            let shape = lengths.collect::<Vec<_>>().join(", ");
            [format!("`{name}`"), format!("{dtype:?}"), shape, format!("{content}{suffix}")]
        }
    }

    #[test]
    fn the_table_in_the_docs_is_this_list() {
        let mut rows = vec![["tensor", "type", "shape", "content"].map(str::to_owned)];
        rows.extend(Tensor::ALL.map(Tensor::row));
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths = [0, 1, 2, 3].map(width);
        let mut expected = String::new();
        for (index, row) in rows.iter().enumerate() {
            expected.push_str("//! |");
            for (text, width) in row.iter().zip(widths) {
                write!(expected, " {text:width$} |").unwrap();
            }
            expected.push('\n');
            if index == 0 {
                let dashes = widths.map(|width| "-".repeat(width + 2));
                writeln!(expected, "//! |{}|", dashes.join("|")).unwrap();
            }
        }
        let lines = include_str!("lib.rs").lines().filter(|line| line.starts_with("//! |"));
        let found: String = lines.flat_map(|line| [line, "\n"]).collect();
        assert_eq!(found, expected, "expected in lib.rs:\n{expected}");
    }

    #[test]
    fn names_are_unique_and_the_list_is_indexed_by_the_enum() {
        let mut names = Tensor::ALL.map(|tensor| tensor.spec().name);
        names.sort_unstable();
        assert!(names.is_sorted_by(|before, after| before < after));
        assert!(Tensor::ALL.into_iter().enumerate().all(|(index, tensor)| index == tensor as usize));
    }
}
