//! Growing pauses between attempts, with jitter.

use std::time::Duration;

/// Bounds of the pauses between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pauses {
    /// Pause after the first failure.
    pub first: Duration,
    /// Longest pause.
    pub max: Duration,
}

impl Pauses {
    /// The pause after this number of consecutive failures: it doubles with each, up to the
    /// maximum, and is shortened by up to a half, so that attempts that failed together do not
    /// return together.
    pub fn after(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        let pause = self.first.saturating_mul(1 << doublings).min(self.max);
        pause.mul_f64(1.0 - random_fraction() / 2.0)
    }
}

/// Adds up to a tenth as jitter against a thundering herd.
pub fn jittered(interval: Duration) -> Duration {
    interval + interval.mul_f64(random_fraction() / 10.0)
}

fn random_fraction() -> f64 {
    let mut byte = [0];
    // Without random numbers there is no jitter, which is harmless.
    let _ = getrandom::fill(&mut byte);
    f64::from(byte[0]) / 256.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESYNC: Duration = Duration::from_mins(5);

    #[test]
    fn jitter_adds_up_to_a_tenth() {
        for _ in 0..1000 {
            let interval = jittered(RESYNC);
            assert!(interval >= RESYNC && interval <= RESYNC + RESYNC / 10, "{interval:?}");
        }
    }

    #[test]
    fn pauses_double_up_to_the_maximum() {
        let pauses = Pauses { first: Duration::from_secs(5), max: Duration::from_mins(1) };
        for (failures, longest) in [(0, 5), (1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (u32::MAX, 60)] {
            let longest = Duration::from_secs(longest);
            for _ in 0..100 {
                let pause = pauses.after(failures);
                assert!(pause >= longest / 2 && pause <= longest, "{failures}: {pause:?}");
            }
        }
    }
}
