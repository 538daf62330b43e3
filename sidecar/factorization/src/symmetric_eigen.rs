//! Eigenvalues and eigenvectors of a symmetric matrix, in f64: Householder tridiagonalization, then
//! the implicit QL iteration (Golub and Van Loan, "Matrix Computations", sections 8.3.1 and 8.3.3),
//! on the ambient rayon pool.
//!
//! Vectors are stored in rows, so that every inner loop reads memory in order, and rows are padded
//! with zeros to whole tiles. Work of cubic cost is split by independent rows or columns, so the
//! result depends on neither threads nor instructions.

use ndarray::{Array2, s};
use rayon::prelude::*;

use crate::{
    aligned,
    givens::{BatchedRotations, GivensRotation},
    simd::{self, Kernel},
    tile::{Lanes, TILE as LANES, TILE_ROWS as ROWS, load, multiply_add, padded, store},
};

/// Maximum number of QL shifts per eigenvalue, on average; two are typical.
const SHIFTS_PER_EIGENVALUE_MAX: usize = 60;
/// Rows per task.
const TASK_ROWS: usize = 32;
/// Minimum number of elements of a parallel pass. A smaller one is faster than waking another
/// thread.
const PARALLEL_MIN: usize = 1 << 16;

/// A = QΛQᵀ.
#[derive(Clone, Debug)]
pub(crate) struct SymmetricEigen {
    /// Λ, unordered.
    pub(crate) values: Vec<f64>,
    /// Qᵀ: one eigenvector per row.
    pub(crate) vectors: Array2<f64>,
}

impl SymmetricEigen {
    /// Decomposes a symmetric matrix (n × n). `None` if it is not finite or the iteration does not
    /// converge.
    pub(crate) fn decompose(matrix: &Array2<f64>) -> Option<Self> {
        if matrix.iter().any(|x| !x.is_finite()) {
            return None;
        }
        let n = matrix.nrows();
        let order = padded(n.max(1));
        let mut a = aligned::zeros(order, order);
        a.slice_mut(s![..n, ..n]).assign(matrix);
        let a = a.as_slice_mut().expect("a new matrix is in standard layout");
        let Diagonals { mut values, mut subdiagonal, scales } = tridiagonalize(a, order, n);
        let mut rotations = BatchedRotations::new(&product_of_reflections(a, order, &scales), order);
        implicit_ql(&mut values, &mut subdiagonal, &mut rotations)?;
        let vectors = Array2::from_shape_vec((order, order), rotations.into_rows()).ok()?;
        Some(Self { values, vectors: vectors.slice(s![..n, ..n]).to_owned() })
    }
}

/// Result of the tridiagonalization besides the vectors of its reflections; n elements each.
struct Diagonals {
    values: Vec<f64>,
    /// Its last element is 0.
    subdiagonal: Vec<f64>,
    /// sᵢ; 0 if there is no i-th reflection.
    scales: Vec<f64>,
}

/// Tridiagonalizes the first n rows and columns of `a` (`order` × `order`) by reflections I − sᵢ
/// vᵢvᵢᵀ. Leaves vᵢ in row i, which is 0 up to the diagonal.
///
/// A reflection is A ← A − v wᵀ − w vᵀ with w = s(Av) − (s²/2)(vᵀAv)v. Each is applied in the same
/// pass over the matrix as the next reflection's product with A. Vectors are 0 for rows that are
/// already reduced, which therefore stay unchanged.
fn tridiagonalize(a: &mut [f64], order: usize, n: usize) -> Diagonals {
    let (mut values, mut subdiagonal, mut scales) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    let [mut v, mut w, mut next, mut image] = [(); 4].map(|()| vec![0.0; order]);
    for i in 0..n {
        let row = &mut a[i * order..(i + 1) * order];
        let (vi, wi): (f64, f64) = (std::mem::take(&mut v[i]), std::mem::take(&mut w[i]));
        for ((x, v), w) in row[i..].iter_mut().zip(&v[i..]).zip(&w[i..]) {
            *x -= wi * *v + vi * *w;
        }
        values[i] = row[i] - 2.0 * vi * wi;
        let reflection = Reflection::reducing(&row[i + 1..n]);
        subdiagonal[i] = reflection.as_ref().map_or_else(|| row[i + 1..n].first().copied().unwrap_or(0.0), |r| r.alpha);
        row.fill(0.0);
        next.fill(0.0);
        if let Some(reflection) = &reflection {
            row[i + 1..n].copy_from_slice(&reflection.v);
            next[i + 1..n].copy_from_slice(&reflection.v);
            scales[i] = reflection.scale;
        }
        pass(a, order, i + 1, [&v, &w, &next], &mut image);
        for x in &mut image {
            *x *= scales[i];
        }
        let half = -0.5 * scales[i] * dot(&next, &image);
        for ((w, image), v) in w.iter_mut().zip(&image).zip(&next) {
            *w = image + half * v;
        }
        w[..=i].fill(0.0);
        std::mem::swap(&mut v, &mut next);
    }
    Diagonals { values, subdiagonal, scales }
}

/// I − s vvᵀ, which maps a row to (α, 0, 0, …).
struct Reflection {
    v: Vec<f64>,
    scale: f64,
    alpha: f64,
}

impl Reflection {
    /// The reflection that reduces a row; `None` if the row already has that form.
    fn reducing(row: &[f64]) -> Option<Self> {
        let (first, rest) = row.split_first()?;
        if rest.iter().all(|x| *x == 0.0) {
            return None;
        }
        // Scaling avoids underflow and overflow of the squares.
        let max = row.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        let mut v: Vec<f64> = row.iter().map(|x| x / max).collect();
        let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        let alpha = if *first > 0.0 { -norm } else { norm };
        let scale = 1.0 / (norm * (norm + v[0].abs()));
        v[0] -= alpha;
        Some(Self { v, scale, alpha: alpha * max })
    }
}

/// Subtracts v wᵀ + w vᵀ from the rows and columns of `a` starting at `first`, and multiplies each
/// updated row by `next`.
fn pass(a: &mut [f64], order: usize, first: usize, vectors: [&[f64]; 3], image: &mut [f64]) {
    // Rounds to whole tiles: where the vectors are 0, nothing changes.
    let first = first / LANES * LANES;
    let (lines, image) = (&mut a[first * order..], &mut image[first..]);
    let rows = if (order - first).pow(2) < PARALLEL_MIN { order } else { TASK_ROWS };
    lines.par_chunks_mut(rows * order).zip(image.par_chunks_mut(rows)).enumerate().for_each(
        |(task, (lines, image))| {
            simd::run(Pass { lines, order, column: first, row: first + task * rows, vectors, image });
        },
    );
}

/// See [`pass`].
struct Pass<'a> {
    lines: &'a mut [f64],
    order: usize,
    /// First column of the pass.
    column: usize,
    /// Index of the first line.
    row: usize,
    vectors: [&'a [f64]; 3],
    image: &'a mut [f64],
}

impl Kernel for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { lines, order, column, row, vectors: [v, w, next], image } = self;
        let (vs, ws) = (v[row..].as_chunks::<ROWS>().0, w[row..].as_chunks::<ROWS>().0);
        let blocks = lines.chunks_exact_mut(ROWS * order).zip(image.as_chunks_mut::<ROWS>().0);
        for ((block, image), (v_rows, w_rows)) in blocks.zip(vs.iter().zip(ws)) {
            let [l0, l1, l2, l3] = lines_of(block, order);
            let [mut s0, mut s1, mut s2, mut s3] = [[0.0; LANES]; ROWS];
            for at in (column..order).step_by(LANES) {
                let (v, w, next) = (load(v, at), load(w, at), load(next, at));
                let update = |line: &mut [f64], row: usize, sums: Lanes| {
                    let x = multiply_add(-v_rows[row], w, multiply_add(-w_rows[row], v, load(line, at)));
                    store(line, at, x);
                    multiply_add_each(x, next, sums)
                };
                s0 = update(l0, 0, s0);
                s1 = update(l1, 1, s1);
                s2 = update(l2, 2, s2);
                s3 = update(l3, 3, s3);
            }
            *image = [sum(s0), sum(s1), sum(s2), sum(s3)];
        }
    }
}

/// The product of the reflections (`order` × `order`), transposed.
fn product_of_reflections(a: &[f64], order: usize, scales: &[f64]) -> Vec<f64> {
    let mut rows = vec![0.0; order * order];
    rows.par_chunks_mut(TASK_ROWS * order).enumerate().for_each(|(task, lines)| {
        simd::run(Reflected { lines, order, row: task * TASK_ROWS, a, scales });
    });
    rows
}

/// Some rows of the product, initially 0.
struct Reflected<'a> {
    lines: &'a mut [f64],
    order: usize,
    /// Index of the first line.
    row: usize,
    /// vᵢ in row i.
    a: &'a [f64],
    scales: &'a [f64],
}

impl Kernel for Reflected<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { lines, order, row, a, scales } = self;
        for (row, block) in (row..order).step_by(ROWS).zip(lines.chunks_exact_mut(ROWS * order)) {
            for (line, block) in block.chunks_exact_mut(order).enumerate() {
                block[row + line] = 1.0;
            }
            let [l0, l1, l2, l3] = lines_of(block, order);
            // Before the i-th reflection only rows and columns after i differ from the identity.
            for i in (0..scales.len().min(row + ROWS)).rev().filter(|i| scales[*i] != 0.0) {
                let (v, begin) = (&a[i * order..(i + 1) * order], i / LANES * LANES);
                let [mut s0, mut s1, mut s2, mut s3] = [[0.0; LANES]; ROWS];
                for at in (begin..order).step_by(LANES) {
                    let v = load(v, at);
                    s0 = multiply_add_each(load(l0, at), v, s0);
                    s1 = multiply_add_each(load(l1, at), v, s1);
                    s2 = multiply_add_each(load(l2, at), v, s2);
                    s3 = multiply_add_each(load(l3, at), v, s3);
                }
                let [p0, p1, p2, p3] = [sum(s0), sum(s1), sum(s2), sum(s3)].map(|product| -scales[i] * product);
                for at in (begin..order).step_by(LANES) {
                    let v = load(v, at);
                    store(l0, at, multiply_add(p0, v, load(l0, at)));
                    store(l1, at, multiply_add(p1, v, load(l1, at)));
                    store(l2, at, multiply_add(p2, v, load(l2, at)));
                    store(l3, at, multiply_add(p3, v, load(l3, at)));
                }
            }
        }
    }
}

/// The lines of a block.
#[inline(always)]
fn lines_of(block: &mut [f64], order: usize) -> [&mut [f64]; ROWS] {
    let (l0, rest) = block.split_at_mut(order);
    let (l1, rest) = rest.split_at_mut(order);
    let (l2, l3) = rest.split_at_mut(order);
    [l0, l1, l2, l3]
}

/// sums + x·y per lane.
#[inline(always)]
fn multiply_add_each(x: Lanes, y: Lanes, mut sums: Lanes) -> Lanes {
    for lane in 0..LANES {
        sums[lane] = x[lane].mul_add(y[lane], sums[lane]);
    }
    sums
}

/// Sum of the lanes, in a fixed tree.
#[inline(always)]
fn sum([a, b, c, d, e, f, g, h]: Lanes) -> f64 {
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// ⟨x, y⟩, summed in order. It is used only for work of linear cost.
fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// Diagonalizes the tridiagonal matrix of `values` and `subdiagonal` by plane rotations, which it
/// pushes to `rotations`. `None` if it does not converge.
fn implicit_ql(values: &mut [f64], subdiagonal: &mut [f64], rotations: &mut BatchedRotations) -> Option<()> {
    let n = values.len();
    let mut shifts_left = SHIFTS_PER_EIGENVALUE_MAX * n;
    for first in 0..n {
        loop {
            // The block that starts at `first` and ends before the next zero of the subdiagonal.
            let last = (first..n.saturating_sub(1))
                .find(|&i| subdiagonal[i].abs() <= f64::EPSILON * (values[i].abs() + values[i + 1].abs()))
                .unwrap_or(n - 1);
            if last == first {
                break;
            }
            shifts_left = shifts_left.checked_sub(1)?;
            // Wilkinson's shift.
            let half = (values[first + 1] - values[first]) / (2.0 * subdiagonal[first]);
            let root = libm::hypot(half, 1.0);
            let mut g = values[last] - values[first] + subdiagonal[first] / (half + root.copysign(half));
            let (mut sine, mut cosine, mut shift) = (1.0, 1.0, 0.0);
            let mut split = false;
            for i in (first..last).rev() {
                let f = sine * subdiagonal[i];
                let b = cosine * subdiagonal[i];
                let r = libm::hypot(f, g);
                subdiagonal[i + 1] = r;
                if r == 0.0 {
                    values[i + 1] -= shift;
                    subdiagonal[last] = 0.0;
                    split = true;
                    break;
                }
                sine = f / r;
                cosine = g / r;
                let g1 = values[i + 1] - shift;
                let t = (values[i] - g1) * sine + 2.0 * cosine * b;
                shift = sine * t;
                values[i + 1] = g1 + shift;
                g = cosine * t - b;
                rotations.push(GivensRotation { row: i, sine, cosine });
            }
            if !split {
                values[first] -= shift;
                subdiagonal[first] = g;
                subdiagonal[last] = 0.0;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::normal;

    fn check(matrix: &Array2<f64>) -> SymmetricEigen {
        let n = matrix.nrows();
        let SymmetricEigen { values, vectors } = SymmetricEigen::decompose(matrix).unwrap();
        let scale = matrix.iter().fold(1e-300_f64, |m, x| m.max(x.abs())) * n as f64;
        let (product, identity) = (vectors.dot(matrix).dot(&vectors.t()), vectors.dot(&vectors.t()));
        for i in 0..n {
            for j in 0..n {
                let (value, one) = if i == j { (values[i], 1.0) } else { (0.0, 0.0) };
                assert!((product[(i, j)] - value).abs() <= 1e-14 * scale, "{n}: {i} {j} {}", product[(i, j)]);
                assert!((identity[(i, j)] - one).abs() <= 1e-13, "{n}: {i} {j}");
            }
        }
        SymmetricEigen { values, vectors }
    }

    #[test]
    fn vectors_diagonalize_and_are_orthonormal() {
        for n in [1, 2, 3, 5, 16, 33, 100] {
            let half = Array2::from_shape_fn((n, n), |(i, j)| normal(3, i as u64, j as u64));
            check(&(&half + &half.t()));
            // A matrix of rank 1, and one whose eigenvalues span twenty decades.
            let rank_1 = Array2::from_shape_fn((n, n), |(i, j)| half[(i, 0)] * half[(j, 0)]);
            check(&rank_1);
            let decades = |i: usize| libm::pow(10.0, 20.0 * i as f64 / n as f64 - 10.0);
            check(&Array2::from_shape_fn((n, n), |(i, j)| half[(i.min(j), i.max(j))] * decades(i) * decades(j)));
        }
    }

    #[test]
    fn the_second_difference_matrix_has_the_known_eigenvalues() {
        // 2 on the diagonal, −1 next to it; the eigenvalues are 2 − 2cos(πk/(n + 1)).
        let n = 50;
        let matrix = Array2::from_shape_fn((n, n), |(i, j)| match i.abs_diff(j) {
            0 => 2.0,
            1 => -1.0,
            _ => 0.0,
        });
        let mut values = check(&matrix).values;
        values.sort_by(f64::total_cmp);
        for (k, value) in values.iter().enumerate() {
            let exact = 2.0 - 2.0 * (std::f64::consts::PI * (k + 1) as f64 / (n + 1) as f64).cos();
            assert!((value - exact).abs() < 1e-13, "{k}: {value} {exact}");
        }
    }

    #[test]
    fn degenerate_and_extreme_matrices_are_decomposed() {
        assert_eq!(check(&Array2::zeros((4, 4))).values, [0.0; 4]);
        assert_eq!(check(&Array2::eye(4)).values, [1.0; 4]);
        check(&Array2::from_elem((7, 7), 1e200));
        check(&Array2::from_elem((7, 7), 1e-200));
        assert!(SymmetricEigen::decompose(&Array2::from_elem((2, 2), f64::NAN)).is_none());
    }

    #[test]
    fn every_instruction_set_and_any_number_of_threads_give_the_same_bits() {
        // Large enough for passes of several tasks.
        let n = 300;
        let half = Array2::from_shape_fn((n, n), |(i, j)| normal(4, i as u64, j as u64));
        let a = &half + &half.t();
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let sequential = pool(1).install(|| SymmetricEigen::decompose(&a)).unwrap();
        let parallel = pool(3).install(|| check(&a));
        assert_eq!((sequential.values, sequential.vectors), (parallel.values, parallel.vectors));

        let order = 40;
        let draw = |stream: u64, n: usize| -> Vec<f64> { (0..n).map(|i| normal(stream, i as u64, 0)).collect() };
        let (a, v, w, next) = (draw(1, order * order), draw(2, order), draw(3, order), draw(4, order));
        let part = |run: &dyn Fn(Pass<'_>)| {
            let (mut lines, mut image) = (a[8 * order..].to_vec(), vec![0.0; order - 8]);
            let vectors = [v.as_slice(), &w, &next];
            run(Pass { lines: &mut lines, order, column: 8, row: 8, vectors, image: &mut image });
            (lines, image)
        };
        assert_eq!(part(&|part| simd::run(part)), part(&|part| part.run()));
        let part = |run: &dyn Fn(Reflected<'_>)| {
            let mut lines = vec![0.0; 8 * order];
            run(Reflected { lines: &mut lines, order, row: 24, a: &a, scales: &v });
            lines
        };
        assert_eq!(part(&|part| simd::run(part)), part(&|part| part.run()));
    }
}
