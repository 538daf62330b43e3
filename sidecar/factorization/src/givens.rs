//! Rotations in the planes of adjacent rows. They are batched and then applied to one strip of
//! columns at a time: a strip stays in the cache while many rotations are applied to it, and strips
//! are rotated on several threads. Columns are independent, so the result is that of sequential
//! rotations.

use rayon::prelude::*;

use crate::{
    simd::{self, Kernel},
    tile::{Lanes, TILE as LANES, load, store},
};

/// Columns per strip; a multiple of [`LANES`].
const STRIP: usize = 4 * LANES;
/// Maximum number of pending rotations.
const PENDING_MAX: usize = 1 << 14;

/// (x, y) ← (cx − sy, sx + cy) for a row and the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GivensRotation {
    pub(crate) row: usize,
    pub(crate) sine: f64,
    pub(crate) cosine: f64,
}

/// A square matrix in strips of columns, with its pending rotations.
#[derive(Debug)]
pub(crate) struct BatchedRotations {
    /// Consecutive strips, each rows × [`STRIP`]; the last is padded with zeros.
    strips: Vec<f64>,
    order: usize,
    pending: Vec<GivensRotation>,
}

impl BatchedRotations {
    /// From a matrix (`order` × `order`) in row-major order.
    pub(crate) fn new(rows: &[f64], order: usize) -> Self {
        let mut strips = vec![0.0; order * order.next_multiple_of(STRIP)];
        for (strip, lines) in strips.chunks_exact_mut(order * STRIP).enumerate() {
            for (line, row) in lines.chunks_exact_mut(STRIP).zip(rows.chunks_exact(order)) {
                for (to, from) in line.iter_mut().zip(&row[strip * STRIP..]) {
                    *to = *from;
                }
            }
        }
        Self { strips, order, pending: Vec::new() }
    }

    /// Queues a rotation of a row and the next, and applies all queued ones once there are
    /// [`PENDING_MAX`].
    pub(crate) fn push(&mut self, rotation: GivensRotation) {
        self.pending.push(rotation);
        if self.pending.len() == PENDING_MAX {
            self.apply();
        }
    }

    fn apply(&mut self) {
        let rotations = &self.pending;
        self.strips.par_chunks_mut(self.order * STRIP).for_each(|strip| simd::run(Strip { strip, rotations }));
        self.pending.clear();
    }

    /// Applies pending rotations and returns the matrix in row-major order.
    pub(crate) fn into_rows(mut self) -> Vec<f64> {
        self.apply();
        let mut rows = vec![0.0; self.order * self.order];
        for (strip, lines) in self.strips.chunks_exact(self.order * STRIP).enumerate() {
            for (line, row) in lines.chunks_exact(STRIP).zip(rows.chunks_exact_mut(self.order)) {
                for (from, to) in line.iter().zip(&mut row[strip * STRIP..]) {
                    *to = *from;
                }
            }
        }
        rows
    }
}

struct Strip<'a> {
    strip: &'a mut [f64],
    rotations: &'a [GivensRotation],
}

impl Kernel for Strip<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { strip, rotations } = self;
        // Consecutive rotations go from lower to upper rows. The upper row of a rotation is the
        // lower row of the next, so it stays in registers.
        for run in rotations.chunk_by(|rotation, next| next.row + 1 == rotation.row) {
            let Some(lowest) = run.first() else { continue };
            let [mut y0, mut y1, mut y2, mut y3] = load_line(strip, lowest.row + 1);
            let mut above = lowest.row + 1;
            for &GivensRotation { row, sine, cosine } in run {
                let [x0, x1, x2, x3] = load_line(strip, row);
                let (up0, down0) = rotated(x0, y0, sine, cosine);
                let (up1, down1) = rotated(x1, y1, sine, cosine);
                let (up2, down2) = rotated(x2, y2, sine, cosine);
                let (up3, down3) = rotated(x3, y3, sine, cosine);
                store_line(strip, row + 1, [down0, down1, down2, down3]);
                [y0, y1, y2, y3] = [up0, up1, up2, up3];
                above = row;
            }
            store_line(strip, above, [y0, y1, y2, y3]);
        }
    }
}

#[inline(always)]
fn load_line(strip: &[f64], row: usize) -> [Lanes; 4] {
    let line = &strip[row * STRIP..(row + 1) * STRIP];
    [load(line, 0), load(line, LANES), load(line, 2 * LANES), load(line, 3 * LANES)]
}

#[inline(always)]
fn store_line(strip: &mut [f64], row: usize, [l0, l1, l2, l3]: [Lanes; 4]) {
    let line = &mut strip[row * STRIP..(row + 1) * STRIP];
    store(line, 0, l0);
    store(line, LANES, l1);
    store(line, 2 * LANES, l2);
    store(line, 3 * LANES, l3);
}

/// Applies a rotation; see [`GivensRotation`].
#[inline(always)]
fn rotated(mut x: Lanes, mut y: Lanes, sine: f64, cosine: f64) -> (Lanes, Lanes) {
    for lane in 0..LANES {
        let old = x[lane];
        x[lane] = cosine.mul_add(old, -(sine * y[lane]));
        y[lane] = sine.mul_add(old, cosine * y[lane]);
    }
    (x, y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{below, normal, word};

    #[test]
    fn batches_equal_sequential_rotations_on_any_instruction_set() {
        let order = 40;
        let mut rows: Vec<f64> = (0..order * order).map(|i| normal(1, i as u64, 0)).collect();
        let mut rotations = BatchedRotations::new(&rows, order);
        // Runs of several lengths, and jumps.
        let list: Vec<GivensRotation> = (0..PENDING_MAX as u64 + 500)
            .scan(20, |row, i| {
                *row = if i % 9 == 0 || *row == 0 { below(word(2, i, 0), order - 1) } else { *row - 1 };
                let (sine, cosine) = normal(3, i, 0).sin_cos();
                Some(GivensRotation { row: *row, sine, cosine })
            })
            .collect();
        let mut scalar = rotations.strips.clone();
        for strip in scalar.chunks_exact_mut(order * STRIP) {
            Strip { strip, rotations: &list }.run();
        }
        for &rotation in &list {
            rotations.push(rotation);
            let GivensRotation { row, sine, cosine } = rotation;
            for column in 0..order {
                let (x, y) = (rows[row * order + column], rows[(row + 1) * order + column]);
                rows[row * order + column] = cosine.mul_add(x, -(sine * y));
                rows[(row + 1) * order + column] = sine.mul_add(x, cosine * y);
            }
        }
        assert_eq!(BatchedRotations { strips: scalar, order, pending: Vec::new() }.into_rows(), rows);
        assert_eq!(rotations.into_rows(), rows);
    }
}
