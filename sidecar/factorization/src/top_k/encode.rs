//! Makes the codes of items.

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::{
    bfloat,
    codes::{BOUNDS, CodeParts, Codes, CodesChecked, NORM_MAX},
    item_bits::ones,
    layout::{BLOCK_ITEMS, MIDDLE, block_bytes, blocks, copy, put},
    score::{round_down, round_up},
    squares::sum_of_squares,
};
use crate::simd::{self, Kernel};

/// Fractions of a row's maximum that the largest code is tried at. A smaller one clips the maximum
/// and quantizes the other factors more finely.
const CLIPS: [f32; 6] = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5];
/// Maximum factor of a row that is not quantized: its scale is 0 and its residual is the row.
/// Scales of larger rows are normal numbers.
const QUANTIZED_MIN: f32 = f32::from_bits((127 - 100) << 23);

/// Codes of items, with the memory that they use.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemCodes {
    order: Vec<u32>,
    codes: Vec<u8>,
    scales: Vec<u32>,
    bounds: Vec<f32>,
    checked: CodesChecked,
}

impl ItemCodes {
    /// Quantizes items (items × factors) with their biases, on the ambient rayon pool. `None` if a
    /// scan of all items is at least as fast, or a norm or bias is too large for bounds in single
    /// precision.
    pub fn new(item_factors: ArrayView2<'_, f32>, biases: Option<&[f32]>) -> Option<Self> {
        let (items, factors) = item_factors.dim();
        if super::is_small(items, factors) {
            return None;
        }
        Self::of_any_size(item_factors, biases)
    }

    /// [`Self::new`], also for a small catalogue.
    #[expect(clippy::cast_possible_truncation, reason = "items ≤ INDEX_MAX")]
    pub(super) fn of_any_size(item_factors: ArrayView2<'_, f32>, biases: Option<&[f32]>) -> Option<Self> {
        let (items, factors) = item_factors.dim();
        let contiguous = item_factors.as_standard_layout();
        let rows = contiguous.as_slice()?;
        let row = |item: u32| &rows[item as usize * factors..][..factors];
        let norm = |item: u32| row(item).iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let norms: Vec<f64> = (0..items as u32).into_par_iter().map(norm).collect();
        let is_in_range = norms.iter().all(|norm| *norm <= f64::from(NORM_MAX) / 2.0);
        if !is_in_range || biases.is_some_and(|biases| biases.iter().any(|bias| !bias.is_finite())) {
            return None;
        }
        let mut order: Vec<u32> = (0..items as u32).collect();
        order.par_sort_unstable_by(|&x, &y| norms[y as usize].total_cmp(&norms[x as usize]).then(x.cmp(&y)));
        let mut codes = vec![0; blocks(items) * block_bytes(factors)];
        let mut scales = vec![0; items];
        let mut bounds = vec![0.0; blocks(items) * BOUNDS];
        let per_block = codes
            .par_chunks_mut(block_bytes(factors).max(1))
            .zip(scales.par_chunks_mut(BLOCK_ITEMS))
            .zip(bounds.par_chunks_mut(BOUNDS))
            .zip(order.par_chunks(BLOCK_ITEMS));
        per_block.for_each(|(((codes, scales), bounds), order)| {
            let mut levels = vec![0.0; factors];
            let (mut norm_max, mut norm_min, mut bias_max) = (0.0_f64, f64::INFINITY, f32::NEG_INFINITY);
            for (at, &item) in order.iter().enumerate() {
                let scale = simd::run(Quantize { row: row(item), levels: &mut levels });
                let [norm, code_norm, residual] =
                    sum_of_squares(row(item), &levels, bfloat::to_f32(scale)).map(f64::sqrt);
                scales[at] = bfloat::pair(bfloat::from_f32_up(round_up(residual)), scale);
                for (factor, level) in levels.iter().enumerate() {
                    put(codes, at, factor, *level);
                }
                norm_max = norm_max.max(norm).max(code_norm);
                norm_min = norm_min.min(norm);
                bias_max = bias_max.max(biases.map_or(0.0, |biases| biases[item as usize]));
            }
            bounds.copy_from_slice(&[round_up(norm_max), round_down(norm_min), bias_max]);
        });
        // The norm of x̂ may exceed that of the block before.
        let mut after = 0.0_f32;
        for bound in bounds.chunks_exact_mut(BOUNDS).rev() {
            after = after.max(bound[0]);
            bound[0] = after;
        }
        let parts = CodeParts { order: &order, codes: &codes, scales: &scales, bounds: &bounds };
        let checked = Codes::check(parts, contiguous.view(), biases).ok()?;
        Some(Self { order, codes, scales, bounds, checked })
    }

    /// The codes of some items, which are those of `wanted`, a bit for each item of each block.
    /// What was proven of an item by its codes, and of the items of its block by their bounds, is
    /// true of it in another block, too, so nothing is checked again.
    pub(super) fn of_some(from: &Codes<'_>, wanted: &[u64], items: usize) -> Self {
        let (_, factors) = from.dim();
        let mut codes = vec![0; blocks(items) * block_bytes(factors)];
        let (mut order, mut scales) = (Vec::with_capacity(items), Vec::with_capacity(items));
        let mut bounds = Vec::with_capacity(blocks(items) * BOUNDS);
        let mut places = ones(wanted).peekable();
        for to in codes.chunks_exact_mut(block_bytes(factors).max(1)) {
            // The maximum norms of blocks descend, so the first one is that of all.
            let first = places.peek().map_or(0, |(block, _)| *block);
            let mut bound = from.bound(first);
            for (at, (block, item)) in places.by_ref().take(BLOCK_ITEMS).enumerate() {
                let of_block = from.bound(block);
                bound.norm_min = bound.norm_min.min(of_block.norm_min);
                bound.bias_max = bound.bias_max.max(of_block.bias_max);
                let block = from.block(block);
                order.push(block.order[item]);
                scales.push(block.scales[item]);
                copy((block.codes, item), (&mut *to, at));
            }
            bounds.extend([bound.norm_max, bound.norm_min, bound.bias_max]);
        }
        Self { order, codes, scales, bounds, checked: CodesChecked { items, factors } }
    }

    /// Memory of the codes of items, in bytes.
    pub(super) fn bytes(items: usize, factors: usize) -> usize {
        let per_block = block_bytes(factors) + BOUNDS * size_of::<f32>();
        blocks(items) * per_block + items * 2 * size_of::<u32>()
    }

    /// The parts, to store them.
    pub fn parts(&self) -> CodeParts<'_> {
        let Self { order, codes, scales, bounds, checked: _ } = self;
        CodeParts { order, codes, scales, bounds }
    }

    /// The codes.
    #[expect(clippy::missing_panics_doc, reason = "the parts were checked when they were made")]
    pub fn codes(&self) -> Codes<'_> {
        Codes::new(self.parts(), self.checked).expect("the parts were checked when they were made")
    }
}

/// Quantizes a row with the best scale of a few. Returns the scale.
struct Quantize<'a> {
    row: &'a [f32],
    levels: &'a mut [f32],
}

impl Kernel for Quantize<'_> {
    type Output = u16;

    #[inline(always)]
    fn run(self) -> u16 {
        let Self { row, levels } = self;
        let max = row.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
        if max < QUANTIZED_MIN {
            levels.fill(-MIDDLE);
            return 0;
        }
        let (mut best, mut best_error) = (0, f32::INFINITY);
        for clip in CLIPS {
            let mut scale = bfloat::from_f32_down(max * (clip / MIDDLE));
            // The second time with the scale that suits the levels best.
            for _ in 0..2 {
                let [error, product, square] = quantize(row, bfloat::to_f32(scale), levels);
                if error < best_error {
                    (best, best_error) = (scale, error);
                }
                let fitted = bfloat::from_f32_down(product / square);
                if fitted == scale || bfloat::to_f32(fitted) < f32::MIN_POSITIVE {
                    break;
                }
                scale = fitted;
            }
        }
        quantize(row, bfloat::to_f32(best), levels);
        best
    }
}

/// Writes the levels of a row for a scale. Returns, in units of the scale: the squared norm of the
/// residual; and the product of row and levels, in the row's unit, and the levels' squared norm.
#[inline(always)]
fn quantize(row: &[f32], scale: f32, levels: &mut [f32]) -> [f32; 3] {
    const LANES: usize = 16;
    let mut sums = [[0.0_f32; LANES]; 3];
    let inverse = scale.recip();
    let mut add = |row: &[f32], levels: &mut [f32]| {
        for (lane, (x, level)) in row.iter().zip(levels).enumerate() {
            *level = ((x * inverse).floor() + 0.5).clamp(-MIDDLE, MIDDLE);
            let residual = x - *level * scale;
            sums[0][lane] = residual.mul_add(residual, sums[0][lane]);
            sums[1][lane] = x.mul_add(*level, sums[1][lane]);
            sums[2][lane] = level.mul_add(*level, sums[2][lane]);
        }
    };
    let ((row, row_rest), (levels, levels_rest)) = (row.as_chunks::<LANES>(), levels.as_chunks_mut::<LANES>());
    row.iter().zip(levels).for_each(|(row, levels)| add(row, levels));
    add(row_rest, levels_rest);
    sums.map(|lanes| lanes.iter().sum())
}
