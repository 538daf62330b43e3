//! Rotates both factor matrices so that the Gram matrix of one of them is diagonal.

use ndarray::{Array2, s};

use crate::{gram::gram_of_padded, rotate::rotate, symmetric_eigen::SymmetricEigen};

/// Rotates both sides (rows × padded factors) into the eigenbasis of the fixed side's Gram matrix,
/// which leaves all inner products unchanged; columns after the factors stay. Returns the
/// eigenvalues in descending order, one per factor, or `None` if the eigendecomposition fails.
pub(crate) fn rotate_into_eigenbasis(
    fixed: &mut Array2<f32>,
    other: &mut Array2<f32>,
    factors: usize,
) -> Option<Vec<f64>> {
    let SymmetricEigen { values, vectors } = SymmetricEigen::decompose(&gram_of(fixed, factors))?;
    let mut order: Vec<usize> = (0..factors).collect();
    order.sort_by(|&i, &j| values[j].total_cmp(&values[i]).then(i.cmp(&j)));
    let width = fixed.ncols();
    let mut matrix = vec![0.0; width * width];
    for (column, &vector) in order.iter().enumerate() {
        for (row, x) in vectors.row(vector).iter().enumerate() {
            #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32")]
            let single = *x as f32;
            matrix[row * width + column] = single;
        }
    }
    for column in factors..width {
        matrix[column * width + column] = 1.0;
    }
    for side in [fixed, other] {
        rotate(side, &matrix);
    }
    // Eigenvalues within rounding error of 0 are set to 0.
    let rounding = values[order[0]].abs() * f64::from(f32::EPSILON);
    Some(order.into_iter().map(|i| if values[i] > rounding { values[i] } else { 0.0 }).collect())
}

/// The Gram matrix of padded rows, without its padding.
fn gram_of(rows: &Array2<f32>, factors: usize) -> Array2<f64> {
    let rows_slice = rows.as_slice().expect("factor matrices are in standard layout");
    gram_of_padded(rows_slice, rows.ncols()).slice(s![..factors, ..factors]).to_owned()
}
