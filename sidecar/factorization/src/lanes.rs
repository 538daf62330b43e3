//! Inner products over a fixed number of virtual lanes: the compiler may use any vector width, the order of additions
//! stays the same.

/// Lanes of an f32 product.
const LANES_F32: usize = 16;
/// Lanes of an f64 product.
const LANES_F64: usize = 8;

/// ⟨x, y⟩ in f32; the shorter length counts.
pub(crate) fn dot_f32(x: &[f32], y: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES_F32];
    let (x_blocks, x_rest) = x.as_chunks::<LANES_F32>();
    let (y_blocks, y_rest) = y.as_chunks::<LANES_F32>();
    for (a, b) in x_blocks.iter().zip(y_blocks) {
        for lane in 0..LANES_F32 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    for (lane, (a, b)) in x_rest.iter().zip(y_rest).enumerate() {
        sums[lane] += a * b;
    }
    let mut width = LANES_F32 / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

/// ⟨x, y⟩ in f64; the shorter length counts.
pub(crate) fn dot_f64(x: &[f64], y: &[f64]) -> f64 {
    let mut sums = [0.0_f64; LANES_F64];
    let (x_blocks, x_rest) = x.as_chunks::<LANES_F64>();
    let (y_blocks, y_rest) = y.as_chunks::<LANES_F64>();
    for (a, b) in x_blocks.iter().zip(y_blocks) {
        for lane in 0..LANES_F64 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    for (lane, (a, b)) in x_rest.iter().zip(y_rest).enumerate() {
        sums[lane] += a * b;
    }
    let mut width = LANES_F64 / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_integers_multiply_exactly_at_every_length() {
        for length in 0_u16..70 {
            let x: Vec<f32> = (0..length).map(|i| f32::from(i % 7) - 3.0).collect();
            let y: Vec<f32> = (0..length).map(|i| f32::from(i % 5)).collect();
            let exact: i32 = (0..i32::from(length)).map(|i| (i % 7 - 3) * (i % 5)).sum();
            assert!((f64::from(dot_f32(&x, &y)) - f64::from(exact)).abs() < 1e-9, "f32, length {length}");
            let (x, y): (Vec<f64>, Vec<f64>) =
                (x.into_iter().map(f64::from).collect(), y.into_iter().map(f64::from).collect());
            assert!((dot_f64(&x, &y) - f64::from(exact)).abs() < 1e-9, "f64, length {length}");
        }
    }
}
