//! Memory that the walks of a thread reuse: sums of all users and all items, of which a walk
//! touches few.

use std::cell::Cell;

/// Sums, which are 0 between walks. They are as long as the largest model that the thread has
/// walked.
#[derive(Default)]
pub(super) struct Scratch {
    /// Sum of each user.
    pub(super) users: Vec<f64>,
    /// A bit for each user with a sum, which gives the users in ascending order.
    pub(super) reached: Vec<u64>,
    /// Sum of each item.
    items: Vec<f64>,
}

thread_local! {
    static SCRATCH: Cell<Scratch> = Cell::default();
}

/// Runs with the memory of this thread. A walk within a walk, or after a panic, gets memory of its
/// own.
pub(super) fn with_scratch<T>(run: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with(|cell| {
        let mut scratch = cell.take();
        let result = run(&mut scratch);
        cell.set(scratch);
        result
    })
}

impl Scratch {
    /// Sums and bits of at least this many users.
    pub(super) fn users(&mut self, users: usize) -> &mut Self {
        extend(&mut self.users, users);
        extend(&mut self.reached, users.div_ceil(64));
        self
    }

    /// Sums of this many items.
    pub(super) fn items(&mut self, items: usize) -> &mut [f64] {
        extend(&mut self.items, items);
        &mut self.items[..items]
    }
}

/// Appends zeros up to a length.
fn extend<T: Copy + Default>(numbers: &mut Vec<T>, length: usize) {
    if numbers.len() < length {
        numbers.resize(length, T::default());
    }
}
