//! A quantized query and the proven upper bound of an item's score by codes.
//!
//! # The bound
//! Let q be the query and x an item, x̂ = s·(c − 7.5·1) its code with ‖x − x̂‖ ≤ ρ, and q̂ = 2a·z
//! the quantized query with integers |zⱼ| ≤ 127. With u = 2⁻²⁴, the unit roundoff of single
//! precision, the score f of a flat scan satisfies
//!
//! ```text
//!   f ≤ ⟨q, x⟩ + γ‖q‖‖x‖ + η                                  rounding of the flat scan
//!   ⟨q, x⟩ = ⟨q̂, x̂⟩ + ⟨q, x − x̂⟩ + ⟨q − q̂, x̂⟩
//!          ≤ ⟨q̂, x̂⟩ + ‖q‖ρ + ‖q − q̂‖‖x̂‖                       Cauchy–Schwarz
//!   ⟨q̂, x̂⟩ = a·s·t,   t = Σ zⱼ(2cⱼ − 15) = 2Σ zⱼcⱼ − 15Σ zⱼ      an integer
//! ```
//! Each lane of `lanes::dot` rounds ⌈d/16⌉ times for d factors and four additions follow, each with
//! a relative error of at most u, so γ = (⌈d/16⌉ + 5)u suffices by |⟨q, x⟩| ≤ Σ|qⱼxⱼ| ≤ ‖q‖‖x‖. A
//! product below the normal range has an absolute error of at most 2⁻¹⁵⁰, together less than
//! η = 2⁻¹²⁷ for d ≤ 1024.
//!
//! The kernel computes b = fl(a·fl(s·t) + fl(N·ρ + C)) with two fused multiply-adds. |t| ≤ 1905d <
//! 2²⁴, so t is exact. s is 0 or a normal number and t an integer, so fl(s·t) is not subnormal. The
//! three roundings change b by at most
//!
//! ```text
//!   2.1u‖q̂‖‖x̂‖ + 2.1u(N·ρ + C) + 2⁻¹⁴⁹
//! ```
//! where the last term covers subnormal results. Hence f ≤ b for every item of a block whose norms
//! ‖x‖ and ‖x̂‖ are at most X, with
//!
//! ```text
//!   N ≥ (1 + ε)‖q‖
//!   C ≥ (1 + ε)(‖q − q̂‖ + γ‖q‖ + 4u‖q̂‖)·X + 2⁻¹²⁶             ε = 2⁻¹⁹ > 4u
//! ```
//! ε also covers the rounding of the norms, which are computed in f64. Likewise no item of the
//! block has a score above (1 + γ + ε)‖q‖·X + 2⁻¹²⁶. Terms are at most 2¹²⁶, because all norms are
//! limited to [`NORM_MAX`], so nothing overflows and no result is NaN.

use super::{
    codes::{BlockBound, NORM_MAX},
    layout::GROUP,
    score::round_up,
};

/// Maximum absolute value of a quantized factor of the query.
const QUERY_MAX: f64 = 127.0;
/// u.
const ROUNDOFF: f64 = 1.0 / (1 << 24) as f64;
/// ε.
const INFLATION: f64 = 1.0 / (1 << 19) as f64;
/// Lanes of `lanes::dot`, and its additions after the products, plus one for terms of second order.
const LANES: usize = 16;
const ADDITIONS: usize = 5;

/// A query in integers.
pub(super) struct QueryCode {
    /// z, four factors each in a little-endian integer.
    pub(super) groups: Vec<i32>,
    /// 15Σz.
    pub(super) offset: i32,
    /// a.
    pub(super) unit: f32,
    /// N.
    pub(super) norm: f32,
    /// C without its constant term, for X = 1.
    slack: f64,
    /// (1 + γ + ε)‖q‖.
    reach: f64,
}

impl QueryCode {
    /// Quantizes a query; `None` if it is not finite or too long for bounds in single precision.
    pub(super) fn new(query: &[f32]) -> Option<Self> {
        let norm = norm(query.iter().map(|x| f64::from(*x)));
        if norm.is_nan() || norm > f64::from(NORM_MAX) {
            return None;
        }
        let max = query.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
        let unit = round_up(f64::from(max) / (2.0 * QUERY_MAX));
        let step = 2.0 * f64::from(unit);
        let quantized: Vec<i8> = query.iter().map(|x| quantize(f64::from(*x), step)).collect();
        let code_norm = norm_of(&quantized, |z, _| step * z, query);
        let error = norm_of(&quantized, |z, x| x - step * z, query);
        let gamma = (query.len().div_ceil(LANES) + ADDITIONS) as f64 * ROUNDOFF;
        let sum: i32 = quantized.iter().map(|z| i32::from(*z)).sum();
        Some(Self {
            groups: quantized.chunks(GROUP).map(group).collect(),
            offset: 15 * sum,
            unit,
            norm: round_up((1.0 + INFLATION) * norm),
            slack: (1.0 + INFLATION) * (error + gamma * norm + 4.0 * ROUNDOFF * code_norm),
            reach: (1.0 + gamma + INFLATION) * norm,
        })
    }

    /// C of a block.
    #[inline(always)]
    pub(super) fn slack(&self, bound: &BlockBound) -> f32 {
        round_up(self.slack * f64::from(bound.norm_max) + f64::from(f32::MIN_POSITIVE))
    }

    /// The least allowance with which an item of the block, or of one after it, may have this inner
    /// product.
    pub(super) fn allowance_min(&self, bound: &BlockBound, product: f32) -> f64 {
        f64::from(product) - (self.reach * f64::from(bound.norm_max) + f64::from(f32::MIN_POSITIVE))
    }

    /// Whether an item of the block may have this inner product.
    #[inline(always)]
    pub(super) fn reaches(&self, bound: &BlockBound, product: f32) -> bool {
        self.reach * f64::from(bound.norm_max) + f64::from(f32::MIN_POSITIVE) >= f64::from(product)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "clamped to the range of i8")]
fn quantize(x: f64, step: f64) -> i8 {
    if step > 0.0 { (x / step).round_ties_even().clamp(-QUERY_MAX, QUERY_MAX) as i8 } else { 0 }
}

fn group(factors: &[i8]) -> i32 {
    let mut bytes = [0; GROUP];
    for (byte, factor) in bytes.iter_mut().zip(factors) {
        *byte = factor.cast_unsigned();
    }
    i32::from_le_bytes(bytes)
}

fn norm(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.map(|x| x * x).sum::<f64>().sqrt()
}

fn norm_of(quantized: &[i8], term: impl Fn(f64, f64) -> f64, query: &[f32]) -> f64 {
    norm(quantized.iter().zip(query).map(|(z, x)| term(f64::from(*z), f64::from(*x))))
}
