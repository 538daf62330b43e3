//! Warm start: initializes rows from an earlier model, and rows that it does not have from the
//! seed.
//!
//! Every step of alternating least squares lowers the objective, so a start near the minimum needs
//! few iterations. The result depends on the start as it depends on the seed: another start gives
//! another model, which is equally good by the objective.

use ndarray::{Array2, ArrayView2, s};

use crate::fit_error::FitError;

/// Rows of an earlier model, and the mapping from the rows of a fit to them.
#[derive(Clone, Copy, Debug)]
pub struct WarmStart<'a> {
    /// Earlier users × factors.
    pub user_factors: ArrayView2<'a, f32>,
    /// Earlier items × factors.
    pub item_factors: ArrayView2<'a, f32>,
    /// Biases of the earlier users; empty unless it is a model of ratings.
    pub user_biases: &'a [f32],
    /// Earlier row of each user of the fit; `None` for a new user.
    pub users: &'a [Option<u32>],
    /// Earlier row of each item of the fit; `None` for a new item.
    pub items: &'a [Option<u32>],
}

impl WarmStart<'_> {
    /// Rejects an earlier model with another number of factors.
    pub(crate) fn check(&self, factors: usize) -> Result<(), FitError> {
        let other = [self.user_factors, self.item_factors].into_iter().map(|rows| rows.ncols()).find(|f| *f != factors);
        other.map_or(Ok(()), |given| Err(FitError::WarmStart { given, expected: factors }))
    }

    /// Copies users into rows, which may be padded.
    pub(crate) fn copy_users(&self, rows: &mut Array2<f32>) {
        copy(rows, self.user_factors, self.users);
    }

    /// Copies items into rows, which may be padded.
    pub(crate) fn copy_items(&self, rows: &mut Array2<f32>) {
        copy(rows, self.item_factors, self.items);
    }

    /// Copies biases of users.
    pub(crate) fn copy_user_biases(&self, biases: &mut [f32]) {
        for (bias, index) in biases.iter_mut().zip(self.users) {
            if let Some(earlier) = index.and_then(|index| self.user_biases.get(index as usize)) {
                *bias = *earlier;
            }
        }
    }
}

fn copy(rows: &mut Array2<f32>, earlier: ArrayView2<'_, f32>, indexes: &[Option<u32>]) {
    for (mut row, index) in rows.rows_mut().into_iter().zip(indexes) {
        if let Some(index) = index.map(|index| index as usize).filter(|index| *index < earlier.nrows()) {
            row.slice_mut(s![..earlier.ncols()]).assign(&earlier.row(index));
        }
    }
}
