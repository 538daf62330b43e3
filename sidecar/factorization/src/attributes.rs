//! Factors for items that nobody has met yet, from what is known of them: a linear map from attributes to factors, by ridge
//! regression on the items that have both (as the attribute maps of Gantner et al. 2010, "Learning attribute-to-feature mappings for
//! cold-start recommendations", ICDM).
//!
//! ```text
//!   v ≈ v̄ + xW        W = (XᵀX + λI)⁻¹ Xᵀ (V − 1v̄ᵀ)
//! ```
//!
//! X is sparse (items × attributes), v̄ the mean of the rows of V. Every column of W is found by conjugate gradients, scaled by
//! the diagonal. λ is that of [`REGULARIZATIONS`] that predicts best what is left out of the fit, then everything is fitted.

use ndarray::{Array2, ArrayView2, Axis, concatenate, s};
use rayon::prelude::*;

use crate::{
    interactions::Interactions,
    model::Model,
    objective::squared_norm,
    random::{below, word},
};

/// The λ that are tried: as many items as pull an attribute's weight half way to 0.
pub const REGULARIZATIONS: [f64; 5] = [0.5, 2.0, 8.0, 32.0, 128.0];
/// The λ where items are too few to choose one.
const REGULARIZATION_DEFAULT: f64 = 8.0;
/// One of so many items is left out to choose λ.
const LEFT_OUT: usize = 5;
/// Stream of random numbers that says which.
const LEFT_OUT_STREAM: u64 = 0x6174_7472;
/// By how much a map is stretched at most: where attributes say nothing all its rows are near the mean, which longer would flood lists.
pub const STRETCH_MAX: f64 = 2.0;
/// Most steps of conjugate gradients.
const STEPS_MAX: usize = 500;
/// They end when the rest is this small, relative to where they began.
const TOLERANCE: f64 = 1e-10;

/// From attributes to factors.
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
    /// From the attributes (items × attributes) of the items that are `known`, to their rows of `targets`. Items without
    /// attributes say nothing; `None` if no item has any. `seed` says which are left out to choose λ.
    ///
    /// # Panics
    /// If there are not as many rows of attributes as of targets.
    pub fn fit(
        attributes: &Interactions,
        targets: ArrayView2<'_, f32>,
        known: impl Fn(usize) -> bool,
        seed: u64,
    ) -> Option<Self> {
        assert_eq!(attributes.users(), targets.nrows(), "a row of attributes for each item");
        let with_both = attributes.keep_users(known);
        let left_out = |item: usize| below(word(seed, LEFT_OUT_STREAM, item as u64), LEFT_OUT) == 0;
        let (rest, checked) = (with_both.keep_users(|item| !left_out(item)), with_both.keep_users(left_out));
        let mut best = (f64::INFINITY, REGULARIZATION_DEFAULT);
        if rest.nnz() > 0 && checked.nnz() > 0 {
            for regularization in REGULARIZATIONS {
                let error = Self::fit_with(&rest, targets, regularization)?.error(&checked, targets);
                if error < best.0 {
                    best = (error, regularization);
                }
            }
        }
        Self::fit_with(&with_both, targets, best.1)
    }

    /// The map for this λ, of the items with attributes.
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
        // Rows without attributes are multiplied by nothing.
        let rest = Array2::from_shape_fn(targets.dim(), |(row, k)| f64::from(targets[[row, k]]) - mean[k]);
        let transposed = attributes.transpose();
        let right = multiply(&transposed, &rest);
        let weights = Equations { attributes, transposed: &transposed, regularization }.solve(&right);
        Some(Self { mean, weights, regularization })
    }

    /// v̄ + xW for each row of attributes.
    #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32")]
    pub fn predict(&self, attributes: &Interactions) -> Array2<f32> {
        let product = multiply(attributes, &self.weights);
        Array2::from_shape_fn(product.dim(), |(row, k)| (self.mean[k] + product[[row, k]]) as f32)
    }

    /// Σ ‖v − v̄ − xW‖² over the items with attributes.
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
    /// To the items' factors of a model, and in a last column to their biases if it is one of ratings. As [`Self::fit`]; but where the
    /// order of items is all that counts the map is stretched until its rows are as long as those of known items, on average and by
    /// [`STRETCH_MAX`] at most. Regression shortens what it is unsure of, and so short a row would stand in hardly any list.
    ///
    /// # Panics
    /// If there are not as many rows of attributes as items.
    pub fn of_items(
        model: &Model,
        attributes: &Interactions,
        known: impl Fn(usize) -> bool,
        seed: u64,
    ) -> Option<Self> {
        let factors = model.item_factors.view();
        let Some(ratings) = &model.ratings else {
            let map = Self::fit(attributes, factors, &known, seed)?;
            return Some(map.stretched(attributes, factors, known));
        };
        let biases = ArrayView2::from_shape((ratings.items.len(), 1), &ratings.items).ok()?;
        Self::fit(attributes, concatenate(Axis(1), &[factors, biases]).ok()?.view(), known, seed)
    }

    fn stretched(
        mut self,
        attributes: &Interactions,
        targets: ArrayView2<'_, f32>,
        known: impl Fn(usize) -> bool,
    ) -> Self {
        let predicted = self.predict(attributes);
        let rows = || (0..attributes.users()).filter(|item| known(*item) && has_any(attributes, *item));
        let length = |of: ArrayView2<'_, f32>| rows().map(|item| squared_norm(of.row(item)).sqrt()).sum::<f64>();
        let by = length(targets) / length(predicted.view());
        if by > 1.0 {
            let by = by.min(STRETCH_MAX);
            self.mean.iter_mut().for_each(|x| *x *= by);
            self.weights *= by;
        }
        self
    }
}

impl Model {
    /// Puts what a map says in place of the factors and biases of some items; `attributes` are those of all items.
    pub fn replace_items(&mut self, map: &AttributeMap, attributes: &Interactions, which: impl Fn(usize) -> bool) {
        let (rows, factors) = (map.predict(attributes), self.item_factors.ncols());
        for item in (0..rows.nrows()).filter(|item| which(*item)) {
            self.item_factors.row_mut(item).assign(&rows.slice(s![item, ..factors]));
            if let Some(ratings) = &mut self.ratings {
                ratings.items[item] = rows[[item, factors]];
            }
        }
    }

    /// Appends items that nobody has met, with what a map says of them. The Gram matrix stays: a scorer of this model is to be told of
    /// them by [`crate::Scorer::with_cold_items`].
    ///
    /// # Panics
    /// If the map is not one of [`AttributeMap::of_items`] of this model.
    pub fn append_items(&mut self, map: &AttributeMap, attributes: &Interactions) {
        let (rows, factors) = (map.predict(attributes), self.item_factors.ncols());
        let both = concatenate(Axis(0), &[self.item_factors.view(), rows.slice(s![.., ..factors])]);
        self.item_factors = both.expect("a map of a model has as many columns");
        if let Some(ratings) = &mut self.ratings {
            ratings.items.extend(rows.column(factors));
        }
        if !self.item_counts.is_empty() {
            self.item_counts.resize(self.item_factors.nrows(), 0);
        }
    }
}

/// A·X in f64: rows of A × columns of X. Rows are independent, so threads do not matter.
fn multiply(matrix: &Interactions, x: &Array2<f64>) -> Array2<f64> {
    let width = x.ncols();
    let mut product = Array2::zeros((matrix.users(), width));
    let rows = product.as_slice_mut().expect("just made").par_chunks_mut(width.max(1));
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

/// (XᵀX + λI) W = R, a column of W for each of R.
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
        let mut rest = right.clone();
        let mut z = scaled(&rest);
        let mut direction = z.clone();
        let mut size = column_products(&rest, &z);
        let small_enough: Vec<f64> = size.iter().map(|begin| begin * TOLERANCE * TOLERANCE).collect();
        for _ in 0..STEPS_MAX {
            if size.iter().zip(&small_enough).all(|(size, enough)| size <= enough) {
                break;
            }
            let mut turned = multiply(self.transposed, &multiply(self.attributes, &direction));
            turned.zip_mut_with(&direction, |t, d| *t += self.regularization * d);
            let curvature = column_products(&direction, &turned);
            let step = |k: usize| if curvature[k] > 0.0 { size[k] / curvature[k] } else { 0.0 };
            let steps: Vec<f64> = (0..columns).map(step).collect();
            add_columns(&mut solution, &direction, |k| steps[k]);
            add_columns(&mut rest, &turned, |k| -steps[k]);
            z = scaled(&rest);
            let next = column_products(&rest, &z);
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

/// Σ xy of each column, down the rows in order.
fn column_products(x: &Array2<f64>, y: &Array2<f64>) -> Vec<f64> {
    let mut sums = vec![0.0; x.ncols()];
    for (x, y) in x.rows().into_iter().zip(y.rows()) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += x * y;
        }
    }
    sums
}

fn add_columns(to: &mut Array2<f64>, what: &Array2<f64>, by: impl Fn(usize) -> f64) {
    for (mut to, what) in to.rows_mut().into_iter().zip(what.rows()) {
        for (k, (to, what)) in to.iter_mut().zip(what).enumerate() {
            *to += by(k) * what;
        }
    }
}
