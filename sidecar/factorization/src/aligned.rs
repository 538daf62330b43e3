//! Matrices that begin where a line of the cache does. With rows of whole lanes no vector then lies in two lines, which would take
//! two loads: allocators align to a quarter of that.

use ndarray::{Array1, Array2, LinalgScalar, s};
use rayon::prelude::*;

/// Bytes of a line.
const LINE: usize = 64;

/// Zeros (rows × columns), in standard layout.
pub(crate) fn zeros<T: LinalgScalar>(rows: usize, columns: usize) -> Array2<T> {
    let (length, spare) = (rows * columns, LINE / size_of::<T>());
    let storage = Array1::<T>::zeros(length + spare);
    let start = storage.as_ptr().align_offset(LINE).min(spare);
    storage.slice_move(s![start..start + length]).into_shape_with_order((rows, columns)).expect("it is in one piece")
}

/// A matrix whose rows `fill` makes of zeros, each by its number alone, on the ambient rayon pool.
pub(crate) fn filled(rows: usize, columns: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Array2<f32> {
    let mut matrix = zeros(rows, columns);
    let lines = matrix.as_slice_mut().expect("just made in standard layout").par_chunks_mut(columns.max(1));
    lines.enumerate().for_each(|(row, line)| fill(row, line));
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_on_a_line() {
        for (rows, columns) in [(1, 1), (3, 48), (100_000, 16)] {
            let (narrow, wide) = (zeros::<f32>(rows, columns), zeros::<f64>(rows, columns));
            assert_eq!((narrow.dim(), narrow.as_ptr().align_offset(LINE)), ((rows, columns), 0));
            assert_eq!((wide.dim(), wide.as_ptr().align_offset(LINE)), ((rows, columns), 0));
            assert!(narrow.as_slice().is_some_and(|all| all.iter().all(|x| *x == 0.0)));
        }
    }
}
