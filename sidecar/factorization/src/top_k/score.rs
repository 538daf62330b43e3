//! From an inner product to the score that ranks, and back to the inner product that a score needs.

use super::{codes::BlockBound, norm};

/// Relative rounding error of the terms that [`Scoring::product_min`] inverts, generously: a few
/// operations in single precision, and lengths of at most [`crate::params::bounds::FACTORS_MAX`]
/// squares.
const ROUNDING: f64 = 1.0 / 1024.0;
/// Relative rounding error of the additions of bias and addend, generously: each rounds by at most
/// 2⁻²⁴, and so does the subtraction of an allowance.
pub(super) const ADDITION_ROUNDING: f64 = 1.0 / (1 << 20) as f64;
/// Minimum length of a vector for a cosine by codes. The squares of shorter ones lose digits below
/// the normal range of single precision.
const LENGTH_MIN: f32 = f32::from_bits((127 - 50) << 23);

/// What ranks the items of a query.
#[derive(Clone, Copy)]
pub(super) enum Scoring<'a> {
    /// The inner product, plus the item's bias, plus its addend.
    Product { biases: Option<&'a [f32]>, addends: Option<&'a [f32]> },
    /// The inner product over the lengths of query and item; 0 if a length is 0.
    Cosine { query_length: f32 },
}

impl Scoring<'_> {
    /// The score of an item with this inner product. `row` returns its factors.
    #[inline(always)]
    pub(super) fn score<'r>(&self, product: f32, item: usize, row: impl FnOnce() -> &'r [f32]) -> f32 {
        match self {
            Self::Product { biases, addends } => {
                let mut score = product;
                if let Some(biases) = biases {
                    score += biases[item];
                }
                if let Some(addends) = addends {
                    score += addends[item];
                }
                score
            }
            Self::Cosine { query_length } => {
                let lengths = query_length * norm(row());
                if lengths > 0.0 { product / lengths } else { 0.0 }
            }
        }
    }

    /// A product below which no item of a block can score `threshold`. Of items with addends it is
    /// lower by an item's allowance (`allowances`), which includes the rounding of its addition.
    ///
    /// For a sum of product and bias b, whose addition rounds by at most a relative 2⁻²⁴: the
    /// threshold less the block's maximum bias, less a multiple of their size. For a cosine: the
    /// threshold times the lengths, with the shortest item of the block for a positive threshold
    /// and the longest for a negative one.
    #[inline(always)]
    pub(super) fn product_min(&self, threshold: f32, bound: &BlockBound) -> f32 {
        match self {
            Self::Product { biases: None, addends: None } => threshold,
            Self::Product { biases, addends: _ } => {
                let bias = biases.map_or(0.0, |_| f64::from(bound.bias_max));
                let threshold = f64::from(threshold);
                let size = threshold.abs() + bias.abs();
                round_down(threshold - bias - size * ADDITION_ROUNDING)
            }
            Self::Cosine { query_length } => {
                if *query_length < LENGTH_MIN || bound.norm_min < LENGTH_MIN {
                    return f32::NEG_INFINITY;
                }
                let at_least = f64::from(threshold) * f64::from(*query_length);
                round_down(if threshold >= 0.0 {
                    at_least * f64::from(bound.norm_min) * (1.0 - ROUNDING)
                } else {
                    at_least * f64::from(bound.norm_max) * (1.0 + ROUNDING)
                })
            }
        }
    }

    /// The addends of items.
    pub(super) fn addends(&self) -> Option<&[f32]> {
        match self {
            Self::Product { addends, .. } => *addends,
            Self::Cosine { .. } => None,
        }
    }

    /// The addends of items, if products and they alone make the score.
    pub(super) fn addends_alone(&self) -> Option<&[f32]> {
        match self {
            Self::Product { biases: None, addends } => *addends,
            Self::Product { .. } | Self::Cosine { .. } => None,
        }
    }

    /// Whether products decide the order of blocks, so that none after the first one that cannot
    /// reach the threshold can.
    pub(super) fn ends_at_the_first_block_below(&self) -> bool {
        matches!(self, Self::Product { biases: None, addends: None })
    }
}

/// The largest single precision number that is not above `x`, which is not NaN.
#[expect(clippy::cast_possible_truncation, reason = "the result is corrected")]
pub(super) fn round_down(x: f64) -> f32 {
    let near = x as f32;
    if f64::from(near) > x { near.next_down() } else { near }
}

/// The smallest single precision number that is not below `x`, which is not NaN.
pub(super) fn round_up(x: f64) -> f32 {
    -round_down(-x)
}
