//! What the factors of a model represent of P already: K of the crate docs.

use ndarray::{Array2, ArrayView2};

use super::{History, TwoHop, walk::like};
use crate::{
    blocks::{Step, multiply, times},
    gram::gram,
    interactions::Interactions,
    lanes::dots,
    normalization::normalized,
    params::smoothed_degree_power,
    subspace::{cholesky_orthonormalization, transpose},
    symmetric_eigen::SymmetricEigen,
    two_hop_params::TwoHopParams,
};

/// Eigenvalues of P in the span of the factors, before the division by λ₁.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spectrum {
    /// λ₁.
    pub(crate) first: f64,
    /// λ_r: the last one above 0.
    pub(crate) last: f64,
}

impl Spectrum {
    /// Of eigenvalues in any order.
    pub(crate) fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let first = values.clone().fold(0.0, f64::max);
        Self { first, last: values.filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min) }
    }
}

/// K of factors that are not those of a decomposition, for which it is the identity, and the
/// spectrum.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Span {
    pub(crate) matrix: Array2<f64>,
    pub(crate) spectrum: Spectrum,
}

impl Span {
    /// Of served item factors G: with B = D⁻ᵑG, S = BᵀB and T = (R̃B)ᵀ(R̃B), K is S⁻¹TS⁻¹, and the
    /// spectrum that of S^−½TS^−½. `None` if it is not finite.
    pub(crate) fn new(
        data: &Interactions,
        counts: &[u32],
        factors: ArrayView2<'_, f32>,
        params: &TwoHopParams,
    ) -> Option<Self> {
        let matrix = normalized(data, counts, (params.user_exponent, params.item_exponent));
        let mut scaled = factors.as_standard_layout().into_owned();
        for (mut row, count) in scaled.rows_mut().into_iter().zip(counts) {
            let power = smoothed_degree_power(*count, -params.item_exponent);
            #[expect(clippy::cast_possible_truncation, reason = "not larger than the factor")]
            row.mapv_inplace(|factor| (f64::from(factor) * power) as f32);
        }
        let mut image = Array2::zeros((data.users(), factors.ncols()));
        multiply(&matrix, 1.0, &scaled, Step::Product, &mut image);
        let basis = cholesky_orthonormalization(gram(scaled.view()));
        let projected = times(&times(&basis, &gram(image.view())), &transpose(&basis));
        let spectrum = Spectrum::of(SymmetricEigen::decompose(&projected)?.values.iter().copied());
        let matrix = times(&times(&transpose(&basis), &projected), &basis);
        // Symmetric to the last bit, as products of it assume.
        let matrix = Array2::from_shape_fn(matrix.dim(), |(i, j)| matrix[[i.min(j), i.max(j)]]);
        matrix.iter().all(|entry| entry.is_finite()).then_some(Self { matrix, spectrum })
    }
}

impl TwoHop<'_> {
    /// Kx.
    fn times_k(&self, x: Vec<f64>) -> Vec<f64> {
        let Some(matrix) = self.span else { return x };
        let mut product = vec![0.0; x.len()];
        // The matrix is symmetric: its rows are its columns.
        for (x, row) in x.iter().zip(matrix.to_slice().unwrap_or_default().chunks_exact(x.len().max(1))) {
            product.iter_mut().zip(row).for_each(|(sum, entry)| *sum += x * entry);
        }
        product
    }

    /// What the factors represent of the term of a history: a vector whose products with item
    /// factors are subtracted from scores.
    pub(super) fn represented(&self, history: &History, factors: ArrayView2<'_, f32>) -> Vec<f64> {
        let mut sums = vec![0.0; factors.ncols()];
        let (rows, width) = (factors.to_slice().unwrap_or_default(), factors.ncols());
        for (&item, &value) in history.items.iter().zip(&history.weights) {
            let weight = like(value) * self.scales.power(item);
            let row = &rows[item as usize * width..][..width];
            sums.iter_mut().zip(row).for_each(|(sum, factor)| *sum += weight * f64::from(*factor));
        }
        let mut represented = self.times_k(sums);
        for x in &mut represented {
            *x *= self.scales.weight();
        }
        represented
    }

    /// The part of each entry of the history in the products of [`Self::represented`] with the
    /// factors of an item.
    pub(super) fn represented_parts(
        &self,
        history: &History,
        factors: ArrayView2<'_, f32>,
        target: u32,
    ) -> impl Iterator<Item = f64> {
        let target = self.times_k(factors.row(target as usize).iter().map(|factor| f64::from(*factor)).collect());
        history.items.iter().zip(&history.weights).map(move |(&item, &value)| {
            let row = factors.row(item as usize);
            let product: f64 = row.iter().zip(&target).map(|(factor, x)| f64::from(*factor) * x).sum();
            product * like(value) * self.scales.power(item) * self.scales.weight()
        })
    }

    /// Gives back to items without users what the query lacks: P has nothing of them, so the
    /// factors represent nothing of it.
    pub(super) fn restore(&self, represented: &[f64], factors: ArrayView2<'_, f32>, addends: &mut [f32]) {
        if self.scales.without_users().is_empty() {
            return;
        }
        #[expect(clippy::cast_possible_truncation, reason = "added to scores in single precision")]
        let query: Vec<f32> = represented.iter().map(|x| *x as f32).collect();
        let rows = factors.to_slice().unwrap_or_default();
        for &item in self.scales.without_users() {
            let row = &rows[item as usize * query.len()..][..query.len()];
            let mut product = [0.0];
            dots(&query, row, &mut product);
            addends[item as usize] = product[0];
        }
    }
}
