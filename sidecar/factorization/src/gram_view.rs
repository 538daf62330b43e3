//! A Gram matrix with its form. Finding the form scans the whole matrix, which takes milliseconds
//! at 1,024 factors, so a server finds it once for a model and not for each request.

use ndarray::ArrayView2;

/// Which entries of a Gram matrix may differ from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GramForm {
    /// Those of the diagonal, as in a model of implicit ALS.
    Diagonal,
    /// All.
    Full,
}

/// A Gram matrix (factors × factors) and its form.
#[derive(Clone, Copy, Debug)]
pub struct GramView<'a> {
    pub(crate) matrix: ArrayView2<'a, f64>,
    pub(crate) form: GramForm,
}

impl GramForm {
    /// The form of a matrix, found by a scan.
    pub fn of(matrix: ArrayView2<'_, f64>) -> Self {
        let is_diagonal = matrix.indexed_iter().all(|((row, column), x)| row == column || *x == 0.0);
        if is_diagonal { Self::Diagonal } else { Self::Full }
    }
}

impl<'a> GramView<'a> {
    /// A matrix whose form is known: it must be what [`GramForm::of`] returns for it, else
    /// solutions are wrong.
    pub fn with_form(matrix: ArrayView2<'a, f64>, form: GramForm) -> Self {
        Self { matrix, form }
    }
}

impl<'a> From<ArrayView2<'a, f64>> for GramView<'a> {
    /// Finds the form by a scan.
    fn from(matrix: ArrayView2<'a, f64>) -> Self {
        Self { matrix, form: GramForm::of(matrix) }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn a_matrix_is_diagonal_if_nothing_else_differs_from_zero() {
        assert_eq!(GramForm::of(array![[2.0, 0.0], [-0.0, 0.0]].view()), GramForm::Diagonal);
        assert_eq!(GramForm::of(array![[2.0, 0.0], [1e-300, 3.0]].view()), GramForm::Full);
        assert_eq!(GramForm::of(array![[2.0, f64::NAN], [0.0, 3.0]].view()), GramForm::Full);
    }
}
