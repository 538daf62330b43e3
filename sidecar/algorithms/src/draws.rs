//! Random values of the parameters that a search varies.

use factorization::random::{below, uniform, word};

/// Numbers of factors that a search tries, up to its limit.
const FACTORS: [u32; 8] = [8, 16, 32, 64, 128, 256, 512, 1024];
/// Random streams of a trial count parameters of a definition from 0; this one is the same in all.
const FACTORS_STREAM: u64 = 1 << 32;

/// Statistics of the data that scale a search space.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DataShape {
    /// Number of users with entries.
    pub users: f64,
    /// Mean number of entries per user.
    pub entries_per_user: f64,
    /// Number of items.
    pub items: f64,
    /// Mean absolute weight of an entry.
    pub mean_weight: f64,
}

impl DataShape {
    /// Number of entries.
    pub fn entries(&self) -> f64 {
        self.users * self.entries_per_user
    }

    /// Maximum number of factors of these data within a limit: beyond half of the users or items,
    /// whichever are fewer, factors describe single users or items.
    pub fn factors_max(&self, limit: u32) -> u32 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of factors")]
        let half = (self.users.min(self.items) / 2.0) as u32;
        limit.min(half.max(FACTORS[0]))
    }
}

/// Random values of one trial, a function of seed and trial. Each parameter has a random stream of
/// its own, so that a new parameter does not change the values of the others.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    /// Statistics of the data.
    pub shape: DataShape,
    /// Maximum number of factors; `None` if the number of factors does not vary.
    pub factors_max: Option<u32>,
    /// Seed of the search.
    pub seed: u64,
    /// Number of the trial.
    pub trial: u64,
}

impl Draws {
    /// Uniform in the range.
    pub(crate) fn uniform(&self, stream: u64, (low, high): (f64, f64)) -> f64 {
        low + (high - low) * uniform(word(self.seed, self.trial, stream))
    }

    /// Uniform on a logarithmic scale.
    pub(crate) fn log_uniform(&self, stream: u64, (low, high): (f64, f64)) -> f64 {
        low * (high / low).powf(uniform(word(self.seed, self.trial, stream)))
    }

    /// One of the values, of which there is at least one.
    pub(crate) fn one_of<T: Copy>(&self, stream: u64, values: &[T], otherwise: T) -> T {
        values.get(below(word(self.seed, self.trial, stream), values.len())).copied().unwrap_or(otherwise)
    }

    /// A power of two up to the limit; the given number if the number of factors does not vary.
    pub(crate) fn factors(&self, given: u32) -> u32 {
        let Some(limit) = self.factors_max else { return given };
        let max = self.shape.factors_max(limit);
        let count = FACTORS.iter().take_while(|factors| **factors <= max).count();
        self.one_of(FACTORS_STREAM, FACTORS.get(..count).unwrap_or_default(), max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(users: f64, items: f64, factors_max: Option<u32>) -> Vec<u32> {
        let shape = DataShape { users, entries_per_user: 5.0, items, mean_weight: 1.0 };
        let mut drawn: Vec<u32> =
            (0..200).map(|trial| Draws { shape, factors_max, seed: 1, trial }.factors(20)).collect();
        drawn.sort_unstable();
        drawn.dedup();
        drawn
    }

    #[test]
    fn factors_are_powers_of_two_within_the_limit_and_the_data() {
        assert_eq!(factors(1e5, 1e5, Some(128)), [8, 16, 32, 64, 128]);
        assert_eq!(factors(1e5, 1e5, Some(100)), [8, 16, 32, 64]);
        assert_eq!(factors(1e5, 70.0, Some(128)), [8, 16, 32]);
        // A limit below all of them, and data of a few items.
        assert_eq!(factors(1e5, 1e5, Some(5)), [5]);
        assert_eq!(factors(3.0, 1e5, Some(128)), [8]);
        assert_eq!(factors(1e5, 1e5, None), [20]);
    }
}
