//! Which entries are walked: those of items with enough users, and of an item with very many users
//! a sample.

use super::rows::OwnedRows;
use crate::{interactions::Interactions, random::word};

/// Maximum number of users of an item that are walked. Lists of popular items would take all of the
/// additions of a walk, and say least about preferences.
pub const USERS_PER_ITEM_MAX: usize = 4096;

/// The entries that are walked, by item and by user.
#[derive(Clone, Debug, PartialEq)]
pub struct TwoHopIndex {
    users_of_items: OwnedRows,
    items_of_users: Option<OwnedRows>,
}

impl TwoHopIndex {
    /// The likes of items with at least `users_min` users. Of an item with more than
    /// [`USERS_PER_ITEM_MAX`] users, that many with the least hash of (seed, item, user).
    pub(crate) fn new(data: &Interactions, users_min: u32, seed: u64) -> Self {
        Self::sampled(data, users_min, USERS_PER_ITEM_MAX, seed)
    }

    pub(super) fn sampled(data: &Interactions, users_min: u32, users_max: usize, seed: u64) -> Self {
        let by_item = data.transpose();
        let mut is_sampled = false;
        let users_of_items = OwnedRows::from_rows((0..by_item.users()).map(|item| {
            let (users, values) = by_item.row(item);
            let mut likes: Vec<(u32, f32)> =
                users.iter().copied().zip(values.iter().copied()).filter(|like| like.1 > 0.0).collect();
            if likes.len() < users_min as usize {
                return Vec::new();
            }
            if likes.len() > users_max {
                is_sampled = true;
                likes.sort_unstable_by_key(|like| (word(seed, item as u64, u64::from(like.0)), like.0));
                likes.truncate(users_max);
                likes.sort_unstable_by_key(|like| like.0);
            }
            likes
        }));
        let items_of_users = is_sampled.then(|| transposed(&users_of_items, data.users()));
        Self { users_of_items, items_of_users }
    }

    /// Users of each item, ascending.
    pub fn users_of_items(&self) -> &OwnedRows {
        &self.users_of_items
    }

    /// Items of each user, ascending; `None` if they are those of the users' histories. Those may
    /// include items that are not walked, whose scale is 0.
    pub fn items_of_users(&self) -> Option<&OwnedRows> {
        self.items_of_users.as_ref()
    }

    /// Keeps the rows that are walked when other histories take the place of these.
    pub(super) fn keep_rows(&mut self, histories: &OwnedRows) {
        self.items_of_users.get_or_insert_with(|| histories.clone());
    }

    /// Appends items without users.
    pub(super) fn append_items(&mut self, items: usize) {
        self.users_of_items.append_empty(items);
    }
}

/// Items of each user.
#[expect(clippy::cast_possible_truncation, reason = "items ≤ INDEX_MAX")]
fn transposed(users_of_items: &OwnedRows, users: usize) -> OwnedRows {
    let lists = users_of_items.view();
    let mut rows = vec![Vec::new(); users];
    for item in 0..lists.len() {
        let list = lists.row(item);
        for (at, user) in list.columns.iter().enumerate() {
            rows[*user as usize].push((item as u32, list.value(at)));
        }
    }
    OwnedRows::from_rows(rows.into_iter())
}
