//! Norms of a row, of its code and of the residual, in double precision.

use crate::simd::{self, Kernel};

/// ‖x‖², ‖x̂‖² and ‖x − x̂‖² of a row.
pub(super) fn sum_of_squares(row: &[f32], levels: &[f32], scale: f32) -> [f64; 3] {
    simd::run(SumOfSquares { row, levels, scale })
}

struct SumOfSquares<'a> {
    row: &'a [f32],
    levels: &'a [f32],
    scale: f32,
}

impl Kernel for SumOfSquares<'_> {
    type Output = [f64; 3];

    #[inline(always)]
    fn run(self) -> [f64; 3] {
        const LANES: usize = 8;
        let Self { row, levels, scale } = self;
        let mut sums = [[0.0_f64; LANES]; 3];
        let mut add = |row: &[f32], levels: &[f32]| {
            for (lane, (x, level)) in row.iter().zip(levels).enumerate() {
                // Exact: a scale has eight bits and a level four.
                let (x, coded) = (f64::from(*x), f64::from(*level * scale));
                let residual = x - coded;
                sums[0][lane] = x.mul_add(x, sums[0][lane]);
                sums[1][lane] = coded.mul_add(coded, sums[1][lane]);
                sums[2][lane] = residual.mul_add(residual, sums[2][lane]);
            }
        };
        let ((row, row_rest), (levels, levels_rest)) = (row.as_chunks::<LANES>(), levels.as_chunks::<LANES>());
        row.iter().zip(levels).for_each(|(row, levels)| add(row, levels));
        add(row_rest, levels_rest);
        sums.map(|lanes| lanes.iter().sum())
    }
}
