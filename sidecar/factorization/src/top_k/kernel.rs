//! Which items of a block may reach an inner product, by vector instructions, and the same in safe
//! Rust. Integer sums are exact and the bound is a fixed sequence of operations, so that all give
//! the same items.
// Calls code that is compiled for detected instructions, and loads vectors.
#![allow(unsafe_code)]
#![allow(clippy::cast_ptr_alignment)] // Vectors are loaded from unaligned addresses.

use super::{
    bound::QueryCode,
    layout::{BLOCK_ITEMS, GROUP, GROUP_BYTES},
};
use crate::simd::Integers;

/// What a kernel reads.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    /// The query.
    pub(super) query: &'a QueryCode,
    /// Codes of the block: a group for each group of the query.
    pub(super) codes: &'a [u8],
    /// Scales and residuals of the items; 0 for items that pad the block.
    pub(super) scales: &'a [u32; BLOCK_ITEMS],
    /// C of the bound.
    pub(super) slack: f32,
    /// The inner product to reach.
    pub(super) product_min: f32,
    /// How much less than that each item may have.
    pub(super) allowances: &'a [f32; BLOCK_ITEMS],
}

/// Bit i is set if item i of the block may have an inner product of at least `product_min` less its
/// allowance.
#[inline(always)]
pub(super) fn survivors(input: Input<'_>, integers: Integers) -> u64 {
    assert!(input.codes.len() == input.query.groups.len() * GROUP_BYTES, "the codes are those of a whole block");
    match integers {
        // SAFETY: `Integers` is detected, and the codes have the asserted length.
        #[cfg(target_arch = "x86_64")]
        Integers::Avx2 => unsafe { avx2::survivors(input) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Integers::Avx512Vnni => unsafe { avx512::survivors(input) },
        Integers::Scalar => scalar(input),
    }
}

/// [`survivors`] in safe Rust.
#[expect(clippy::cast_precision_loss, reason = "|t| < 2²⁴")]
fn scalar(Input { query, codes, scales, slack, product_min, allowances }: Input<'_>) -> u64 {
    let mut sums = [0_i32; BLOCK_ITEMS];
    for (group, codes) in query.groups.iter().zip(codes.chunks_exact(GROUP_BYTES)) {
        let factors = group.to_le_bytes().map(|byte| i32::from(byte.cast_signed()));
        for (vector, codes) in codes.chunks_exact(8 * GROUP).enumerate() {
            for (lane, codes) in codes.chunks_exact(GROUP).enumerate() {
                for (factor, code) in factors.iter().zip(codes) {
                    sums[16 * vector + lane] += factor * i32::from(code & 15);
                    sums[16 * vector + 8 + lane] += factor * i32::from(code >> 4);
                }
            }
        }
    }
    let mut survivors = 0;
    for (item, ((sum, scale), allowance)) in sums.iter().zip(scales).zip(allowances).enumerate() {
        let (scale, residual) = (f32::from_bits(scale & HIGH), f32::from_bits(scale << 16));
        let t = (2 * sum - query.offset) as f32;
        let bound = query.unit.mul_add(scale * t, query.norm.mul_add(residual, slack));
        survivors |= u64::from(bound >= product_min - allowance) << item;
    }
    survivors
}

/// The scale's half of an item's scale and residual.
const HIGH: u32 = 0xffff_0000;

/// Vectors of eight items.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _CMP_GE_OQ, _mm256_add_epi16, _mm256_add_epi32, _mm256_and_si256, _mm256_castsi256_ps, _mm256_cmp_ps,
        _mm256_cvtepi32_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16,
        _mm256_maddubs_epi16, _mm256_movemask_ps, _mm256_mul_ps, _mm256_set1_epi8, _mm256_set1_epi16,
        _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_si256, _mm256_slli_epi32, _mm256_srli_epi16,
        _mm256_sub_epi32, _mm256_sub_ps,
    };

    use super::{BLOCK_ITEMS, GROUP_BYTES, HIGH, Input};

    /// Groups whose sums fit 16 bits: each adds at most 2·15·127 to a lane.
    const SHORT_GROUPS: usize = 8;
    /// Items whose sums stay in registers.
    const PART_ITEMS: usize = 32;
    const VECTORS: usize = PART_ITEMS / 8;

    /// # Safety
    /// The processor has these instructions, and `codes` has [`GROUP_BYTES`] for each group of the
    /// query.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn survivors(input: Input<'_>) -> u64 {
        let Input { query, codes, scales, slack, product_min, allowances } = input;
        let (low, ones) = (_mm256_set1_epi8(15), _mm256_set1_epi16(1));
        let mut survivors = 0;
        for part in 0..BLOCK_ITEMS / PART_ITEMS {
            let mut sums = [_mm256_setzero_si256(); VECTORS];
            for (chunk, groups) in query.groups.chunks(SHORT_GROUPS).enumerate() {
                let [mut s0, mut s1, mut s2, mut s3] = [_mm256_setzero_si256(); VECTORS];
                for (at, group) in groups.iter().enumerate() {
                    let factors = _mm256_set1_epi32(*group);
                    let start = (chunk * SHORT_GROUPS + at) * GROUP_BYTES + part * (PART_ITEMS * 2);
                    // SAFETY: the caller provides a whole block of each group: the two vectors end
                    // at most at byte 128 of the group.
                    let (v, w) = unsafe {
                        let codes = codes.as_ptr().add(start).cast::<__m256i>();
                        (_mm256_loadu_si256(codes), _mm256_loadu_si256(codes.add(1)))
                    };
                    let high = |v| _mm256_and_si256(_mm256_srli_epi16::<4>(v), low);
                    s0 = _mm256_add_epi16(s0, _mm256_maddubs_epi16(_mm256_and_si256(v, low), factors));
                    s1 = _mm256_add_epi16(s1, _mm256_maddubs_epi16(high(v), factors));
                    s2 = _mm256_add_epi16(s2, _mm256_maddubs_epi16(_mm256_and_si256(w, low), factors));
                    s3 = _mm256_add_epi16(s3, _mm256_maddubs_epi16(high(w), factors));
                }
                for (sum, short) in sums.iter_mut().zip([s0, s1, s2, s3]) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(short, ones));
                }
            }
            for (vector, sum) in sums.into_iter().enumerate() {
                let first = part * PART_ITEMS + vector * 8;
                // SAFETY: eight of 64 scales from a multiple of eight below 64.
                let scales = unsafe { _mm256_loadu_si256(scales.as_ptr().add(first).cast::<__m256i>()) };
                let scale = _mm256_castsi256_ps(_mm256_and_si256(scales, _mm256_set1_epi32(HIGH.cast_signed())));
                let residual = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(scales));
                let t = _mm256_sub_epi32(_mm256_add_epi32(sum, sum), _mm256_set1_epi32(query.offset));
                let coded = _mm256_mul_ps(scale, _mm256_cvtepi32_ps(t));
                let rest = _mm256_fmadd_ps(_mm256_set1_ps(query.norm), residual, _mm256_set1_ps(slack));
                let bound = _mm256_fmadd_ps(_mm256_set1_ps(query.unit), coded, rest);
                // SAFETY: eight of 64 allowances from a multiple of eight below 64.
                let allowances = unsafe { _mm256_loadu_ps(allowances.as_ptr().add(first)) };
                let least = _mm256_sub_ps(_mm256_set1_ps(product_min), allowances);
                let reaches = _mm256_cmp_ps::<_CMP_GE_OQ>(bound, least);
                survivors |= u64::from(_mm256_movemask_ps(reaches).cast_unsigned()) << first;
            }
        }
        survivors
    }
}

/// Vectors of sixteen items, and products of four factors in one instruction.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        __m512i, _CMP_GE_OQ, _mm512_add_epi32, _mm512_and_si512, _mm512_castsi512_ps, _mm512_cmp_ps_mask,
        _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mul_ps,
        _mm512_permutex2var_epi64, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setr_epi64,
        _mm512_setzero_si512, _mm512_slli_epi32, _mm512_srli_epi16, _mm512_sub_epi32, _mm512_sub_ps,
    };

    use super::{GROUP_BYTES, HIGH, Input};

    /// # Safety
    /// As for AVX2.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(super) unsafe fn survivors(input: Input<'_>) -> u64 {
        let Input { query, codes, scales, slack, product_min, allowances } = input;
        let low = _mm512_set1_epi8(15);
        let [mut s0, mut s1, mut s2, mut s3] = [_mm512_setzero_si512(); 4];
        for (at, group) in query.groups.iter().enumerate() {
            let factors = _mm512_set1_epi32(*group);
            // SAFETY: the caller provides a whole block of each group: two vectors.
            let (v, w) = unsafe {
                let codes = codes.as_ptr().add(at * GROUP_BYTES).cast::<__m512i>();
                (_mm512_loadu_si512(codes), _mm512_loadu_si512(codes.add(1)))
            };
            let high = |v| _mm512_and_si512(_mm512_srli_epi16::<4>(v), low);
            s0 = _mm512_dpbusd_epi32(s0, _mm512_and_si512(v, low), factors);
            s1 = _mm512_dpbusd_epi32(s1, high(v), factors);
            s2 = _mm512_dpbusd_epi32(s2, _mm512_and_si512(w, low), factors);
            s3 = _mm512_dpbusd_epi32(s3, high(w), factors);
        }
        // Low halves hold items 0 to 7 and 16 to 23 of their 32, high halves the others.
        let (first, second) =
            (_mm512_setr_epi64(0, 1, 2, 3, 8, 9, 10, 11), _mm512_setr_epi64(4, 5, 6, 7, 12, 13, 14, 15));
        let sums = [
            _mm512_permutex2var_epi64(s0, first, s1),
            _mm512_permutex2var_epi64(s0, second, s1),
            _mm512_permutex2var_epi64(s2, first, s3),
            _mm512_permutex2var_epi64(s2, second, s3),
        ];
        let mut survivors = 0;
        for (vector, sum) in sums.into_iter().enumerate() {
            // SAFETY: sixteen of 64 scales from a multiple of sixteen below 64.
            let scales = unsafe { _mm512_loadu_si512(scales.as_ptr().add(vector * 16).cast::<__m512i>()) };
            let scale = _mm512_castsi512_ps(_mm512_and_si512(scales, _mm512_set1_epi32(HIGH.cast_signed())));
            let residual = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(scales));
            let t = _mm512_sub_epi32(_mm512_add_epi32(sum, sum), _mm512_set1_epi32(query.offset));
            let coded = _mm512_mul_ps(scale, _mm512_cvtepi32_ps(t));
            let rest = _mm512_fmadd_ps(_mm512_set1_ps(query.norm), residual, _mm512_set1_ps(slack));
            let bound = _mm512_fmadd_ps(_mm512_set1_ps(query.unit), coded, rest);
            // SAFETY: sixteen of 64 allowances from a multiple of sixteen below 64.
            let allowances = unsafe { _mm512_loadu_ps(allowances.as_ptr().add(vector * 16)) };
            let least = _mm512_sub_ps(_mm512_set1_ps(product_min), allowances);
            survivors |= u64::from(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(bound, least)) << (vector * 16);
        }
        survivors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{random::normal, simd};

    /// Every instruction set of this processor.
    fn available() -> Vec<Integers> {
        #[cfg(target_arch = "x86_64")]
        return match simd::integers() {
            Integers::Scalar => vec![Integers::Scalar],
            Integers::Avx2 => vec![Integers::Scalar, Integers::Avx2],
            Integers::Avx512Vnni => vec![Integers::Scalar, Integers::Avx2, Integers::Avx512Vnni],
        };
        #[cfg(not(target_arch = "x86_64"))]
        vec![simd::integers()]
    }

    #[test]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "any bits are codes")]
    fn every_instruction_set_selects_the_same_items() {
        let draw = |stream: u64, i: usize| normal(3, stream, i as u64);
        let mut selected = [0; 65];
        for round in 0..400 {
            let factors = 1 + round % 150;
            let query: Vec<f32> = (0..factors).map(|j| draw(0, round * 1000 + j) as f32).collect();
            let query = QueryCode::new(&query).unwrap();
            let bytes = query.groups.len() * GROUP_BYTES;
            let codes: Vec<u8> = (0..bytes).map(|i| (draw(1, round + i * 7) * 1e6) as i64 as u8).collect();
            let scales = std::array::from_fn(|i| {
                let positive = |stream: u64| (draw(stream, round * 64 + i).abs() as f32).to_bits() >> 16;
                positive(2) | positive(3) << 16
            });
            // Around the median of the bounds.
            let product_min = if round % 2 == 0 { draw(4, round) as f32 * 30.0 } else { 0.0 };
            let allowances =
                std::array::from_fn(|i| if round % 3 == 0 { draw(5, round * 64 + i).abs() as f32 } else { 0.0 });
            let allowances = &allowances;
            let input = Input { query: &query, codes: &codes, scales: &scales, slack: 0.125, product_min, allowances };
            let expected = scalar(input);
            selected[expected.count_ones() as usize] += 1;
            for integers in available() {
                assert_eq!(survivors(input, integers), expected, "{integers:?}, {factors} factors");
            }
        }
        assert!(selected[1..64].iter().sum::<i32>() > 300, "most rounds select some items only: {selected:?}");
    }
}
