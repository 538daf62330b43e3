//! Inner products over a fixed number of virtual lanes. The compiler may use any vector width; the
//! order of additions stays the same.

use crate::simd::{self, Kernel};

/// Lanes of an inner product.
const LANES: usize = 16;

/// Sums plus x·y per lane, rounded once. Arrays by value keep the lanes in vector registers.
#[inline(always)]
fn multiply_add(x: &[f32; LANES], y: &[f32; LANES], mut sums: [f32; LANES]) -> [f32; LANES] {
    for lane in 0..LANES {
        sums[lane] = x[lane].mul_add(y[lane], sums[lane]);
    }
    sums
}

/// ⟨x, y⟩ of two rows of equal length.
#[inline(always)]
pub(crate) fn dot(x: &[f32], y: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let (x_blocks, x_rest) = x.as_chunks::<LANES>();
    let (y_blocks, y_rest) = y.as_chunks::<LANES>();
    for (x, y) in x_blocks.iter().zip(y_blocks) {
        sums = multiply_add(x, y, sums);
    }
    if !x_rest.is_empty() {
        let (mut x, mut y) = ([0.0; LANES], [0.0; LANES]);
        x[..x_rest.len()].copy_from_slice(x_rest);
        y[..y_rest.len()].copy_from_slice(y_rest);
        sums = multiply_add(&x, &y, sums);
    }
    let mut eight = [0.0; 8];
    for lane in 0..8 {
        eight[lane] = sums[lane] + sums[lane + 8];
    }
    let mut four = [0.0; 4];
    for lane in 0..4 {
        four[lane] = eight[lane] + eight[lane + 4];
    }
    (four[0] + four[2]) + (four[1] + four[3])
}

/// Inner products of a query with consecutive rows, one for each of `products`.
pub(crate) fn dots(query: &[f32], rows: &[f32], products: &mut [f32]) {
    simd::run(Dots { query, rows, products });
}

struct Dots<'a> {
    query: &'a [f32],
    rows: &'a [f32],
    products: &'a mut [f32],
}

impl Kernel for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (product, row) in self.products.iter_mut().zip(self.rows.chunks_exact(self.query.len().max(1))) {
            *product = dot(self.query, row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::normal;

    #[test]
    fn small_integers_multiply_exactly_at_every_length() {
        for length in 0_u16..70 {
            let x: Vec<f32> = (0..length).map(|i| f32::from(i % 7) - 3.0).collect();
            let y: Vec<f32> = (0..length).map(|i| f32::from(i % 5)).collect();
            let exact: i32 = (0..i32::from(length)).map(|i| (i % 7 - 3) * (i % 5)).sum();
            let mut products = [0.0; 2];
            dots(&x, &[y.clone(), y].concat(), &mut products);
            for product in products {
                assert!((f64::from(product) - f64::from(exact)).abs() < 1e-9, "length {length}");
            }
        }
    }

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "test data may be rounded")]
    fn every_instruction_set_gives_the_same_bits() {
        let (query, rows): (Vec<f32>, Vec<f32>) = {
            let draw = |stream: u64, length: u64| (0..length).map(|i| normal(1, stream, i) as f32).collect();
            (draw(0, 67), draw(1, 67 * 5))
        };
        let (mut vectorized, mut scalar) = ([0.0_f32; 5], [0.0_f32; 5]);
        dots(&query, &rows, &mut vectorized);
        Dots { query: &query, rows: &rows, products: &mut scalar }.run();
        assert_eq!(vectorized.map(f32::to_bits), scalar.map(f32::to_bits));
    }
}
