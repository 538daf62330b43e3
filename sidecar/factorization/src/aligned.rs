//! Matrices that are aligned to cache lines. With rows of whole vectors no vector then spans two
//! lines, which would cost two loads; allocators align to only a quarter of a line.

use ndarray::{Array1, Array2, LinalgScalar, s};
use rayon::prelude::*;

/// Bytes in a cache line.
const LINE_BYTES: usize = 64;

/// A zero matrix (rows × columns) in standard layout.
pub(crate) fn zeros<T: LinalgScalar>(rows: usize, columns: usize) -> Array2<T> {
    let (length, spare) = (rows * columns, LINE_BYTES / size_of::<T>());
    let storage = Array1::<T>::zeros(length + spare);
    let start = storage.as_ptr().align_offset(LINE_BYTES).min(spare);
    storage.slice_move(s![start..start + length]).into_shape_with_order((rows, columns)).expect("contiguous storage")
}

/// A matrix whose zeroed rows `fill` overwrites in parallel, given only the row index.
pub(crate) fn filled(rows: usize, columns: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Array2<f32> {
    let mut matrix = zeros(rows, columns);
    let lines = matrix.as_slice_mut().expect("a new matrix is in standard layout").par_chunks_mut(columns.max(1));
    lines.enumerate().for_each(|(row, line)| fill(row, line));
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_are_aligned_to_cache_lines() {
        for (rows, columns) in [(1, 1), (3, 48), (100_000, 16)] {
            let (single, double) = (zeros::<f32>(rows, columns), zeros::<f64>(rows, columns));
            assert_eq!((single.dim(), single.as_ptr().align_offset(LINE_BYTES)), ((rows, columns), 0));
            assert_eq!((double.dim(), double.as_ptr().align_offset(LINE_BYTES)), ((rows, columns), 0));
            assert!(single.as_slice().is_some_and(|all| all.iter().all(|x| *x == 0.0)));
        }
    }
}
