//! Inner loop of all work of cubic cost: C ± PᵀQ on the upper triangle of a square matrix, one
//! register tile at a time.
//!
//! Matrices are row-major and padded: their order and stride is a multiple of [`TILE`]. The
//! products of each element are added in the order of the rows of P and Q, so the result does not
//! depend on the tiling.
//!
//! Tiles are unrolled row by row, so that the compiler keeps them in vector registers. It does not
//! do so for loops over an array of arrays.

/// Padding unit, and columns of a tile.
pub(crate) const TILE: usize = 8;
/// Rows of a tile; with [`TILE`] columns it fits the sixteen vector registers of AVX2.
pub(crate) const TILE_ROWS: usize = 4;

/// One row of a tile.
pub(crate) type Lanes = [f64; TILE];

/// Order of the padded matrix for this many factors.
pub(crate) const fn padded(factors: usize) -> usize {
    factors.next_multiple_of(TILE)
}

/// Loads eight entries starting at `at`.
#[inline(always)]
pub(crate) fn load(line: &[f64], at: usize) -> Lanes {
    *line[at..].first_chunk().expect("padded lines are a multiple of the lanes")
}

/// Stores eight entries starting at `at`.
#[inline(always)]
pub(crate) fn store(line: &mut [f64], at: usize, lanes: Lanes) {
    line[at..at + TILE].copy_from_slice(&lanes);
}

/// sum + p·q, rounded once.
#[inline(always)]
pub(crate) fn multiply_add(p: f64, q: Lanes, mut sum: Lanes) -> Lanes {
    for lane in 0..TILE {
        sum[lane] = p.mul_add(q[lane], sum[lane]);
    }
    sum
}

/// Four rows of eight columns.
pub(crate) type Tile = [Lanes; TILE_ROWS];

/// Loads the tile whose first row is the first line of `lines` and whose first column is `column`.
#[inline(always)]
pub(crate) fn load_tile(lines: &[f64], column: usize, order: usize) -> Tile {
    [load(lines, column), load(lines, order + column), load(lines, 2 * order + column), load(lines, 3 * order + column)]
}

/// Stores the tile at the first line of `lines` and `column`.
#[inline(always)]
pub(crate) fn store_tile(lines: &mut [f64], column: usize, order: usize, tile: Tile) {
    store(lines, column, tile[0]);
    store(lines, order + column, tile[1]);
    store(lines, 2 * order + column, tile[2]);
    store(lines, 3 * order + column, tile[3]);
}

/// The tile plus PᵀQ for the columns `row..` of P and `column..` of Q, (any number) × `order`;
/// minus with `SUBTRACT`.
#[inline(always)]
pub(crate) fn multiply<const SUBTRACT: bool>(
    tile: Tile,
    (p, row): (&[f64], usize),
    (q, column): (&[f64], usize),
    order: usize,
) -> Tile {
    let sign = |p: f64| if SUBTRACT { -p } else { p };
    let [mut t0, mut t1, mut t2, mut t3] = tile;
    for (p, q) in p.chunks_exact(order).zip(q.chunks_exact(order)) {
        let p: &[f64; TILE_ROWS] = p[row..].first_chunk().expect("the order is a multiple of the tile rows");
        let q = load(q, column);
        t0 = multiply_add(sign(p[0]), q, t0);
        t1 = multiply_add(sign(p[1]), q, t1);
        t2 = multiply_add(sign(p[2]), q, t2);
        t3 = multiply_add(sign(p[3]), q, t3);
    }
    [t0, t1, t2, t3]
}

/// Adds PᵀQ to the upper triangle of the matrix (`order` × `order`). Entries below the diagonal
/// become undefined.
#[inline(always)]
pub(crate) fn add_products(matrix: &mut [f64], order: usize, p: &[f64], q: &[f64]) {
    for (row, lines) in (0..order).step_by(TILE_ROWS).zip(matrix.chunks_exact_mut(TILE_ROWS * order)) {
        for column in (row / TILE * TILE..order).step_by(TILE) {
            let tile = multiply::<false>(load_tile(lines, column, order), (p, row), (q, column), order);
            store_tile(lines, column, order, tile);
        }
    }
}
