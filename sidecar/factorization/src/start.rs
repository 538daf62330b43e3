//! Where a fit starts: each row from where an earlier model left it, and rows that it did not know from the seed.
//!
//! Alternating least squares only ever lowers its objective, so a start that is nearly the end needs few sweeps. Where it ends
//! depends on the start, as it depends on the seed: another start makes another model, as good by the objective.

use ndarray::{Array2, ArrayView2, s};

use crate::als::FitError;

/// An earlier model's rows, and which of them the rows of a fit were.
#[derive(Clone, Copy, Debug)]
pub struct Earlier<'a> {
    /// Its users × factors.
    pub user_factors: ArrayView2<'a, f32>,
    /// Its items × factors.
    pub item_factors: ArrayView2<'a, f32>,
    /// Biases of its users; empty unless it is one of ratings.
    pub user_biases: &'a [f32],
    /// For each user of the fit the row that it was; `None` for a new one.
    pub users: &'a [Option<u32>],
    /// For each item.
    pub items: &'a [Option<u32>],
}

impl Earlier<'_> {
    /// Refuses a model with another number of factors.
    pub(crate) fn check(&self, factors: usize) -> Result<(), FitError> {
        let other = [self.user_factors, self.item_factors].into_iter().map(|rows| rows.ncols()).find(|f| *f != factors);
        other.map_or(Ok(()), |given| Err(FitError::Start { given, expected: factors }))
    }

    /// Puts users into rows that may be padded.
    pub(crate) fn put_users(&self, rows: &mut Array2<f32>) {
        put(rows, self.user_factors, self.users);
    }

    /// Puts items into rows that may be padded.
    pub(crate) fn put_items(&self, rows: &mut Array2<f32>) {
        put(rows, self.item_factors, self.items);
    }

    /// Puts biases of users.
    pub(crate) fn put_user_biases(&self, biases: &mut [f32]) {
        for (bias, was) in biases.iter_mut().zip(self.users) {
            if let Some(earlier) = was.and_then(|was| self.user_biases.get(was as usize)) {
                *bias = *earlier;
            }
        }
    }
}

fn put(rows: &mut Array2<f32>, earlier: ArrayView2<'_, f32>, which: &[Option<u32>]) {
    for (mut row, was) in rows.rows_mut().into_iter().zip(which) {
        if let Some(was) = was.map(|was| was as usize).filter(|was| *was < earlier.nrows()) {
            row.slice_mut(s![..earlier.ncols()]).assign(&earlier.row(was));
        }
    }
}
