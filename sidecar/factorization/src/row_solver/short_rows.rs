//! Solves rows with fewer entries than factors exactly, if the Gram matrix is diagonal: the order
//! of the system is the number of entries instead of factors (the Sherman–Morrison–Woodbury
//! identity).
//!
//! With D the diagonal, V the vectors of the entries (n × factors), A and b their quadratic and
//! linear weights, and c = Vᵀb:
//!
//! ```text
//!   (D + VᵀAV)⁻¹ c = D⁻¹ (c − VᵀA½ (I + A½VD⁻¹VᵀA½)⁻¹ A½VD⁻¹c)
//! ```

use super::{BLOCK_ROWS, RowSolver, Scratch};
use crate::{
    cholesky,
    simd::Kernel,
    tile::{add_products, padded},
};

/// Above this trace of A½VD⁻¹VᵀA½ the identity loses digits that the system in the factors keeps.
const TRACE_MAX: f64 = 1e8;

/// Solves one row into `scratch.x`, in f64. Returns the row's terms of the objective, or `None` if
/// the system in the factors is more accurate.
#[derive(Debug)]
pub(crate) struct ShortRow<'a> {
    pub(crate) solver: &'a RowSolver<'a>,
    pub(crate) indexes: &'a [u32],
    pub(crate) weights: &'a [f32],
    pub(crate) scratch: &'a mut Scratch,
}

impl Kernel for ShortRow<'_> {
    type Output = Option<f64>;

    #[inline(always)]
    fn run(self) -> Option<f64> {
        let Self { solver, indexes, weights, scratch } = self;
        let Scratch { matrix, x, block, diagonal, dual, .. } = scratch;
        let order = padded(indexes.len());
        let (matrix, dual) = (&mut matrix[..order * order], &mut dual[..order]);
        let diagonal = &mut diagonal[..solver.params.factors()];
        solver.write_diagonal(indexes.len(), diagonal);
        for d in diagonal.iter_mut() {
            *d = 1.0 / d.sqrt();
        }
        let roots = &*diagonal;
        if roots.iter().any(|root| !root.is_finite()) {
            return None;
        }
        x.fill(0.0);
        for (&index, &weight) in indexes.iter().zip(weights) {
            let linear = solver.params.cell_weights(weight).linear;
            for (x, v) in x.iter_mut().zip(solver.fixed_row(index)) {
                *x = linear.mul_add(f64::from(*v), *x);
            }
        }
        matrix.fill(0.0);
        dual.fill(0.0);
        for (first, roots) in (0..).step_by(BLOCK_ROWS).zip(roots.chunks(BLOCK_ROWS)) {
            // A½VD^-½ of a block of factors, transposed.
            let block = &mut block[..roots.len() * order];
            block.fill(0.0);
            for (entry, (&index, &weight)) in indexes.iter().zip(weights).enumerate() {
                let root = solver.params.cell_weights(weight).quadratic.sqrt();
                let vector = &solver.fixed_row(index)[first..first + roots.len()];
                let mut sum = 0.0;
                for (i, (v, d)) in vector.iter().zip(roots).enumerate() {
                    let v = root * f64::from(*v) * d;
                    block[i * order + entry] = v;
                    sum = v.mul_add(d * x[first + i], sum);
                }
                dual[entry] += sum;
            }
            add_products(matrix, order, block, block);
        }
        let mut trace = 0.0;
        for i in 0..order {
            trace += matrix[i * order + i];
            matrix[i * order + i] += 1.0;
        }
        if trace.is_nan() || trace > TRACE_MAX {
            return None;
        }
        cholesky::solve(matrix, dual).ok()?;
        // bᵀx = cᵀx; c is saved before x overwrites it.
        let mut product = 0.0;
        let c = &mut block[..x.len()];
        c.copy_from_slice(x);
        for (entry, (&index, &weight)) in indexes.iter().zip(weights).enumerate() {
            let coefficient = solver.params.cell_weights(weight).quadratic.sqrt() * dual[entry];
            for (x, v) in x.iter_mut().zip(solver.fixed_row(index)) {
                *x = (-coefficient).mul_add(f64::from(*v), *x);
            }
        }
        for ((x, root), c) in x.iter_mut().zip(roots).zip(&*c) {
            *x *= root * root;
            product = c.mul_add(*x, product);
        }
        Some(-product)
    }
}
