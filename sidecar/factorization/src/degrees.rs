//! How much less it counts what busy users do and who chooses popular items: shares of weights, by degrees. See the crate's page.

use std::borrow::Cow;

use ndarray::{Array2, ArrayView2, s};

use crate::{interactions::Interactions, params::ValidAlsParams, popularity::popularity, row_solver::RowSolver};

/// Added to every degree, so that one entry of a rare item does not weigh as much as all of a popular one. ADR 14 has the figures.
pub(crate) const DEGREE_SMOOTHING: f64 = 10.0;

/// What folding in needs to know of the data's degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Degrees<'a> {
    /// How many users chose each item.
    pub item_counts: &'a [u32],
    /// Mean share of the training data's weights, where they have shares.
    pub mean_share: Option<f64>,
}

/// The weights that implicit ALS fits: those given, or with a degree exponent each times its share over the mean of all shares. Then
/// how many users chose each item and that mean come along, for [`Degrees`].
pub(crate) fn shared_weights<'a>(
    interactions: &'a Interactions,
    params: &ValidAlsParams,
) -> (Cow<'a, Interactions>, Option<(Vec<u32>, f64)>) {
    if !params.has_degrees() {
        return (Cow::Borrowed(interactions), None);
    }
    let (item_counts, _) = popularity(interactions);
    let of_items: Vec<f64> = item_counts.iter().map(|count| params.degree_share(*count)).collect();
    let of_users: Vec<f64> =
        (0..interactions.users()).map(|user| params.degree_share(likes(interactions.row(user).1))).collect();
    let mut sum = 0.0;
    for (user, of_user) in of_users.iter().enumerate() {
        let items = interactions.row(user).0.iter();
        sum += of_user * items.map(|item| of_items[*item as usize]).sum::<f64>();
    }
    let mean_share = sum / interactions.nnz() as f64;
    let mut values = Vec::with_capacity(interactions.nnz());
    for (user, of_user) in of_users.iter().enumerate() {
        let (items, weights) = interactions.row(user);
        let row = items.iter().zip(weights);
        values.extend(row.map(|(&item, &weight)| shared(weight, of_user * of_items[item as usize], mean_share)));
    }
    (Cow::Owned(interactions.with_values(values)), Some((item_counts, mean_share)))
}

/// The weights of a row that may be nobody's of the training data, as [`shared_weights`] has them; as they are without degrees. Items
/// are known to be there.
fn shared_row<'a>(
    items: &[u32],
    weights: &'a [f32],
    degrees: Option<Degrees<'_>>,
    params: &ValidAlsParams,
) -> Cow<'a, [f32]> {
    let Some(Degrees { item_counts, mean_share }) = degrees else { return Cow::Borrowed(weights) };
    let mean_share = mean_share.unwrap_or(1.0);
    let of_user = params.degree_share(likes(weights));
    let share = |item: u32| of_user * params.degree_share(item_counts[item as usize]);
    items.iter().zip(weights).map(|(&item, &weight)| shared(weight, share(item), mean_share)).collect()
}

/// The items as they are served (items × factors): each with a part of what its popularity took off its weights given back. Leaves in
/// `items`, which may be padded, what [`take_out`] makes of them again.
pub(crate) fn give_back(items: &mut Array2<f32>, item_counts: &[u32], params: &ValidAlsParams) -> Array2<f32> {
    let mut served = items.slice(s![.., ..params.factors()]).to_owned();
    for ((mut served, mut fitted), count) in served.rows_mut().into_iter().zip(items.rows_mut()).zip(item_counts) {
        let taken = params.degree_taken(*count);
        for (served, fitted) in served.iter_mut().zip(fitted.iter_mut()) {
            *served /= taken;
            *fitted = *served * taken;
        }
    }
    served
}

/// Makes of served items, which may be padded, those that were fitted.
pub(crate) fn take_out(items: &mut Array2<f32>, item_counts: &[u32], params: &ValidAlsParams) {
    for (mut row, count) in items.rows_mut().into_iter().zip(item_counts) {
        row *= params.degree_taken(*count);
    }
}

/// A history as the fit had it.
pub(crate) struct FittedHistory<'a> {
    /// Weights or their shares.
    pub(crate) weights: Cow<'a, [f32]>,
    items: &'a [u32],
    /// The items' rows, one after the other, and which of them each entry has; none where those that are served were fitted.
    rows: Option<(Vec<f32>, Vec<u32>)>,
}

impl<'a> FittedHistory<'a> {
    /// Entries are known to be good.
    pub(crate) fn of(
        (items, values): (&'a [u32], &'a [f32]),
        served: ArrayView2<'_, f32>,
        degrees: Option<Degrees<'_>>,
        params: &ValidAlsParams,
    ) -> Self {
        let gathered = degrees.filter(|_| params.has_return()).map(|Degrees { item_counts, mean_share: _ }| {
            let row = |item: &u32| {
                let item = *item as usize;
                let taken = params.degree_taken(item_counts[item]);
                served.row(item).into_iter().map(move |factor| factor * taken)
            };
            (items.iter().flat_map(row).collect(), (0_u32..).zip(items).map(|(place, _)| place).collect())
        });
        Self { weights: shared_row(items, values, degrees, params), items, rows: gathered }
    }

    /// What solves it, and the rows of that which its entries have.
    pub(crate) fn solver<'b>(&'b self, solver: &'b RowSolver<'b>) -> (RowSolver<'b>, &'b [u32]) {
        match &self.rows {
            Some((rows, places)) => (solver.of_rows(rows), places),
            None => (*solver, self.items),
        }
    }
}

/// How many likes a row has: its degree.
pub(crate) fn likes(weights: &[f32]) -> u32 {
    u32::try_from(weights.iter().filter(|weight| **weight > 0.0).count()).unwrap_or(u32::MAX)
}

fn shared(weight: f32, share: f64, mean_share: f64) -> f32 {
    // A bare 0 is a dislike that weighs 1.
    let weight = if weight == 0.0 { -1.0 } else { f64::from(weight) };
    #[expect(clippy::cast_possible_truncation, reason = "overflow becomes infinite, which no row accepts")]
    {
        (weight * (share / mean_share)) as f32
    }
}
