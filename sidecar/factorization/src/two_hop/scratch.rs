//! Memory that the walks of a thread reuse: sums of a block of users and of all items, of which a
//! walk touches few, and the users that it visits.

use std::cell::Cell;

use super::visit::Visit;

/// Sums, which are 0 between walks, and visits. They are as long as the largest model that the
/// thread has walked needs.
#[derive(Default)]
pub(super) struct Scratch {
    /// Users of the last walk.
    pub(super) visits: Vec<Visit>,
    /// Sum of each user of a block.
    users: Vec<f64>,
    /// A bit for each user with a sum, which gives the users in ascending order.
    reached: Vec<u64>,
    /// Sum of each item.
    items: Vec<f64>,
    /// Number of items of the users of each order of weights.
    lengths: Vec<usize>,
}

/// Memory for a block of users.
pub(super) struct Block<'a> {
    /// Sum of each user.
    pub(super) sums: &'a mut [f64],
    /// A bit for each user with a sum.
    pub(super) reached: &'a mut [u64],
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
    /// Sums and bits of this many users, and numbers of items of this many orders of weights.
    pub(super) fn block(&mut self, users: usize, orders: usize) -> (Block<'_>, &mut [usize]) {
        let words = users.div_ceil(64);
        extend(&mut self.users, users);
        extend(&mut self.reached, words);
        extend(&mut self.lengths, orders);
        let block = Block { sums: &mut self.users[..users], reached: &mut self.reached[..words] };
        (block, &mut self.lengths[..orders])
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
