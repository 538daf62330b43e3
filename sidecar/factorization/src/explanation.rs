//! Attributes a score to the items of the history, for every algorithm whose user vector is linear
//! in the history (Hu, Koren and Volinsky 2008, section 5).
//!
//! With M the inverse of the row's matrix (see the crate docs; Σ⁻² for SVD), the score of an item v
//! is a sum over the history:
//!
//! ```text
//!   ⟨u, v⟩ = (M Σ bⱼ vⱼ)ᵀ v = Σ bⱼ · vⱼᵀ M v
//! ```
//!
//! where bⱼ is the linear weight of an entry (for SVD with degrees, the projected weight). In a
//! model of ratings v is (v, 1), so that the sum includes the user's bias; bⱼ is the rating minus
//! the mean and the item's bias, and the unclipped prediction is μ + c + the sum. In SVD the user's
//! bias is the shrunk mean of the bⱼ and is subtracted from them before the projection: with gⱼ =
//! vⱼᵀ M v, n ratings and shrinkage β the contribution of an entry is bⱼ (gⱼ + (1 − Σg) / (n + β)).
//! The two-hop term is a sum over the history by itself; its part of an entry is added to that of
//! the product.

use crate::{
    row_solver::{SolveError, check_entries},
    scorer::Scorer,
    two_hop::History,
};

/// A score as a sum. In a model of ratings it is the prediction before clipping to the scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Part that does not depend on the history: the mean rating plus the item's bias; 0 for models
    /// that only rank.
    pub baseline: f64,
    /// Contribution of each entry of the history, in order. A negative one lowers the score.
    pub contributions: Vec<f64>,
}

impl Explanation {
    /// The score.
    pub fn sum(&self) -> f64 {
        self.baseline + self.contributions.iter().sum::<f64>()
    }
}

impl Scorer<'_> {
    /// Explains the score of each of `targets` for the user vector of these entries (items
    /// ascending, each once). They are the stored history of `user` if it is given. The sum equals
    /// the score up to the rounding of the user vector to f32. `None` if the algorithm's scores are
    /// not sums over a history.
    ///
    /// The cost is about that of a fold-in, plus little for each target.
    ///
    /// # Errors
    /// Those of [`Scorer::fold_in`], or a target that is out of range.
    pub fn explain(
        &self,
        items: &[u32],
        values: &[f32],
        user: Option<u32>,
        targets: &[u32],
    ) -> Result<Option<Vec<Explanation>>, SolveError> {
        let bound = self.item_factors.nrows();
        check_entries(items, values, bound)?;
        if let Some(&index) = targets.iter().find(|target| **target as usize >= bound) {
            return Err(SolveError::OutOfRange { index, bound });
        }
        if items.is_empty() {
            let alone = |target| Explanation { baseline: self.baseline(target), contributions: Vec::new() };
            return Ok(Some(targets.iter().map(|target| alone(*target)).collect()));
        }
        let Some(influence) = self.fold_in.influence(items, values)? else { return Ok(None) };
        let rows = (self.item_factors.to_slice().unwrap_or_default(), self.item_factors.ncols());
        let mut contributions = influence.contributions(rows, items, targets);
        if let Some(two_hop) = &self.two_hop {
            let history = History { items: items.to_vec(), weights: values.to_vec(), user };
            for (sums, parts) in
                contributions.iter_mut().zip(two_hop.contributions(&history, self.item_factors, targets))
            {
                sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
            }
        }
        let explained = targets.iter().zip(contributions);
        let explained =
            explained.map(|(&target, contributions)| Explanation { baseline: self.baseline(target), contributions });
        Ok(Some(explained.collect()))
    }

    fn baseline(&self, target: u32) -> f64 {
        self.ratings.map_or(0.0, |ratings| ratings.baseline(target))
    }
}
