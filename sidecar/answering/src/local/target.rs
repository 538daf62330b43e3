//! What the items of an answer are for, by rows of the snapshot.

/// What the items are for, by rows.
#[derive(Debug)]
pub enum Target {
    /// A user, a history, or both.
    Recommend {
        /// Row of the user, if the model has it.
        user: Option<u32>,
        /// Rows of the history's items with their weights or ratings, in the order of the request.
        history: Vec<(u32, f32)>,
    },
    /// An item to be similar to.
    Similar {
        /// Row of the item.
        item: u32,
    },
}
