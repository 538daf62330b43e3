//! Rotations in the planes of neighbouring rows, gathered and then applied a strip of columns at a time: a strip stays in the cache
//! while many rotations pass over it, and strips are turned on several threads. Columns do not depend on each other, so the result
//! is that of one rotation after the other.

use rayon::prelude::*;

use crate::{
    simd::{self, Kernel},
    tile::{Lanes, TILE as LANES, load, store},
};

/// Columns of a strip; a multiple of [`LANES`].
const STRIP: usize = 4 * LANES;
/// Rotations that are gathered.
const WAITING_MAX: usize = 1 << 14;

/// (x, y) ← (cx − sy, sx + cy) of a row and the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) row: usize,
    pub(crate) sine: f64,
    pub(crate) cosine: f64,
}

/// A square matrix in strips of its columns, and what it waits for.
#[derive(Debug)]
pub(crate) struct Turns {
    /// Strips one after the other, each rows × [`STRIP`]; the last is padded with zeros.
    strips: Vec<f64>,
    order: usize,
    waiting: Vec<Turn>,
}

impl Turns {
    /// Of a matrix (`order` × `order`).
    pub(crate) fn of(rows: &[f64], order: usize) -> Self {
        let mut strips = vec![0.0; order * order.next_multiple_of(STRIP)];
        for (strip, lines) in strips.chunks_exact_mut(order * STRIP).enumerate() {
            for (line, row) in lines.chunks_exact_mut(STRIP).zip(rows.chunks_exact(order)) {
                for (to, from) in line.iter_mut().zip(&row[strip * STRIP..]) {
                    *to = *from;
                }
            }
        }
        Self { strips, order, waiting: Vec::new() }
    }

    /// Turns a row and the next, sooner or later.
    pub(crate) fn push(&mut self, turn: Turn) {
        self.waiting.push(turn);
        if self.waiting.len() == WAITING_MAX {
            self.apply();
        }
    }

    fn apply(&mut self) {
        let turns = &self.waiting;
        self.strips.par_chunks_mut(self.order * STRIP).for_each(|strip| simd::run(Strip { strip, turns }));
        self.waiting.clear();
    }

    /// The matrix, everything turned.
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
    turns: &'a [Turn],
}

impl Kernel for Strip<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { strip, turns } = self;
        // From below to above: what a turn leaves of its row, the next takes as its lower row, and it stays in registers.
        for climb in turns.chunk_by(|turn, next| next.row + 1 == turn.row) {
            let Some(lowest) = climb.first() else { continue };
            let [mut y0, mut y1, mut y2, mut y3] = load_line(strip, lowest.row + 1);
            let mut above = lowest.row + 1;
            for &Turn { row, sine, cosine } in climb {
                let [x0, x1, x2, x3] = load_line(strip, row);
                let (up0, down0) = turned(x0, y0, sine, cosine);
                let (up1, down1) = turned(x1, y1, sine, cosine);
                let (up2, down2) = turned(x2, y2, sine, cosine);
                let (up3, down3) = turned(x3, y3, sine, cosine);
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

/// See [`Turn`].
#[inline(always)]
fn turned(mut x: Lanes, mut y: Lanes, sine: f64, cosine: f64) -> (Lanes, Lanes) {
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
    fn it_is_one_turn_after_the_other_on_any_instruction_set() {
        let order = 40;
        let mut rows: Vec<f64> = (0..order * order).map(|i| normal(1, i as u64, 0)).collect();
        let mut turns = Turns::of(&rows, order);
        // Climbs of several lengths, and jumps.
        let list: Vec<Turn> = (0..WAITING_MAX as u64 + 500)
            .scan(20, |row, i| {
                *row = if i % 9 == 0 || *row == 0 { below(word(2, i, 0), order - 1) } else { *row - 1 };
                let (sine, cosine) = normal(3, i, 0).sin_cos();
                Some(Turn { row: *row, sine, cosine })
            })
            .collect();
        let mut narrow = turns.strips.clone();
        for strip in narrow.chunks_exact_mut(order * STRIP) {
            Strip { strip, turns: &list }.run();
        }
        for &turn in &list {
            turns.push(turn);
            let Turn { row, sine, cosine } = turn;
            for column in 0..order {
                let (x, y) = (rows[row * order + column], rows[(row + 1) * order + column]);
                rows[row * order + column] = cosine.mul_add(x, -(sine * y));
                rows[(row + 1) * order + column] = sine.mul_add(x, cosine * y);
            }
        }
        assert_eq!(Turns { strips: narrow, order, waiting: Vec::new() }.into_rows(), rows);
        assert_eq!(turns.into_rows(), rows);
    }
}
