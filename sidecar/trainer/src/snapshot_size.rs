//! Forecast of the size of a snapshot.

/// Size of a snapshot's header.
const HEADER_BYTES: u64 = 4096;
/// Items × factors from which a snapshot has codes of the item factors, and bytes of an item's code
/// besides half a byte for each factor.
const CODED_FACTORS_MIN: u64 = 1 << 16;
const CODE_BYTES: u64 = 16;
/// Number of users from which an item may be sampled in a two-hop term, which then has rows of
/// users of its own.
const SAMPLED_USERS_MIN: u64 = factorization::two_hop::USERS_PER_ITEM_MAX as u64;
/// Maximum number of items of which a two-hop term may have sums of all pairs.
const PAIR_ITEMS_MAX: u64 = factorization::two_hop::PAIR_ITEMS_MAX as u64;

/// What determines the size of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotSize {
    /// Number of users.
    pub users: u64,
    /// Number of items, including cold-start items.
    pub items: u64,
    /// Number of distinct (user, item) pairs.
    pub pairs: u64,
    /// Total length of all ids.
    pub id_bytes: u64,
    /// Whether pairs have weights or ratings.
    pub is_weighted: bool,
    /// Whether users and items have biases.
    pub has_biases: bool,
}

impl SnapshotSize {
    /// Bytes of a snapshot with this number of factors: factors, ids with their offsets and sort
    /// order, histories, biases, popularity, codes, and what a two-hop term walks. Titles are not
    /// included.
    pub fn bytes(&self, factors: u64, has_two_hop_term: bool) -> u64 {
        let Self { users, items, pairs, id_bytes, is_weighted, has_biases } = *self;
        let rows = users + items;
        let weights = if is_weighted { 4 * pairs } else { 0 };
        let biases = if has_biases { 4 * rows } else { 0 };
        let has_codes = items.saturating_mul(factors) > CODED_FACTORS_MIN;
        let codes = if has_codes { items * (factors / 2 + CODE_BYTES) } else { 0 };
        let sampled = if users > SAMPLED_USERS_MIN { 8 * users + 4 * pairs + weights } else { 0 };
        let sums = if items <= PAIR_ITEMS_MAX && !is_weighted { 4 * items * items } else { 0 };
        let two_hop =
            if has_two_hop_term { 8 * items + 4 * pairs + weights + sampled + 8 * factors * factors + sums } else { 0 };
        HEADER_BYTES
            + rows * (4 * factors + 12)
            + 8 * factors * factors
            + id_bytes
            + 8 * users
            + 8 * items
            + 4 * pairs
            + weights
            + biases
            + codes
            + two_hop
    }
}
