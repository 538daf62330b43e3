//! The door to wide vector instructions: the one place that asks what the processor has.
//!
//! A [`Kernel`] is plain Rust with a fixed order of operations: fixed lanes, and [`f64::mul_add`], which rounds once with or
//! without an instruction for it. So every processor gives the same bits; one without fused multiply-add is only slower.
#![allow(unsafe_code)] // Calling code compiled for instructions that were just detected.

/// Work that gains from wide vectors. Implementations and all they call are `#[inline(always)]`, so that they are compiled
/// anew for each instruction set.
pub(crate) trait Kernel {
    /// What it gives.
    type Output;
    /// Does the work.
    fn run(self) -> Self::Output;
}

/// Runs a kernel with the widest instructions of this processor.
pub(crate) fn run<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f")
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

/// Asks for the line of memory in which this starts, so that it is near when it is needed. Changes nothing else.
#[inline(always)]
pub(crate) fn prefetch<T: ?Sized>(what: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint about an address that the reference makes valid; every x86-64 has the instruction.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(what).cast::<i8>());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = what;
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
