//! One user's row in a singular value decomposition: what they chose, projected onto the items' factors. Training's last
//! step, and the fold-in of users that come later.

use ndarray::ArrayView2;

use crate::{
    params::ValidSvdParams,
    row_solver::{SolveError, check_counts},
    simd::{self, Kernel},
};

/// Projects onto item factors VΣ, whose columns are orthogonal: u = Σ⁻²(VΣ)ᵀ a, with Σ² on the Gram matrix' diagonal. See the
/// crate's page for what degrees do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Projection<'a> {
    /// items × factors, one row after the other.
    fixed: &'a [f32],
    items: usize,
    /// factors × factors.
    gram: &'a [f64],
    factors: usize,
    /// How many users chose each item; of weights only.
    counts: &'a [u32],
    params: ValidSvdParams,
}

impl<'a> Projection<'a> {
    pub(crate) fn new(
        fixed: ArrayView2<'a, f32>,
        gram: ArrayView2<'a, f64>,
        counts: Option<&'a [u32]>,
        params: &ValidSvdParams,
    ) -> Result<Self, SolveError> {
        let factors = params.factors();
        let (items, columns) = fixed.dim();
        if let Some(counts) = counts {
            check_counts(counts, items)?;
        }
        let counts = counts.unwrap_or_default();
        match (fixed.to_slice(), gram.to_slice()) {
            (Some(fixed), Some(gram_slice)) if columns == factors && gram.dim() == (factors, factors) => {
                Ok(Self { fixed, items, gram: gram_slice, factors, counts, params: *params })
            }
            _ => Err(SolveError::Shape { rows: items, columns, gram: gram.dim(), factors }),
        }
    }

    pub(crate) fn items(&self) -> usize {
        self.items
    }

    pub(crate) fn factors(&self) -> usize {
        self.factors
    }

    /// What is projected for weights: D⁻²ᵑ c. Items are known to be there.
    pub(crate) fn weights(&self, items: &[u32], values: &[f32]) -> Vec<f32> {
        let weighted = items.iter().zip(values).map(|(&item, &value)| {
            let count = self.counts.get(item as usize).copied().unwrap_or_default();
            #[expect(clippy::cast_possible_truncation, reason = "no greater than the weight")]
            {
                (f64::from(weight(value)) * self.params.degree_power(count, -2.0)) as f32
            }
        });
        weighted.collect()
    }

    /// Σ⁻², with 0 for a value of 0.
    pub(crate) fn inverse(&self) -> Vec<f64> {
        let squares = self.gram.iter().step_by(self.factors + 1);
        squares.map(|square| if *square > 0.0 { 1.0 / square } else { 0.0 }).collect()
    }

    /// Entries are known to be good.
    pub(crate) fn project_into(&self, items: &[u32], values: &[f32], row: &mut [f32]) -> Result<(), SolveError> {
        simd::run(Project { projection: self, items, values, row })
    }
}

/// What the matrix holds for a weight: a dislike is no like.
pub(crate) fn weight(value: f32) -> f32 {
    value.max(0.0)
}

/// What averages leave of a rating.
pub(crate) fn remainder(rating: f32, mean: f32, user: f32, item: f32) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "overflow becomes infinite, which is refused")]
    {
        (f64::from(rating) - f64::from(mean) - f64::from(user) - f64::from(item)) as f32
    }
}

struct Project<'a> {
    projection: &'a Projection<'a>,
    items: &'a [u32],
    values: &'a [f32],
    row: &'a mut [f32],
}

impl Kernel for Project<'_> {
    type Output = Result<(), SolveError>;

    #[inline(always)]
    fn run(self) -> Self::Output {
        let Self { projection: &Projection { fixed, gram, factors: f, .. }, items, values, row } = self;
        let mut sums = vec![0.0_f64; f];
        for (&item, &value) in items.iter().zip(values) {
            let factors = &fixed[item as usize * f..(item as usize + 1) * f];
            for (sum, &v) in sums.iter_mut().zip(factors) {
                *sum = f64::from(value).mul_add(f64::from(v), *sum);
            }
        }
        for (k, (to, sum)) in row.iter_mut().zip(sums).enumerate() {
            let square = gram[k * f + k];
            #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32; overflow is checked")]
            {
                *to = if square > 0.0 { (sum / square) as f32 } else { 0.0 };
            }
        }
        if row.iter().all(|factor| factor.is_finite()) { Ok(()) } else { Err(SolveError::NotFinite) }
    }
}
