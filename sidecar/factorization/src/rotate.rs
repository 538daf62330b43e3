//! Products XQ of the rows of a factor matrix, in f32: eight rows by sixteen columns at a time. A
//! rotation replaces X.
//!
//! Each element is a chain of fused multiply-adds in the order of Q's rows, so the result depends
//! on neither tiles nor threads.

use ndarray::Array2;
use rayon::prelude::*;

use crate::{
    aligned,
    conjugate_gradient::LANES,
    simd::{self, Kernel},
};

/// Rows per register tile.
pub(crate) const TILE_ROWS: usize = 8;
/// Rows per task; a multiple of [`TILE_ROWS`].
pub(crate) const TASK_ROWS: usize = 256;

/// Multiplies every row of `rows` (any number × `width`) by the matrix (`width` × `width`) from the
/// right, on the ambient rayon pool. `width` is a multiple of [`LANES`].
pub(crate) fn rotate(rows: &mut Array2<f32>, matrix: &[f32]) {
    let width = rows.ncols();
    let rows = rows.as_slice_mut().expect("factor matrices are in standard layout");
    let mut panels = panels(width, width);
    let panels = lanes(&mut panels);
    pack(matrix, panels, width);
    rows.par_chunks_mut(TASK_ROWS * width).for_each_init(
        || vec![0.0; TASK_ROWS * width],
        |copy, rows| {
            let copy = &mut copy[..rows.len()];
            copy.copy_from_slice(rows);
            multiply_rows(copy, panels, rows, width);
        },
    );
}

/// Writes the product of rows (any number × `width`) and a packed matrix (`width` × a multiple of
/// [`LANES`]) to `to` (rows × columns).
pub(crate) fn multiply_rows(from: &[f32], panels: &[Lanes], to: &mut [f32], width: usize) {
    simd::run(Product { from, panels, to, width });
}

/// Zeroed panels for [`pack`].
pub(crate) fn panels(rows: usize, width: usize) -> Array2<f32> {
    aligned::zeros(rows * width / LANES, LANES)
}

/// Lines of panels.
pub(crate) fn lanes(panels: &mut Array2<f32>) -> &mut [Lanes] {
    panels.as_slice_mut().expect("a new matrix is in standard layout").as_chunks_mut().0
}

/// Copies rows (any number × `width`) panel by panel: the first [`LANES`] columns of every row,
/// then the next. Lines of a panel are contiguous; the addresses of unpacked ones would map to few
/// cache sets.
#[inline(always)]
pub(crate) fn pack(rows: &[f32], panels: &mut [Lanes], width: usize) {
    for (column, panel) in (0..width).step_by(LANES).zip(panels.chunks_exact_mut((rows.len() / width).max(1))) {
        for (line, row) in panel.iter_mut().zip(rows.chunks_exact(width)) {
            *line = load(row, column);
        }
    }
}

struct Product<'a> {
    from: &'a [f32],
    /// Panels of the matrix.
    panels: &'a [Lanes],
    to: &'a mut [f32],
    width: usize,
}

/// Columns that are processed together.
pub(crate) type Lanes = [f32; LANES];

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { from, panels, to, width } = self;
        let columns = panels.len() / width * LANES;
        for (column, panel) in (0..columns).step_by(LANES).zip(panels.chunks_exact(width)) {
            let tiles = from.chunks_exact(TILE_ROWS * width).zip(to.chunks_exact_mut(TILE_ROWS * columns));
            for (from, to) in tiles {
                let tile = multiply(from, panel);
                for (lanes, to) in tile.iter().zip(to.chunks_exact_mut(columns)) {
                    to[column..column + LANES].copy_from_slice(lanes);
                }
            }
            let whole = from.len() / (TILE_ROWS * width) * TILE_ROWS;
            let rest = from[whole * width..].chunks_exact(width).zip(to[whole * columns..].chunks_exact_mut(columns));
            for (from, to) in rest {
                let mut sum = [0.0; LANES];
                for (x, q) in from.iter().zip(panel) {
                    sum = multiply_add(*x, *q, sum);
                }
                to[column..column + LANES].copy_from_slice(&sum);
            }
        }
    }
}

/// Eight rows of sixteen columns, unrolled so that they stay in registers; see `tile`.
#[inline(always)]
fn multiply(from: &[f32], panel: &[Lanes]) -> [Lanes; TILE_ROWS] {
    let width = panel.len();
    let row = |i: usize| &from[i * width..(i + 1) * width];
    let (r0, r1, r2, r3, r4, r5, r6, r7) = (row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7));
    let [mut t0, mut t1, mut t2, mut t3, mut t4, mut t5, mut t6, mut t7] = [[0.0; LANES]; TILE_ROWS];
    for (k, &q) in panel.iter().enumerate() {
        t0 = multiply_add(r0[k], q, t0);
        t1 = multiply_add(r1[k], q, t1);
        t2 = multiply_add(r2[k], q, t2);
        t3 = multiply_add(r3[k], q, t3);
        t4 = multiply_add(r4[k], q, t4);
        t5 = multiply_add(r5[k], q, t5);
        t6 = multiply_add(r6[k], q, t6);
        t7 = multiply_add(r7[k], q, t7);
    }
    [t0, t1, t2, t3, t4, t5, t6, t7]
}

/// Lanes of a padded row starting at `at`.
#[inline(always)]
pub(crate) fn load(line: &[f32], at: usize) -> Lanes {
    *line[at..].first_chunk().expect("the line is a multiple of the lanes")
}

/// sum + x·q, rounded once.
#[inline(always)]
pub(crate) fn multiply_add(x: f32, q: Lanes, mut sum: Lanes) -> Lanes {
    for lane in 0..LANES {
        sum[lane] = x.mul_add(q[lane], sum[lane]);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::normal;

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "test data may be rounded")]
    fn rows_are_multiplied_by_a_matrix_of_other_order() {
        let draw = |stream: u64, (n, m): (usize, usize)| {
            Array2::from_shape_fn((n, m), |(i, j)| normal(stream, i as u64, j as u64) as f32)
        };
        let (x, q) = (draw(1, (11, 5)), draw(2, (5, 32)));
        let (mut panels, mut product) = (panels(5, 32), vec![f32::NAN; 11 * 32]);
        let panels = lanes(&mut panels);
        pack(q.as_slice().unwrap(), panels, 32);
        multiply_rows(x.as_slice().unwrap(), panels, &mut product, 5);
        for (fast, exact) in product.iter().zip(&x.mapv(f64::from).dot(&q.mapv(f64::from))) {
            assert!((f64::from(*fast) - exact).abs() <= 1e-5, "{fast} {exact}");
        }
    }

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "test data may be rounded")]
    fn rotation_equals_the_matrix_product_on_any_instruction_set() {
        for (rows, width) in [(0, 16), (1, 16), (7, 32), (600, 48)] {
            let draw = |stream: u64, n: usize| {
                Array2::from_shape_fn((n, width), |(i, j)| normal(stream, i as u64, j as u64) as f32)
            };
            let (x, q) = (draw(1, rows), draw(2, width));
            let product = x.mapv(f64::from).dot(&q.mapv(f64::from));
            let mut vectorized = x.clone();
            rotate(&mut vectorized, q.as_slice().unwrap());
            for (fast, exact) in vectorized.iter().zip(&product) {
                assert!((f64::from(*fast) - exact).abs() <= 1e-5 * width as f64, "{rows} × {width}: {fast} {exact}");
            }
            let (mut scalar, mut panels) = (x.clone(), panels(width, width));
            let panels = lanes(&mut panels);
            pack(q.as_slice().unwrap(), panels, width);
            let (from, to) = (x.as_slice().unwrap(), scalar.as_slice_mut().unwrap());
            Product { from, panels, to, width }.run();
            assert_eq!(scalar, vectorized, "{rows} × {width}");
        }
    }
}
