//! Dispatch to vector instructions: the only place that detects the features of the processor.
//!
//! A [`Kernel`] is plain Rust with a fixed order of operations: a fixed number of lanes, and
//! [`f64::mul_add`], which rounds once with or without an instruction for it. So every processor
//! gives the same bits; one without fused multiply-add is only slower.
// Calls code that is compiled for detected instructions, and reinterprets lanes as vectors.
#![allow(unsafe_code)]

/// Work that benefits from vector instructions. Implementations and everything they call are
/// `#[inline(always)]`, so that they are compiled once per instruction set.
pub(crate) trait Kernel {
    /// Result of the work.
    type Output;
    /// Does the work.
    fn run(self) -> Self::Output;
}

/// Runs a kernel with the widest instructions of this processor.
pub(crate) fn run<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if !cfg!(feature = "avx2-only")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
        {
            // SAFETY: the instructions that `run_avx512` is compiled for were just detected.
            return unsafe { run_avx512(kernel) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the instructions that `run_avx2` is compiled for were just detected.
            return unsafe { run_avx2(kernel) };
        }
    }
    kernel.run()
}

/// Instructions for products of small integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Integers {
    /// Any processor.
    Scalar,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 with F, BW, VL and VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
}

/// The widest integer instructions of this processor.
pub(crate) fn integers() -> Integers {
    #[cfg(target_arch = "x86_64")]
    {
        if !cfg!(feature = "avx2-only")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
        {
            return Integers::Avx512Vnni;
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return Integers::Avx2;
        }
    }
    Integers::Scalar
}

/// Prefetches the cache line in which the referenced value starts. It has no other effect.
#[inline(always)]
pub(crate) fn prefetch<T: ?Sized>(target: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint about an address that the reference makes valid; every x86-64 has the
    // instruction.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(target).cast::<i8>());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = target;
}

/// Sum of the lanes of each vector, in a fixed tree: lanes i and i + 8 of sixteen, i and i + 4 of
/// the eight, then (0 + 2) + (1 + 3).
#[inline(always)]
pub(crate) fn sums(vectors: [[f32; 16]; 4]) -> [f32; 4] {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__m128, _mm_add_ps, _mm_movehl_ps, _mm_movelh_ps, _mm_unpackhi_ps, _mm_unpacklo_ps};
        // The compiler's code for the scalar form adds lane by lane, which takes longer than the
        // products.
        //
        // SAFETY: every x86-64 has these instructions; sixteen floats are four vectors of four, and
        // every bit pattern is a valid float.
        unsafe {
            let four = |lanes: [f32; 16]| {
                let [a, b, c, d] = std::mem::transmute::<[f32; 16], [__m128; 4]>(lanes);
                _mm_add_ps(_mm_add_ps(a, c), _mm_add_ps(b, d))
            };
            let [v, w, x, y] = [four(vectors[0]), four(vectors[1]), four(vectors[2]), four(vectors[3])];
            // Transposes rows of four: (v₀ w₀ v₁ w₁) and (v₂ w₂ v₃ w₃), then lanes 0 and 2 of all
            // four, and 1 and 3.
            let (vw_low, vw_high) = (_mm_unpacklo_ps(v, w), _mm_unpackhi_ps(v, w));
            let (xy_low, xy_high) = (_mm_unpacklo_ps(x, y), _mm_unpackhi_ps(x, y));
            let evens = _mm_add_ps(_mm_movelh_ps(vw_low, xy_low), _mm_movelh_ps(vw_high, xy_high));
            let odds = _mm_add_ps(_mm_movehl_ps(xy_low, vw_low), _mm_movehl_ps(xy_high, vw_high));
            std::mem::transmute::<__m128, [f32; 4]>(_mm_add_ps(evens, odds))
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    scalar_sums(vectors)
}

/// [`sums`] without vector instructions.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn scalar_sums(vectors: [[f32; 16]; 4]) -> [f32; 4] {
    vectors.map(|lanes| {
        let eight: [f32; 8] = std::array::from_fn(|i| lanes[i] + lanes[i + 8]);
        let four: [f32; 4] = std::array::from_fn(|i| eight[i] + eight[i + 4]);
        (four[0] + four[2]) + (four[1] + four[3])
    })
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::normal;

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "test data may be rounded")]
    fn vector_sums_equal_scalar_sums_bit_for_bit() {
        for draw in 0..50 {
            let vectors = std::array::from_fn(|vector| {
                std::array::from_fn(|lane| (normal(draw, vector as u64, lane as u64) * 1e3) as f32)
            });
            assert_eq!(sums(vectors).map(f32::to_bits), scalar_sums(vectors).map(f32::to_bits));
        }
        let mut integers = [[0.0; 16]; 4];
        integers[2] = std::array::from_fn(|lane| (lane * lane) as f32);
        assert_eq!(sums(integers).map(f32::to_bits), [0.0, 0.0, 1240.0_f32, 0.0].map(f32::to_bits));
    }
}
