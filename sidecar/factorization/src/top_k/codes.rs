//! Quantized items: four bits a factor, in blocks of [`BLOCK_ITEMS`] items by descending norm.
//!
//! An item x is x̂ = s·(c − 7.5·1) plus a residual, with codes c of 0 to 15, a scale s, and an
//! upper bound ρ of the residual's norm.

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::{
    bfloat,
    layout::{BLOCK_ITEMS, block_bytes, blocks, decode_block},
    squares::sum_of_squares,
};

/// Maximum norm of a vector for a scan by codes. Products of two such vectors and their bounds are
/// far from the limits of single precision.
pub(super) const NORM_MAX: f32 = f32::from_bits((127 + 60) << 23);

/// Bounds of the items of a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct BlockBound {
    /// Upper bound of ‖x‖ and ‖x̂‖; never larger than in the block before.
    pub(super) norm_max: f32,
    /// Lower bound of ‖x‖.
    pub(super) norm_min: f32,
    /// Upper bound of the biases; 0 without biases.
    pub(super) bias_max: f32,
}

/// Number of bounds of a block.
pub const BOUNDS: usize = 3;

/// Codes as they are stored. Their lengths and contents may be wrong; see [`Codes`].
#[derive(Clone, Copy, Debug)]
pub struct CodeParts<'a> {
    /// Items by descending norm, each once.
    pub order: &'a [u32],
    /// Codes of the blocks: [`blocks`] × [`block_bytes`].
    pub codes: &'a [u8],
    /// Two bfloat16 for each item, in `order`: an upper bound of the norm of its residual in the
    /// low half, its scale in the high half.
    pub scales: &'a [u32],
    /// Maximum norm, minimum norm and maximum bias of each block: [`blocks`] × [`BOUNDS`].
    pub bounds: &'a [f32],
}

/// Why codes cannot be used. They must be made again from the items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodesError {
    /// Lengths that do not match the items.
    #[error("the codes have the wrong size for {items} items of {factors} factors")]
    Size {
        /// Number of items.
        items: usize,
        /// Number of factors.
        factors: usize,
    },
    /// An order that is not a permutation of the items.
    #[error("entry {position} of the order of the codes is out of range or a duplicate")]
    Order {
        /// Position in the order.
        position: usize,
    },
    /// Bounds that do not hold for the factors or biases of an item.
    #[error("the bounds of block {block} of the codes do not hold for its items")]
    Bounds {
        /// Index of the block.
        block: usize,
    },
}

/// Codes that were checked against their items: their bounds hold.
#[derive(Clone, Copy, Debug)]
pub struct Codes<'a> {
    parts: CodeParts<'a>,
    factors: usize,
}

/// Proof that codes were checked, to make [`Codes`] again from the same parts in constant time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodesChecked {
    pub(super) items: usize,
    pub(super) factors: usize,
}

/// A block of [`Codes`].
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) codes: &'a [u8],
    /// Scale and residual norm of each item of the block.
    pub(super) scales: &'a [u32],
    /// Items of the block.
    pub(super) order: &'a [u32],
}

impl<'a> Codes<'a> {
    /// Checks every bound of the codes against the items (items × factors, in standard layout) and
    /// their biases, on the ambient rayon pool. A wrong bound could hide an item from a list.
    ///
    /// # Errors
    /// The codes do not belong to the items.
    pub fn check(
        parts: CodeParts<'a>,
        item_factors: ArrayView2<'_, f32>,
        biases: Option<&[f32]>,
    ) -> Result<CodesChecked, CodesError> {
        let checked = Self::checked_before(parts, item_factors, biases)?;
        let (items, factors) = item_factors.dim();
        let count = blocks(items);
        let rows = item_factors.to_slice().ok_or(CodesError::Size { items, factors })?;
        let mut found = vec![false; items];
        for (position, item) in parts.order.iter().enumerate() {
            match found.get_mut(*item as usize) {
                Some(found) if !*found => *found = true,
                _ => return Err(CodesError::Order { position }),
            }
        }
        let codes = Self { parts, factors };
        let wrong = (0..count).into_par_iter().find_first(|&block| {
            let before = block.checked_sub(1).map_or(NORM_MAX, |before| codes.bound(before).norm_max);
            let bound = codes.bound(block);
            bound.norm_max > before || !bound.holds(&codes.block(block), rows, factors, biases)
        });
        match wrong {
            Some(block) => Err(CodesError::Bounds { block }),
            None => Ok(checked),
        }
    }

    /// As [`Self::check`], for parts that have passed it before: only the lengths are compared.
    ///
    /// # Errors
    /// Parts of other lengths.
    pub fn checked_before(
        parts: CodeParts<'a>,
        item_factors: ArrayView2<'_, f32>,
        biases: Option<&[f32]>,
    ) -> Result<CodesChecked, CodesError> {
        let (items, factors) = item_factors.dim();
        let checked = CodesChecked { items, factors };
        let fits = Self::new(parts, checked).is_some() && biases.is_none_or(|biases| biases.len() == items);
        fits.then_some(checked).ok_or(CodesError::Size { items, factors })
    }

    /// The codes of which these parts were checked; `None` if the parts have other lengths.
    pub fn new(parts: CodeParts<'a>, CodesChecked { items, factors }: CodesChecked) -> Option<Self> {
        let lengths = [parts.order.len(), parts.scales.len()];
        let count = blocks(items);
        (lengths == [items; 2]
            && parts.codes.len() == count * block_bytes(factors)
            && parts.bounds.len() == count * BOUNDS)
            .then_some(Self { parts, factors })
    }

    /// Number of items and of factors.
    pub(crate) fn dim(&self) -> (usize, usize) {
        (self.parts.order.len(), self.factors)
    }

    /// Items by descending norm.
    pub fn order(&self) -> &'a [u32] {
        self.parts.order
    }

    /// Number of blocks.
    pub(super) fn blocks(&self) -> usize {
        self.parts.bounds.len() / BOUNDS
    }

    #[inline(always)]
    pub(super) fn bound(&self, block: usize) -> BlockBound {
        let bounds = &self.parts.bounds[block * BOUNDS..][..BOUNDS];
        BlockBound { norm_max: bounds[0], norm_min: bounds[1], bias_max: bounds[2] }
    }

    #[inline(always)]
    pub(super) fn block(&self, block: usize) -> Block<'a> {
        let CodeParts { order, codes, scales, bounds: _ } = self.parts;
        let bytes = block_bytes(self.factors);
        let items = block * BLOCK_ITEMS..((block + 1) * BLOCK_ITEMS).min(order.len());
        Block { codes: &codes[block * bytes..][..bytes], scales: &scales[items.clone()], order: &order[items] }
    }
}

impl BlockBound {
    /// Whether the bounds of a block and of its items hold, so that no term of a scan overflows.
    fn holds(&self, block: &Block<'_>, rows: &[f32], factors: usize, biases: Option<&[f32]>) -> bool {
        let Self { norm_max, norm_min, bias_max } = *self;
        if !(0.0 <= norm_min && norm_min <= norm_max && norm_max <= NORM_MAX && bias_max.is_finite()) {
            return false;
        }
        let mut decoded = vec![0.0; BLOCK_ITEMS * factors];
        decode_block(block.codes, factors, &mut decoded);
        block.order.iter().zip(decoded.chunks_exact(factors.max(1))).enumerate().all(|(at, (&item, levels))| {
            let row = &rows[item as usize * factors..][..factors];
            let (residual, scale) = bfloat::pair_to_f32(block.scales[at]);
            let [norm, code_norm, residual_norm] = sum_of_squares(row, levels, scale).map(f64::sqrt);
            let bias = biases.map_or(0.0, |biases| biases[item as usize]);
            (scale == 0.0 || scale.is_normal() && scale > 0.0)
                && residual_norm <= f64::from(residual)
                && residual <= 4.0 * NORM_MAX
                && norm.max(code_norm) <= f64::from(norm_max)
                && norm >= f64::from(norm_min)
                && bias <= bias_max
        })
    }
}
