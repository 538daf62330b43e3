//! bfloat16: the upper half of a single precision number. Its range is that of single precision,
//! while that of half precision ends at 65,504.

/// The value of a bfloat16.
#[inline(always)]
pub(super) fn to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The nearest bfloat16 below or at `x`, which is ≥ 0 and finite.
#[inline(always)]
pub(super) fn from_f32_down(x: f32) -> u16 {
    (x.to_bits() >> 16) as u16
}

/// The nearest bfloat16 above or at `x`, which is ≥ 0 and finite; may be infinite.
pub(super) fn from_f32_up(x: f32) -> u16 {
    let below = from_f32_down(x);
    if to_f32(below) < x { below + 1 } else { below }
}

/// Two bfloat16 in one integer, `low` in its low half.
pub(super) fn pair(low: u16, high: u16) -> u32 {
    u32::from(low) | u32::from(high) << 16
}

/// The values of a [`pair`].
pub(super) fn pair_to_f32(pair: u32) -> (f32, f32) {
    (f32::from_bits(pair << 16), f32::from_bits(pair & 0xffff_0000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_outward() {
        for (x, down, up) in [
            (0.0, 0.0, 0.0),
            (1.0, 1.0, 1.0),
            (1.001, 1.0, 1.0 + 1.0 / 128.0),
            (65_504.0, 65_280.0, 65_536.0),
            (f32::from_bits(1), 0.0, f32::from_bits(1 << 16)),
        ] {
            assert_eq!((to_f32(from_f32_down(x)), to_f32(from_f32_up(x))), (down, up), "{x}");
        }
        assert!(to_f32(from_f32_up(f32::MAX)).is_infinite());
    }
}
