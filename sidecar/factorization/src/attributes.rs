//! Factors of cold-start items from their attributes: a linear map from attributes to factors,
//! fitted by ridge regression on items that have both (as the attribute maps of Gantner et al.
//! 2010, "Learning attribute-to-feature mappings for cold-start recommendations", ICDM).
//!
//! ```text
//!   v ≈ v̄ + xW        W = (XᵀX + λI)⁻¹ Xᵀ (V − 1v̄ᵀ)
//! ```
//!
//! X is sparse (items × attributes), v̄ the mean of the rows of V. Every column of W is solved by
//! conjugate gradients with diagonal preconditioning. λ is the one of [`REGULARIZATIONS`] with the
//! lowest error on left-out items; the final map is then fitted to all items.

use ndarray::{Array2, ArrayView2, Axis, concatenate, s};
use rayon::prelude::*;

use crate::{
    interactions::Interactions,
    model::Model,
    objective::squared_norm,
    random::{below, word},
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
    }
}

/// A·X in f64: rows of A × columns of X. Rows are independent, so the result does not depend on
/// threads.
fn multiply(matrix: &Interactions, x: &Array2<f64>) -> Array2<f64> {
    let width = x.ncols();
    let mut product = Array2::zeros((matrix.users(), width));
    let rows = product.as_slice_mut().expect("a new matrix is in standard layout").par_chunks_mut(width.max(1));
    rows.enumerate().for_each(|(row, sums)| {
        let (columns, values) = matrix.row(row);
        for (&column, &value) in columns.iter().zip(values) {
            for (sum, x) in sums.iter_mut().zip(x.row(column as usize)) {
                *sum = f64::from(value).mul_add(*x, *sum);
            }
        }
    });
    product
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
        for _ in 0..STEPS_MAX {
            if size.iter().zip(&tolerances).all(|(size, tolerance)| size <= tolerance) {
                break;
            }
            let mut product = multiply(self.transposed, &multiply(self.attributes, &direction));
            product.zip_mut_with(&direction, |t, d| *t += self.regularization * d);
            let curvature = column_products(&direction, &product);
            let step = |k: usize| if curvature[k] > 0.0 { size[k] / curvature[k] } else { 0.0 };
            let steps: Vec<f64> = (0..columns).map(step).collect();
            add_columns(&mut solution, &direction, |k| steps[k]);
            add_columns(&mut residual, &product, |k| -steps[k]);
            z = scaled(&residual);
            let next = column_products(&residual, &z);
            for ((_, k), d) in direction.indexed_iter_mut() {
                *d *= if size[k] > 0.0 { next[k] / size[k] } else { 0.0 };
            }
            direction += &z;
            size = next;
        }
        solution
    }

    fn diagonal(&self, feature: usize) -> f64 {
        let (_, values) = self.transposed.row(feature);
        values.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>() + self.regularization
    }
}

/// Σ xy of each column, added in row order.
fn column_products(x: &Array2<f64>, y: &Array2<f64>) -> Vec<f64> {
    let mut sums = vec![0.0; x.ncols()];
    for (x, y) in x.rows().into_iter().zip(y.rows()) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += x * y;
        }
    }
    sums
}

fn add_columns(to: &mut Array2<f64>, from: &Array2<f64>, factor: impl Fn(usize) -> f64) {
    for (mut to, from) in to.rows_mut().into_iter().zip(from.rows()) {
        for (k, (to, from)) in to.iter_mut().zip(from).enumerate() {
            *to += factor(k) * from;
        }
    }
}
