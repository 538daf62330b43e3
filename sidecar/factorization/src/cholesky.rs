//! Solves a symmetric positive definite system in place, four rows at a time (Golub and Van Loan,
//! Matrix Computations, section 4.2: the left-looking form; here A = UᵀU, which keeps the long
//! index contiguous).

use crate::tile::{Lanes, TILE, TILE_ROWS, Tile, load, load_tile, multiply, multiply_add, store, store_tile};

/// The matrix is not positive definite to working precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotPositiveDefinite;

/// Solves A x = b. `matrix` is padded (see [`crate::tile`]); its upper triangle is read and
/// overwritten. `x`, of the padded length, holds b and becomes x. Returns bᵀx, which is not
/// negative.
#[inline(always)]
pub(crate) fn solve(matrix: &mut [f64], x: &mut [f64]) -> Result<f64, NotPositiveDefinite> {
    let product = factor(matrix, x)?;
    substitute_backward(matrix, x);
    Ok(product)
}

/// First half of [`solve`]: the upper triangle becomes the factor U, and x becomes U⁻ᵀb. Returns
/// the squared norm of U⁻ᵀb, which is bᵀA⁻¹b.
#[inline(always)]
pub(crate) fn factor(matrix: &mut [f64], x: &mut [f64]) -> Result<f64, NotPositiveDefinite> {
    let order = x.len();
    debug_assert!(order.is_multiple_of(TILE) && matrix.len() == order * order, "the matrix is padded");
    // A pivot is what elimination leaves of a diagonal entry. Below this fraction of the entry it
    // is rounding error.
    let precision = order as f64 * f64::EPSILON;
    let mut product = 0.0;
    for row in (0..order).step_by(TILE_ROWS) {
        let (above, rest) = matrix.split_at_mut(row * order);
        let lines = &mut rest[..TILE_ROWS * order];
        let mut diagonal = [0.0; TILE_ROWS];
        for (i, entry) in diagonal.iter_mut().enumerate() {
            *entry = lines[i * order + row + i];
        }
        let column = row / TILE * TILE;
        let tile = multiply::<true>(load_tile(lines, column, order), (above, row), (above, column), order);
        let corner = Corner::factor(tile, row - column, diagonal.map(|entry| precision * entry))?;
        // The columns of the corner itself become part of the factor like all others; values below
        // the diagonal are rounding errors.
        let tile = corner.solve_tile(tile);
        store_tile(lines, column, order, tile);
        let solved = corner.solve_entries(*x[row..].first_chunk().expect("the order is a multiple of the tile rows"));
        x[row..row + TILE_ROWS].copy_from_slice(&solved);
        for z in solved {
            product = z.mul_add(z, product);
        }
        for at in row + TILE_ROWS..column + TILE {
            for (line, z) in tile.iter().zip(solved) {
                x[at] = (-z).mul_add(line[at - column], x[at]);
            }
        }
        for column in (column + TILE..order).step_by(TILE) {
            let tile = multiply::<true>(load_tile(lines, column, order), (above, row), (above, column), order);
            let tile = corner.solve_tile(tile);
            store_tile(lines, column, order, tile);
            let mut entries = load(x, column);
            entries = multiply_add(-solved[0], tile[0], entries);
            entries = multiply_add(-solved[1], tile[1], entries);
            entries = multiply_add(-solved[2], tile[2], entries);
            entries = multiply_add(-solved[3], tile[3], entries);
            store(x, column, entries);
        }
    }
    Ok(product)
}

/// Second half of [`solve`]: x becomes U⁻¹x.
#[inline(always)]
pub(crate) fn substitute_backward(matrix: &[f64], x: &mut [f64]) {
    let order = x.len();
    for row in (0..order).rev() {
        solve_backward(&matrix[row * order..(row + 1) * order], row, x);
    }
}

/// Solves A x = b with the factor that [`solve`] left in place of its matrix.
#[inline(always)]
pub(crate) fn solve_again(factor: &[f64], x: &mut [f64]) {
    let order = x.len();
    for row in 0..order {
        let line = &factor[row * order..(row + 1) * order];
        let (head, tail) = x.split_at_mut(row + 1);
        let z = head[row] / line[row];
        head[row] = z;
        for (x, u) in tail.iter_mut().zip(&line[row + 1..]) {
            *x = (-z).mul_add(*u, *x);
        }
    }
    for row in (0..order).rev() {
        solve_backward(&factor[row * order..(row + 1) * order], row, x);
    }
}

/// Factor of a 4 × 4 block on the diagonal.
#[derive(Clone, Copy)]
struct Corner {
    /// Reciprocal diagonal.
    inverse: [f64; TILE_ROWS],
    u01: f64,
    u02: f64,
    u03: f64,
    u12: f64,
    u13: f64,
    u23: f64,
}

impl Corner {
    /// Factors the block at lane `at` (0 or 4) of a tile. Each pivot must exceed its `smallest`.
    #[inline(always)]
    fn factor(tile: Tile, at: usize, smallest: [f64; TILE_ROWS]) -> Result<Self, NotPositiveDefinite> {
        // The comparison rejects NaN, too.
        let inverse = |pivot: f64, smallest: f64| {
            if pivot > smallest && pivot.is_finite() { Ok(1.0 / pivot.sqrt()) } else { Err(NotPositiveDefinite) }
        };
        let a = |i: usize, j: usize| tile[i][at + j];
        let i0 = inverse(a(0, 0), smallest[0])?;
        let (u01, u02, u03) = (a(0, 1) * i0, a(0, 2) * i0, a(0, 3) * i0);
        let i1 = inverse((-u01).mul_add(u01, a(1, 1)), smallest[1])?;
        let u12 = (-u01).mul_add(u02, a(1, 2)) * i1;
        let u13 = (-u01).mul_add(u03, a(1, 3)) * i1;
        let i2 = inverse((-u12).mul_add(u12, (-u02).mul_add(u02, a(2, 2))), smallest[2])?;
        let u23 = (-u12).mul_add(u13, (-u02).mul_add(u03, a(2, 3))) * i2;
        let pivot = (-u23).mul_add(u23, (-u13).mul_add(u13, (-u03).mul_add(u03, a(3, 3))));
        let i3 = inverse(pivot, smallest[3])?;
        Ok(Self { inverse: [i0, i1, i2, i3], u01, u02, u03, u12, u13, u23 })
    }

    /// Forward substitution of eight columns.
    #[inline(always)]
    fn solve_tile(&self, [t0, t1, t2, t3]: Tile) -> Tile {
        let t0 = scale(t0, self.inverse[0]);
        let t1 = scale(multiply_add(-self.u01, t0, t1), self.inverse[1]);
        let t2 = scale(multiply_add(-self.u12, t1, multiply_add(-self.u02, t0, t2)), self.inverse[2]);
        let t3 = multiply_add(-self.u13, t1, multiply_add(-self.u03, t0, t3));
        let t3 = scale(multiply_add(-self.u23, t2, t3), self.inverse[3]);
        [t0, t1, t2, t3]
    }

    /// Forward substitution of the right-hand side.
    #[inline(always)]
    fn solve_entries(&self, [b0, b1, b2, b3]: [f64; TILE_ROWS]) -> [f64; TILE_ROWS] {
        let z0 = b0 * self.inverse[0];
        let z1 = (-self.u01).mul_add(z0, b1) * self.inverse[1];
        let z2 = (-self.u12).mul_add(z1, (-self.u02).mul_add(z0, b2)) * self.inverse[2];
        let z3 = (-self.u23).mul_add(z2, (-self.u13).mul_add(z1, (-self.u03).mul_add(z0, b3))) * self.inverse[3];
        [z0, z1, z2, z3]
    }
}

#[inline(always)]
fn scale(mut lanes: Lanes, factor: f64) -> Lanes {
    for lane in &mut lanes {
        *lane *= factor;
    }
    lanes
}

/// Backward substitution of entry `row`, given its row of the factor and all later entries.
#[inline(always)]
fn solve_backward(line: &[f64], row: usize, x: &mut [f64]) {
    let whole = (row + 1).next_multiple_of(TILE);
    let mut sums = [0.0; TILE];
    for (u, entries) in line[whole..].chunks_exact(TILE).zip(x[whole..].chunks_exact(TILE)) {
        for lane in 0..TILE {
            sums[lane] = u[lane].mul_add(entries[lane], sums[lane]);
        }
    }
    let mut sum = ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
    for at in row + 1..whole {
        sum = line[at].mul_add(x[at], sum);
    }
    x[row] = (x[row] - sum) / line[row];
}
