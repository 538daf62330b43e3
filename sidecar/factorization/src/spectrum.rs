//! Eigenvalues and eigenvectors of a symmetric matrix, in f64: Householder's reduction to three diagonals, then the implicit
//! QL iteration (Golub and Van Loan, "Matrix Computations", sections 8.3.1 and 8.3.3).
//!
//! Vectors lie in rows, so that every inner loop runs over memory in order. All sums have a fixed order.

use ndarray::Array2;

use crate::simd::{self, Kernel};

/// Rotations of the QL iteration that each eigenvalue may take, on average; two are usual.
const SHIFTS_EACH_MAX: usize = 60;
/// Lanes of an inner product.
const LANES: usize = 8;

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
        let a: Vec<f64> = matrix.iter().copied().collect();
        let (values, vectors) = simd::run(Decomposition { a, n })?;
        Some(Self { values, vectors: Array2::from_shape_vec((n, n), vectors).ok()? })
    }
}

struct Decomposition {
    a: Vec<f64>,
    n: usize,
}

impl Kernel for Decomposition {
    type Output = Option<(Vec<f64>, Vec<f64>)>;

    #[inline(always)]
    fn run(self) -> Self::Output {
        let Self { mut a, n } = self;
        let mut off = vec![0.0; n];
        let scales = tridiagonalize(&mut a, n, &mut off);
        let mut values: Vec<f64> = (0..n).map(|i| a[i * n + i]).collect();
        let mut vectors = reflectors_to_rows(&a, n, &scales);
        iterate(&mut values, &mut off, &mut vectors, n)?;
        Some((values, vectors))
    }
}

/// Reduces `a` to three diagonals by reflections I − sᵢ vᵢvᵢᵀ: leaves the diagonal in place, vᵢ in row i right of the diagonal,
/// the second diagonal in `off[..n − 1]`, and gives the sᵢ.
#[inline(always)]
fn tridiagonalize(a: &mut [f64], n: usize, off: &mut [f64]) -> Vec<f64> {
    let mut scales = vec![0.0; n];
    let mut v = vec![0.0; n];
    let mut w = vec![0.0; n];
    for i in 0..n.saturating_sub(1) {
        let (v, w) = (&mut v[i + 1..], &mut w[i + 1..]);
        v.copy_from_slice(&a[i * n + i + 1..(i + 1) * n]);
        let greatest = v.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        if v[1..].iter().all(|x| *x == 0.0) || greatest == 0.0 {
            off[i] = v[0];
            continue;
        }
        // Scaled, so that squares neither vanish nor overflow.
        for x in v.iter_mut() {
            *x /= greatest;
        }
        let norm = dot(v, v).sqrt();
        let alpha = if v[0] > 0.0 { -norm } else { norm };
        off[i] = alpha * greatest;
        let scale = 1.0 / (norm * (norm + v[0].abs()));
        v[0] -= alpha;
        // A ← A − v wᵀ − w vᵀ, with w = s(Av) − (s²/2)(vᵀAv)v.
        for (j, w) in w.iter_mut().enumerate() {
            let line = (i + 1 + j) * n;
            *w = scale * dot(&a[line + i + 1..line + n], v);
        }
        let half = 0.5 * scale * dot(v, w);
        for (w, v) in w.iter_mut().zip(&*v) {
            *w = (-half).mul_add(*v, *w);
        }
        for (j, line) in a[(i + 1) * n..].chunks_exact_mut(n).enumerate() {
            let (vj, wj) = (-v[j], -w[j]);
            for ((x, v), w) in line[i + 1..].iter_mut().zip(&*v).zip(&*w) {
                *x = vj.mul_add(*w, wj.mul_add(*v, *x));
            }
        }
        a[i * n + i + 1..(i + 1) * n].copy_from_slice(v);
        scales[i] = scale;
    }
    scales
}

/// The product of the reflections, transposed.
#[inline(always)]
fn reflectors_to_rows(a: &[f64], n: usize, scales: &[f64]) -> Vec<f64> {
    let mut rows = vec![0.0; n * n];
    for i in 0..n {
        rows[i * n + i] = 1.0;
    }
    for i in (0..n.saturating_sub(1)).rev() {
        if scales[i] == 0.0 {
            continue;
        }
        // Only rows and columns beyond i differ from the identity yet.
        let v = &a[i * n + i + 1..(i + 1) * n];
        for line in rows[(i + 1) * n..].chunks_exact_mut(n) {
            let line = &mut line[i + 1..];
            let share = -scales[i] * dot(line, v);
            for (x, v) in line.iter_mut().zip(v) {
                *x = share.mul_add(*v, *x);
            }
        }
    }
    rows
}

/// Makes the matrix of `values` and `off` diagonal by plane rotations, applied to the rows of `vectors` too.
#[inline(always)]
fn iterate(values: &mut [f64], off: &mut [f64], vectors: &mut [f64], n: usize) -> Option<()> {
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
                let (upper, lower) = vectors.split_at_mut((i + 1) * n);
                turn(&mut upper[i * n..], &mut lower[..n], sine, cosine);
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

/// (x, y) ← (cx − sy, sx + cy).
#[inline(always)]
fn turn(x: &mut [f64], y: &mut [f64], sine: f64, cosine: f64) {
    for (x, y) in x.iter_mut().zip(y) {
        let old = *x;
        *x = cosine.mul_add(old, -(sine * *y));
        *y = sine.mul_add(old, cosine * *y);
    }
}

#[inline(always)]
fn dot(x: &[f64], y: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    let (x_blocks, x_rest) = x.as_chunks::<LANES>();
    let (y_blocks, y_rest) = y.as_chunks::<LANES>();
    for (x, y) in x_blocks.iter().zip(y_blocks) {
        for lane in 0..LANES {
            sums[lane] = x[lane].mul_add(y[lane], sums[lane]);
        }
    }
    let mut rest = 0.0;
    for (x, y) in x_rest.iter().zip(y_rest) {
        rest = x.mul_add(*y, rest);
    }
    let [a, b, c, d, e, f, g, h] = sums;
    (((a + e) + (c + g)) + ((b + f) + (d + h))) + rest
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
    fn every_instruction_set_gives_the_same_bits() {
        let half = Array2::from_shape_fn((37, 37), |(i, j)| normal(4, i as u64, j as u64));
        let a: Vec<f64> = (&half + &half.t()).iter().copied().collect();
        let part = || Decomposition { a: a.clone(), n: 37 };
        assert_eq!(simd::run(part()), part().run());
    }
}
