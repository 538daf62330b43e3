//! Small data for the tests, from a generator that is independent of the crate.

use factorization::{AlsParams, AlsSolver, Entry, ExplicitAlsParams, Interactions};
use ndarray::{Array1, Array2};

/// Pseudorandom numbers: a linear congruential generator (Knuth's MMIX constants).
pub struct Draws(pub u64);

impl Draws {
    pub fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 >> 33) % u64::from(bound)).unwrap()
    }
}

/// `entries` draws of pairs with values in {−1, 0.5, 1, …, 3.5}; some rows stay empty.
pub fn interactions(users: u32, items: u32, entries: usize, seed: u64) -> Interactions {
    let mut draws = Draws(seed);
    let entries = (0..entries)
        .map(|_| {
            let value = draws.below(8);
            Entry {
                user: draws.below(users),
                item: draws.below(items),
                value: if value == 0 { -1.0 } else { f32::from(u8::try_from(value).unwrap()) / 2.0 },
            }
        })
        .collect();
    Interactions::from_entries(users as usize, items as usize, entries).unwrap()
}

/// `entries` draws of pairs with ratings in {1, 1.5, …, 5}, which depend on user and item.
pub fn ratings(users: u32, items: u32, entries: usize, seed: u64) -> Interactions {
    let mut draws = Draws(seed);
    let mut seen = std::collections::BTreeSet::new();
    let mut all = Vec::new();
    for _ in 0..entries {
        let (user, item) = (draws.below(users), draws.below(items));
        let level = (user * 5 + item * 3) % 7 + u32::from(user % 2 == item % 2) * 2 + draws.below(2);
        if seen.insert((user, item)) {
            all.push(Entry { user, item, value: (1.0 + f32::from(u8::try_from(level).unwrap()) / 2.0).min(5.0) });
        }
    }
    Interactions::from_entries(users as usize, items as usize, all).unwrap()
}

/// Parameters that differ from the defaults in every field.
pub fn explicit_params() -> ExplicitAlsParams {
    ExplicitAlsParams {
        factors: 9,
        iterations: 4,
        regularization: 0.07,
        regularization_exponent: 0.8,
        solver: AlsSolver::Cholesky,
        samples: 0,
    }
}

/// Solves a dense system by Gauss–Jordan elimination with partial pivoting.
pub fn gauss_jordan(mut a: Array2<f64>, mut b: Array1<f64>) -> Array1<f64> {
    let n = b.len();
    for column in 0..n {
        let pivot = (column..n).max_by(|x, y| a[[*x, column]].abs().total_cmp(&a[[*y, column]].abs())).unwrap();
        for k in 0..n {
            a.swap([column, k], [pivot, k]);
        }
        b.swap(column, pivot);
        for row in 0..n {
            if row != column {
                let factor = a[[row, column]] / a[[column, column]];
                for k in 0..n {
                    a[[row, k]] -= factor * a[[column, k]];
                }
                b[row] -= factor * b[column];
            }
        }
    }
    Array1::from_shape_fn(n, |i| b[i] / a[[i, i]])
}

/// Parameters that differ from the defaults in every field.
pub fn params() -> AlsParams {
    AlsParams {
        factors: 9,
        iterations: 4,
        regularization: 0.02,
        regularization_exponent: 0.7,
        unobserved_weight: 0.3,
        ..AlsParams::default()
    }
}
