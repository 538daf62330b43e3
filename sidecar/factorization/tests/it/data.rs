//! Small data for the tests, from a generator of their own.

use factorization::{AlsParams, Entry, Interactions};

/// Numbers that look random: a linear congruential generator (Knuth's MMIX constants).
pub struct Draws(pub u64);

impl Draws {
    pub fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 >> 33) % u64::from(bound)).unwrap()
    }
}

/// `entries` draws of pairs with values in {−1, 0.5, 1, …, 3}; some rows stay empty.
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

/// Parameters that differ from the defaults in every field.
pub fn params() -> AlsParams {
    AlsParams { factors: 9, iterations: 4, regularization: 0.02, regularization_exponent: 0.7, unobserved_weight: 0.3 }
}
