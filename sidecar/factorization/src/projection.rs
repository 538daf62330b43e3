//! One user's row in a singular value decomposition: the history projected onto the item factors.
//! It is the last step of training, and the fold-in of new users.

use ndarray::ArrayView2;

use crate::{
    biases::solve_bias,
    fold_in::{FoldIn, Ratings, UserVector},
    influence::{Influence, Inverse},
    normalization::weight,
    params::ValidSvdParams,
    row_solver::{SolveError, check_counts},
    simd::{self, Kernel},
};

/// Projects onto item factors VΣ, whose columns are orthogonal: u = Σ⁻²(VΣ)ᵀ a, where Σ² is the
/// diagonal of the Gram matrix. The crate docs explain the effect of degrees.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Projection<'a> {
    /// items × factors, in row-major order.
    fixed: &'a [f32],
    /// factors × factors.
    gram: &'a [f64],
    factors: usize,
    /// Number of users who chose each item; empty for ratings.
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
                Ok(Self { fixed, gram: gram_slice, factors, counts, params: *params })
            }
            _ => Err(SolveError::Shape { rows: items, columns, gram: gram.dim(), factors }),
        }
    }

    /// Projected values of weights: D⁻²ᵑ c. Items must be in range.
    pub(crate) fn weights(&self, items: &[u32], values: &[f32]) -> Vec<f32> {
        let weighted = items.iter().zip(values).map(|(&item, &value)| {
            let count = self.counts.get(item as usize).copied().unwrap_or_default();
            #[expect(clippy::cast_possible_truncation, reason = "not larger than the weight")]
            {
                (f64::from(weight(value)) * self.params.degree_power(count, -2.0)) as f32
            }
        });
        weighted.collect()
    }

    /// Diagonal of Σ⁻², with 0 for a singular value of 0.
    fn inverse(&self) -> Vec<f64> {
        let squares = self.gram.iter().step_by(self.factors + 1);
        squares.map(|square| if *square > 0.0 { 1.0 / square } else { 0.0 }).collect()
    }

    /// Entries must be valid.
    pub(crate) fn project_into(&self, items: &[u32], values: &[f32], row: &mut [f32]) -> Result<(), SolveError> {
        simd::run(Project { projection: self, items, values, row })
    }
}

/// Fold-in into a singular value decomposition, of weights or of ratings.
#[derive(Debug)]
pub(crate) struct ProjectionFoldIn<'a> {
    pub(crate) projection: Projection<'a>,
    pub(crate) ratings: Option<Ratings<'a>>,
}

impl FoldIn for ProjectionFoldIn<'_> {
    fn fold_in(&self, items: &[u32], values: &[f32]) -> Result<UserVector, SolveError> {
        let mut vector = UserVector::new(vec![0.0; self.projection.factors], 0.0);
        let row: Vec<f32> = match self.ratings {
            None => self.projection.weights(items, values),
            Some(Ratings { scale, users: _, items: biases }) => {
                vector.bias = solve_bias(&scale, biases, items, values);
                let rated = items.iter().zip(values);
                rated.map(|(&item, &r)| residual(r, scale.mean, vector.bias, biases[item as usize])).collect()
            }
        };
        self.projection.project_into(items, &row, &mut vector.factors)?;
        Ok(vector)
    }

    fn influence(&self, items: &[u32], values: &[f32]) -> Result<Option<Influence>, SolveError> {
        let linear_weights = match self.ratings {
            None => self.projection.weights(items, values).into_iter().map(f64::from).collect(),
            Some(ratings) => ratings.residuals(items, values),
        };
        let inverse = Inverse::Diagonal { diagonal: self.projection.inverse(), bias: self.ratings.is_some() };
        Ok(Some(Influence { linear_weights, inverse }))
    }
}

/// Residual of a rating after the bias baseline.
pub(crate) fn residual(rating: f32, mean: f32, user: f32, item: f32) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "overflow becomes infinite, which is rejected")]
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
