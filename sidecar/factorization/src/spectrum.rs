//! Eigenvalues and eigenvectors of a symmetric matrix, in f64: Householder's reduction to three diagonals, then the implicit
//! QL iteration (Golub and Van Loan, "Matrix Computations", sections 8.3.1 and 8.3.3), on the ambient rayon pool.
//!
//! Vectors lie in rows, so that every inner loop runs over memory in order, and rows are padded with zeros to whole tiles. What is
//! cubic goes by rows or columns that do not depend on each other, so neither threads nor instructions show in the result.

use ndarray::{Array2, s};
use rayon::prelude::*;

use crate::{
    aligned,
    simd::{self, Kernel},
    tile::{Lanes, TILE as LANES, TILE_ROWS as ROWS, load, multiply_add, padded, store},
    turns::{Turn, Turns},
};

/// Rotations of the QL iteration that each eigenvalue may take, on average; two are usual.
const SHIFTS_EACH_MAX: usize = 60;
/// Rows of one task.
const TASK_ROWS: usize = 32;
/// A pass over fewer elements takes less time than another thread takes to begin.
const SHARED_MIN: usize = 1 << 16;

/// A = QΛQᵀ.
#[derive(Clone, Debug)]
pub(crate) struct Spectrum {
    /// Λ, in no order.
    pub(crate) values: Vec<f64>,
    /// Qᵀ: an eigenvector in each row.
    pub(crate) vectors: Array2<f64>,
}

impl Spectrum {
    /// Of a symmetric matrix (n × n); `None` if it is not finite or the iteration does not end.
    pub(crate) fn of(matrix: &Array2<f64>) -> Option<Self> {
        if matrix.iter().any(|x| !x.is_finite()) {
            return None;
        }
        let n = matrix.nrows();
        let order = padded(n.max(1));
        let mut a = aligned::zeros(order, order);
        a.slice_mut(s![..n, ..n]).assign(matrix);
        let a = a.as_slice_mut().expect("just made in standard layout");
        let Diagonals { mut values, mut off, scales } = tridiagonalize(a, order, n);
        let mut turns = Turns::of(&product_of_reflections(a, order, &scales), order);
        iterate(&mut values, &mut off, &mut turns)?;
        let vectors = Array2::from_shape_vec((order, order), turns.into_rows()).ok()?;
        Some(Self { values, vectors: vectors.slice(s![..n, ..n]).to_owned() })
    }
}

/// What a reduction leaves beside the vectors of its reflections, n elements each.
struct Diagonals {
    values: Vec<f64>,
    /// Beside the diagonal; its last element is 0.
    off: Vec<f64>,
    /// sᵢ; 0 where nothing is reflected.
    scales: Vec<f64>,
}

/// Reduces the first n rows and columns of `a` (`order` × `order`) to three diagonals by reflections I − sᵢ vᵢvᵢᵀ. Leaves vᵢ in row
/// i, which has only zeros up to the diagonal.
///
/// A reflection is A ← A − v wᵀ − w vᵀ with w = s(Av) − (s²/2)(vᵀAv)v. It waits for the next one's product with A, so that one
/// pass over the matrix does both. Vectors are 0 for rows that are done, which so stay as they are.
fn tridiagonalize(a: &mut [f64], order: usize, n: usize) -> Diagonals {
    let (mut values, mut off, mut scales) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    let [mut v, mut w, mut next, mut image] = [(); 4].map(|()| vec![0.0; order]);
    for i in 0..n {
        let row = &mut a[i * order..(i + 1) * order];
        let (vi, wi): (f64, f64) = (std::mem::take(&mut v[i]), std::mem::take(&mut w[i]));
        for ((x, v), w) in row[i..].iter_mut().zip(&v[i..]).zip(&w[i..]) {
            *x = (-vi).mul_add(*w, (-wi).mul_add(*v, *x));
        }
        values[i] = row[i] - 2.0 * vi * wi;
        let reflection = Reflection::of(&row[i + 1..n]);
        off[i] = reflection.as_ref().map_or_else(|| row[i + 1..n].first().copied().unwrap_or(0.0), |r| r.alpha);
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
            *w = half.mul_add(*v, *image);
        }
        w[..=i].fill(0.0);
        std::mem::swap(&mut v, &mut next);
    }
    Diagonals { values, off, scales }
}

/// I − s vvᵀ, which makes a row (α, 0, 0, …).
struct Reflection {
    v: Vec<f64>,
    scale: f64,
    alpha: f64,
}

impl Reflection {
    /// `None` if the row is that already.
    fn of(row: &[f64]) -> Option<Self> {
        let (first, rest) = row.split_first()?;
        if rest.iter().all(|x| *x == 0.0) {
            return None;
        }
        // Scaled, so that squares neither vanish nor overflow.
        let greatest = row.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        let mut v: Vec<f64> = row.iter().map(|x| x / greatest).collect();
        let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        let alpha = if *first > 0.0 { -norm } else { norm };
        let scale = 1.0 / (norm * (norm + v[0].abs()));
        v[0] -= alpha;
        Some(Self { v, scale, alpha: alpha * greatest })
    }
}

/// Takes v wᵀ + w vᵀ from the rows and columns of `a` from `first` on, and multiplies what is left of each row by `next`.
fn pass(a: &mut [f64], order: usize, first: usize, vectors: [&[f64]; 3], image: &mut [f64]) {
    // Whole tiles: where the vectors are 0, nothing changes.
    let first = first / LANES * LANES;
    let (lines, image) = (&mut a[first * order..], &mut image[first..]);
    let rows = if (order - first).pow(2) < SHARED_MIN { order } else { TASK_ROWS };
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
    /// Where it begins in each line.
    column: usize,
    /// Which row the first line is.
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
                let left = |line: &mut [f64], row: usize, sums: Lanes| {
                    let x = multiply_add(-v_rows[row], w, multiply_add(-w_rows[row], v, load(line, at)));
                    store(line, at, x);
                    multiply_add_each(x, next, sums)
                };
                s0 = left(l0, 0, s0);
                s1 = left(l1, 1, s1);
                s2 = left(l2, 2, s2);
                s3 = left(l3, 3, s3);
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

/// Some rows of the product, which are 0 at first.
struct Reflected<'a> {
    lines: &'a mut [f64],
    order: usize,
    /// Which row the first line is.
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
            // Only rows and columns beyond i differ from the identity before the i-th.
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

/// sums + x·y, element by element.
#[inline(always)]
fn multiply_add_each(x: Lanes, y: Lanes, mut sums: Lanes) -> Lanes {
    for lane in 0..LANES {
        sums[lane] = x[lane].mul_add(y[lane], sums[lane]);
    }
    sums
}

/// The sum of the lanes, in a fixed tree.
#[inline(always)]
fn sum([a, b, c, d, e, f, g, h]: Lanes) -> f64 {
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// ⟨x, y⟩ in order; of what is linear only.
fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// Makes the matrix of `values` and `off` diagonal by plane rotations, which `turns` is given.
fn iterate(values: &mut [f64], off: &mut [f64], turns: &mut Turns) -> Option<()> {
    let n = values.len();
    let mut left = SHIFTS_EACH_MAX * n;
    for first in 0..n {
        loop {
            // The block from `first` on that no zero divides.
            let last = (first..n.saturating_sub(1))
                .find(|&i| off[i].abs() <= f64::EPSILON * (values[i].abs() + values[i + 1].abs()))
                .unwrap_or(n - 1);
            if last == first {
                break;
            }
            left = left.checked_sub(1)?;
            // Wilkinson's shift.
            let half = (values[first + 1] - values[first]) / (2.0 * off[first]);
            let root = libm::hypot(half, 1.0);
            let mut g = values[last] - values[first] + off[first] / (half + root.copysign(half));
            let (mut sine, mut cosine, mut shift) = (1.0, 1.0, 0.0);
            let mut split = false;
            for i in (first..last).rev() {
                let f = sine * off[i];
                let b = cosine * off[i];
                let r = libm::hypot(f, g);
                off[i + 1] = r;
                if r == 0.0 {
                    values[i + 1] -= shift;
                    off[last] = 0.0;
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
                turns.push(Turn { row: i, sine, cosine });
            }
            if !split {
                values[first] -= shift;
                off[first] = g;
                off[last] = 0.0;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::normal;

    fn check(matrix: &Array2<f64>) -> Spectrum {
        let n = matrix.nrows();
        let Spectrum { values, vectors } = Spectrum::of(matrix).unwrap();
        let scale = matrix.iter().fold(1e-300_f64, |m, x| m.max(x.abs())) * n as f64;
        let (product, identity) = (vectors.dot(matrix).dot(&vectors.t()), vectors.dot(&vectors.t()));
        for i in 0..n {
            for j in 0..n {
                let (value, one) = if i == j { (values[i], 1.0) } else { (0.0, 0.0) };
                assert!((product[(i, j)] - value).abs() <= 1e-14 * scale, "{n}: {i} {j} {}", product[(i, j)]);
                assert!((identity[(i, j)] - one).abs() <= 1e-13, "{n}: {i} {j}");
            }
        }
        Spectrum { values, vectors }
    }

    #[test]
    fn vectors_diagonalize_and_are_orthonormal() {
        for n in [1, 2, 3, 5, 16, 33, 100] {
            let half = Array2::from_shape_fn((n, n), |(i, j)| normal(3, i as u64, j as u64));
            check(&(&half + &half.t()));
            // Of rank 1, and with eigenvalues over twenty decades.
            let rank_1 = Array2::from_shape_fn((n, n), |(i, j)| half[(i, 0)] * half[(j, 0)]);
            check(&rank_1);
            let decades = |i: usize| libm::pow(10.0, 20.0 * i as f64 / n as f64 - 10.0);
            check(&Array2::from_shape_fn((n, n), |(i, j)| half[(i.min(j), i.max(j))] * decades(i) * decades(j)));
        }
    }

    #[test]
    fn a_chain_has_the_known_eigenvalues() {
        // 2 on the diagonal, −1 beside it: 2 − 2cos(πk/(n + 1)), a closed form.
        let n = 50;
        let chain = Array2::from_shape_fn((n, n), |(i, j)| match i.abs_diff(j) {
            0 => 2.0,
            1 => -1.0,
            _ => 0.0,
        });
        let mut values = check(&chain).values;
        values.sort_by(f64::total_cmp);
        for (k, value) in values.iter().enumerate() {
            let exact = 2.0 - 2.0 * (std::f64::consts::PI * (k + 1) as f64 / (n + 1) as f64).cos();
            assert!((value - exact).abs() < 1e-13, "{k}: {value} {exact}");
        }
    }

    #[test]
    fn odd_matrices_are_no_trouble() {
        assert_eq!(check(&Array2::zeros((4, 4))).values, [0.0; 4]);
        assert_eq!(check(&Array2::eye(4)).values, [1.0; 4]);
        check(&Array2::from_elem((7, 7), 1e200));
        check(&Array2::from_elem((7, 7), 1e-200));
        assert!(Spectrum::of(&Array2::from_elem((2, 2), f64::NAN)).is_none());
    }

    #[test]
    fn every_instruction_set_and_any_threads_give_the_same_bits() {
        // Enough for passes by several tasks.
        let n = 300;
        let half = Array2::from_shape_fn((n, n), |(i, j)| normal(4, i as u64, j as u64));
        let a = &half + &half.t();
        let alone =
            rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(|| Spectrum::of(&a)).unwrap();
        let many = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap().install(|| check(&a));
        assert_eq!((alone.values, alone.vectors), (many.values, many.vectors));

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
