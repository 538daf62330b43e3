//! Factors of cold-start items from their attributes: a linear map from attributes to factors,
//! fitted by ridge regression on items that have both (as the attribute maps of Gantner et al.
//! 2010, "Learning attribute-to-feature mappings for cold-start recommendations", ICDM).
//!
//! ```text
//!   v ≈ v̄ + xW        W = (XᵀX + λI)⁻¹ Xᵀ (V − 1v̄ᵀ)
//! ```
//!
//! X is sparse (items × attributes), v̄ the mean of the rows of V. Every column of W is solved by
//! conjugate gradients with diagonal preconditioning, in vector instructions (`simd`). λ is the one
//! of [`REGULARIZATIONS`] with the lowest error on left-out items; the final map is then fitted to
//! all items.

use ndarray::{Array2, ArrayView2, Axis, concatenate, s};
use rayon::prelude::*;

use crate::{
    interactions::Interactions,
    memory::{AttributeSize, total},
    model::Model,
    objective::squared_norm,
    random::{below, word},
    simd::{self, Kernel},
};

/// Candidates for λ: the number of items that shrink an attribute's weight halfway to 0.
pub const REGULARIZATIONS: [f64; 5] = [0.5, 2.0, 8.0, 32.0, 128.0];
/// λ if there are too few items to select one.
const REGULARIZATION_DEFAULT: f64 = 8.0;
/// One in this many items is left out to select λ.
const LEFT_OUT_ONE_IN: usize = 5;
/// Random stream that selects the left-out items.
const LEFT_OUT_STREAM: u64 = 0x6174_7472;
/// Maximum factor by which a map is rescaled. If attributes are uninformative, all its rows are
/// near the mean, and larger rows would flood lists.
pub const NORM_SCALE_MAX: f64 = 2.0;
/// Maximum number of conjugate gradient steps.
const STEPS_MAX: usize = 500;
/// Relative residual at which conjugate gradients stop.
const TOLERANCE: f64 = 1e-10;

/// Rows of a product that one task computes.
const TASK_ROWS: usize = 64;
/// Matrices of attributes × factors that are in memory at once: the right side, the solution, the
/// residual, its preconditioned form, the direction, the product, and a copy.
const ATTRIBUTE_MATRICES: u64 = 7;

/// Linear map from attributes to factors.
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeMap {
    /// v̄.
    pub mean: Vec<f64>,
    /// W: attributes × factors.
    pub weights: Array2<f64>,
    /// λ.
    pub regularization: f64,
}

impl AttributeMap {
    /// Fits a map from the attributes (items × attributes) of the items that are `known` to their
    /// rows of `targets`. Items without attributes are ignored; `None` if no item has any. `seed`
    /// selects the items that are left out to select λ.
    ///
    /// # Panics
    /// If attributes and targets have different numbers of rows.
    pub fn fit(
        attributes: &Interactions,
        targets: ArrayView2<'_, f32>,
        known: impl Fn(usize) -> bool,
        seed: u64,
    ) -> Option<Self> {
        assert_eq!(attributes.users(), targets.nrows(), "one row of attributes per item");
        let with_both = attributes.keep_users(known);
        let left_out = |item: usize| below(word(seed, LEFT_OUT_STREAM, item as u64), LEFT_OUT_ONE_IN) == 0;
        let (training, validation) = (with_both.keep_users(|item| !left_out(item)), with_both.keep_users(left_out));
        let mut best = (f64::INFINITY, REGULARIZATION_DEFAULT);
        if training.nnz() > 0 && validation.nnz() > 0 {
            for regularization in REGULARIZATIONS {
                let error = Self::fit_with(&training, targets, regularization)?.error(&validation, targets);
                if error < best.0 {
                    best = (error, regularization);
                }
            }
        }
        Self::fit_with(&with_both, targets, best.1)
    }

    /// Fits a map with this λ to the items that have attributes.
    pub fn fit_with(attributes: &Interactions, targets: ArrayView2<'_, f32>, regularization: f64) -> Option<Self> {
        let rows: Vec<usize> = (0..attributes.users()).filter(|item| has_any(attributes, *item)).collect();
        if rows.is_empty() {
            return None;
        }
        let mut mean = vec![0.0; targets.ncols()];
        for &row in &rows {
            for (sum, v) in mean.iter_mut().zip(targets.row(row)) {
                *sum += f64::from(*v);
            }
        }
        for sum in &mut mean {
            *sum /= rows.len() as f64;
        }
        // Rows without attributes have no entries in X, so their residuals do not matter.
        let centered = Array2::from_shape_fn(targets.dim(), |(row, k)| f64::from(targets[[row, k]]) - mean[k]);
        let transposed = attributes.transpose();
        let right = multiply(&transposed, &centered);
        let weights = Equations { attributes, transposed: &transposed, regularization }.solve(&right);
        Some(Self { mean, weights, regularization })
    }

    /// Forecast of the memory of [`Self::of_items`] and [`Model::append_items`] in bytes, besides
    /// the attributes and the model. `columns` is the number of factors, plus 1 for biases.
    pub fn memory_forecast_bytes(size: &AttributeSize, columns: usize) -> u64 {
        let AttributeSize { items, cold_items, values, entries } = *size;
        let matrix = |rows: u64, bytes: u64| rows.saturating_mul(columns as u64).saturating_mul(bytes);
        let rows = items.saturating_add(cold_items);
        total([
            // Targets and predictions in f32; centered targets and a product in f64.
            matrix(rows, 2 * 4 + 2 * 8),
            matrix(values, ATTRIBUTE_MATRICES * 8),
            // Those of known items, a part to fit and a part to validate, and a transpose: column
            // and value of each entry, and the start of each row.
            entries.saturating_mul(3 * 8),
            items.saturating_mul(3 * 8).saturating_add(values.saturating_mul(8)),
        ])
    }

    /// v̄ + xW for each row of attributes.
    #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32")]
    pub fn predict(&self, attributes: &Interactions) -> Array2<f32> {
        let product = multiply(attributes, &self.weights);
        Array2::from_shape_fn(product.dim(), |(row, k)| (self.mean[k] + product[[row, k]]) as f32)
    }

    /// Σ ‖v − v̄ − xW‖² over items with attributes.
    fn error(&self, attributes: &Interactions, targets: ArrayView2<'_, f32>) -> f64 {
        let predicted = self.predict(attributes);
        let rows = (0..attributes.users()).filter(|item| has_any(attributes, *item));
        let of_row = |row: usize| -> f64 {
            let pairs = predicted.row(row).into_iter().zip(targets.row(row));
            pairs.map(|(x, y)| f64::from(*x) - f64::from(*y)).map(|d| d * d).sum()
        };
        rows.map(of_row).sum()
    }
}

impl AttributeMap {
    /// Fits a map to the item factors of a model, and in a last column to their biases if it is a
    /// model of ratings. As [`Self::fit`], but for models that only rank the map is rescaled until
    /// its rows are as long on average as those of known items, at most by [`NORM_SCALE_MAX`].
    /// Regression shrinks uncertain rows, and rows that short would hardly ever be listed.
    ///
    /// # Panics
    /// If attributes and items have different numbers of rows.
    pub fn of_items(
        model: &Model,
        attributes: &Interactions,
        known: impl Fn(usize) -> bool,
        seed: u64,
    ) -> Option<Self> {
        let factors = model.item_factors.view();
        let Some(ratings) = &model.ratings else {
            let map = Self::fit(attributes, factors, &known, seed)?;
            return Some(map.rescaled_to_mean_norm(attributes, factors, known));
        };
        let biases = ArrayView2::from_shape((ratings.items.len(), 1), &ratings.items).ok()?;
        Self::fit(attributes, concatenate(Axis(1), &[factors, biases]).ok()?.view(), known, seed)
    }

    fn rescaled_to_mean_norm(
        mut self,
        attributes: &Interactions,
        targets: ArrayView2<'_, f32>,
        known: impl Fn(usize) -> bool,
    ) -> Self {
        let predicted = self.predict(attributes);
        let rows = || (0..attributes.users()).filter(|item| known(*item) && has_any(attributes, *item));
        let norms = |of: ArrayView2<'_, f32>| rows().map(|item| squared_norm(of.row(item)).sqrt()).sum::<f64>();
        let scale = norms(targets) / norms(predicted.view());
        if scale > 1.0 {
            let scale = scale.min(NORM_SCALE_MAX);
            self.mean.iter_mut().for_each(|x| *x *= scale);
            self.weights *= scale;
        }
        self
    }
}

impl Model {
    /// Replaces the factors and biases of some items by the predictions of a map; `attributes` are
    /// those of all items.
    pub fn replace_items(&mut self, map: &AttributeMap, attributes: &Interactions, which: impl Fn(usize) -> bool) {
        let (rows, factors) = (map.predict(attributes), self.item_factors.ncols());
        for item in (0..rows.nrows()).filter(|item| which(*item)) {
            self.item_factors.row_mut(item).assign(&rows.slice(s![item, ..factors]));
            if let Some(ratings) = &mut self.ratings {
                ratings.items[item] = rows[[item, factors]];
            }
        }
    }

    /// Appends cold-start items with the factors and biases that a map predicts. The Gram matrix
    /// stays: a scorer of this model must be given their number, see
    /// [`crate::Scorer::with_cold_items`].
    ///
    /// # Panics
    /// If the map was not fitted by [`AttributeMap::of_items`] to this model.
    pub fn append_items(&mut self, map: &AttributeMap, attributes: &Interactions) {
        let (rows, factors) = (map.predict(attributes), self.item_factors.ncols());
        let both = concatenate(Axis(0), &[self.item_factors.view(), rows.slice(s![.., ..factors])]);
        self.item_factors = both.expect("the map and the model have the same number of columns");
        if let Some(ratings) = &mut self.ratings {
            ratings.items.extend(rows.column(factors));
        }
        if !self.item_counts.is_empty() {
            self.item_counts.resize(self.item_factors.nrows(), 0);
        }
        if let Some(two_hop) = &mut self.two_hop {
            two_hop.append_items(attributes.users());
        }
    }
}

/// A·X in f64: rows of A × columns of X. Rows are independent, so the result does not depend on
/// threads.
fn multiply(matrix: &Interactions, x: &Array2<f64>) -> Array2<f64> {
    let mut product = Array2::zeros((matrix.users(), x.ncols()));
    multiply_into(matrix, x, &mut product);
    product
}

/// As [`multiply`], into a matrix of this shape.
fn multiply_into(matrix: &Interactions, x: &Array2<f64>, product: &mut Array2<f64>) {
    let width = x.ncols();
    let tasks = slice_mut(product).par_chunks_mut((TASK_ROWS * width).max(1)).enumerate();
    tasks.for_each(|(task, rows)| {
        simd::run(Product { matrix, first_row: task * TASK_ROWS, x: slice(x), width, rows });
    });
}

/// Some rows of A·X.
struct Product<'a> {
    matrix: &'a Interactions,
    first_row: usize,
    x: &'a [f64],
    width: usize,
    rows: &'a mut [f64],
}

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { matrix, first_row, x, width, rows } = self;
        for (row, sums) in (first_row..).zip(rows.chunks_exact_mut(width)) {
            sums.fill(0.0);
            let (columns, values) = matrix.row(row);
            for (&column, &value) in columns.iter().zip(values) {
                let x = &x[column as usize * width..][..width];
                add_multiple(sums, f64::from(value), x);
            }
        }
    }
}

/// to + by·x, of equal lengths.
#[inline(always)]
fn add_multiple(to: &mut [f64], by: f64, x: &[f64]) {
    let x = &x[..to.len()];
    // A loop over indexes instead of an iterator: iterators are not always compiled for the vector
    // instruction sets.
    for k in 0..to.len() {
        to[k] = by.mul_add(x[k], to[k]);
    }
}

/// The elements of a matrix that this module made.
fn slice(matrix: &Array2<f64>) -> &[f64] {
    matrix.as_slice().expect("a new matrix is in standard layout")
}

fn slice_mut(matrix: &mut Array2<f64>) -> &mut [f64] {
    matrix.as_slice_mut().expect("a new matrix is in standard layout")
}

fn has_any(attributes: &Interactions, item: usize) -> bool {
    !attributes.row(item).0.is_empty()
}

/// (XᵀX + λI) W = R, with one column of W per column of R.
struct Equations<'a> {
    attributes: &'a Interactions,
    transposed: &'a Interactions,
    regularization: f64,
}

impl Equations<'_> {
    fn solve(&self, right: &Array2<f64>) -> Array2<f64> {
        let columns = right.ncols();
        let scales: Vec<f64> = (0..right.nrows()).map(|feature| 1.0 / self.diagonal(feature)).collect();
        let scaled = |r: &Array2<f64>| Array2::from_shape_fn(r.dim(), |(i, k)| r[[i, k]] * scales[i]);
        let mut solution = Array2::<f64>::zeros(right.dim());
        let mut residual = right.clone();
        let mut z = scaled(&residual);
        let mut direction = z.clone();
        let mut size = column_products(&residual, &z);
        let tolerances: Vec<f64> = size.iter().map(|initial| initial * TOLERANCE * TOLERANCE).collect();
        let mut image = Array2::<f64>::zeros((self.attributes.users(), columns));
        let mut product = Array2::<f64>::zeros(right.dim());
        for _ in 0..STEPS_MAX {
            if size.iter().zip(&tolerances).all(|(size, tolerance)| size <= tolerance) {
                break;
            }
            multiply_into(self.attributes, &direction, &mut image);
            multiply_into(self.transposed, &image, &mut product);
            simd::run(AddMultiple { to: slice_mut(&mut product), by: self.regularization, x: slice(&direction) });
            let curvature = column_products(&direction, &product);
            let step = |k: usize| if curvature[k] > 0.0 { size[k] / curvature[k] } else { 0.0 };
            let steps: Vec<f64> = (0..columns).map(step).collect();
            simd::run(Step {
                solution: slice_mut(&mut solution),
                residual: slice_mut(&mut residual),
                z: slice_mut(&mut z),
                direction: slice(&direction),
                product: slice(&product),
                steps: &steps,
                scales: &scales,
            });
            let next = column_products(&residual, &z);
            let factor = |k: usize| if size[k] > 0.0 { next[k] / size[k] } else { 0.0 };
            let factors: Vec<f64> = (0..columns).map(factor).collect();
            simd::run(NextDirection { direction: slice_mut(&mut direction), z: slice(&z), factors: &factors });
            size = next;
        }
        solution
    }

    fn diagonal(&self, feature: usize) -> f64 {
        let (_, values) = self.transposed.row(feature);
        values.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>() + self.regularization
    }
}

/// to + by·x.
struct AddMultiple<'a> {
    to: &'a mut [f64],
    by: f64,
    x: &'a [f64],
}

impl Kernel for AddMultiple<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        add_multiple(self.to, self.by, self.x);
    }
}

/// A step along the direction: the solution, the residual, and the residual times the scale of its
/// row.
struct Step<'a> {
    solution: &'a mut [f64],
    residual: &'a mut [f64],
    z: &'a mut [f64],
    direction: &'a [f64],
    product: &'a [f64],
    /// For each column.
    steps: &'a [f64],
    /// For each row.
    scales: &'a [f64],
}

impl Kernel for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { solution, residual, z, direction, product, steps, scales } = self;
        let width = steps.len();
        for (row, &scale) in scales.iter().enumerate() {
            let range = row * width..(row + 1) * width;
            let (solution, residual) = (&mut solution[range.clone()], &mut residual[range.clone()]);
            let (z, direction, product) = (&mut z[range.clone()], &direction[range.clone()], &product[range]);
            for k in 0..width {
                solution[k] = steps[k].mul_add(direction[k], solution[k]);
                residual[k] = (-steps[k]).mul_add(product[k], residual[k]);
                z[k] = residual[k] * scale;
            }
        }
    }
}

/// The next direction.
struct NextDirection<'a> {
    direction: &'a mut [f64],
    z: &'a [f64],
    /// For each column.
    factors: &'a [f64],
}

impl Kernel for NextDirection<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { direction, z, factors } = self;
        for (direction, z) in direction.chunks_exact_mut(factors.len()).zip(z.chunks_exact(factors.len())) {
            for k in 0..factors.len() {
                direction[k] = factors[k].mul_add(direction[k], z[k]);
            }
        }
    }
}

/// Σ xy of each column, added in row order.
fn column_products(x: &Array2<f64>, y: &Array2<f64>) -> Vec<f64> {
    simd::run(ColumnProducts { x: slice(x), y: slice(y), width: x.ncols() })
}

struct ColumnProducts<'a> {
    x: &'a [f64],
    y: &'a [f64],
    width: usize,
}

impl Kernel for ColumnProducts<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run(self) -> Vec<f64> {
        let Self { x, y, width } = self;
        let mut sums = vec![0.0; width];
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact(width)) {
            for k in 0..width {
                sums[k] = x[k].mul_add(y[k], sums[k]);
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forecast_grows_with_each_dimension_and_does_not_overflow() {
        let size = AttributeSize { items: 100, cold_items: 10, values: 20, entries: 300 };
        // 110 × 8 × 24, 20 × 8 × 56, 300 × 24, 100 × 24 and 20 × 8.
        assert_eq!(AttributeMap::memory_forecast_bytes(&size, 8), 21_120 + 8960 + 7200 + 2400 + 160);
        let huge = AttributeSize { items: u64::MAX, cold_items: 1, values: u64::MAX, entries: u64::MAX };
        assert_eq!(AttributeMap::memory_forecast_bytes(&huge, 8), u64::MAX);
    }
}
