//! Solves a symmetric positive definite system in place (Golub and Van Loan, Matrix Computations, section 4.2).

use crate::lanes::dot_f64;

/// The matrix is not positive definite at this column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotPositiveDefinite;

/// Solves A x = b. `matrix` is f × f, row-major, its lower triangle is read and overwritten; `x` holds b and becomes x.
pub(crate) fn solve(matrix: &mut [f64], x: &mut [f64]) -> Result<(), NotPositiveDefinite> {
    let f = x.len();
    debug_assert_eq!(matrix.len(), f * f, "the matrix is factors × factors");
    for i in 0..f {
        let (above, row) = matrix.split_at_mut(i * f);
        for j in 0..i {
            let other = &above[j * f..=j * f + j];
            row[j] = (row[j] - dot_f64(&row[..j], &other[..j])) / other[j];
        }
        let pivot = row[i] - dot_f64(&row[..i], &row[..i]);
        // Written so that NaN fails too.
        if !(pivot > 0.0 && pivot.is_finite()) {
            return Err(NotPositiveDefinite);
        }
        row[i] = libm::sqrt(pivot);
        x[i] = (x[i] - dot_f64(&row[..i], &x[..i])) / row[i];
    }
    for i in (0..f).rev() {
        x[i] /= matrix[i * f + i];
        let xi = x[i];
        let (head, _) = x.split_at_mut(i);
        for (entry, l) in head.iter_mut().zip(&matrix[i * f..i * f + i]) {
            *entry -= l * xi;
        }
    }
    Ok(())
}
