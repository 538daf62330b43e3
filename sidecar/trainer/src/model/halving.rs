//! Successive halving (Jamieson and Talwalkar 2016, "Non-stochastic best arm identification and
//! hyperparameter optimization", AISTATS): all attempts are fitted with few iterations, and the
//! best of them with more.

use super::trials::{Attempt, Rule, Trials};
use crate::failure::RunError;

/// One in this many attempts advances to the next round.
const REDUCTION: usize = 3;

/// Maximum number of attempts whose rounds take at most this number of fits.
pub(super) fn draws_within(fits: u32) -> usize {
    let fits = fits as usize;
    let taken = |attempts: usize| attempts + attempts.div_ceil(REDUCTION) + attempts.div_ceil(REDUCTION * REDUCTION);
    (0..=fits).take_while(|attempts| taken(*attempts) <= fits).last().unwrap_or(0)
}

/// Runs all rounds, and sorts the attempts best first.
pub(super) fn halve(trials: &Trials<'_>, attempts: &mut [Attempt]) -> Result<(), RunError> {
    let rounds = attempts.iter().map(|attempt| attempt.rounds().len()).max().unwrap_or(0);
    let mut remaining = attempts.len();
    for round in 0..rounds {
        for attempt in attempts.iter_mut().take(remaining) {
            // Of few iterations, some rounds have the same number.
            if let Some(iterations) = attempt.rounds().get(round) {
                trials.fit(attempt, *iterations, Rule::Better)?;
            }
        }
        trials.sort(attempts);
        remaining = remaining.div_ceil(REDUCTION);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_draws_fits_the_budget() {
        // 14 + 5 + 2 = 21, and 15 + 5 + 2 = 22.
        for (fits, draws) in [(0, 0), (2, 0), (3, 1), (20, 13), (21, 14), (22, 15), (1000, 692)] {
            assert_eq!(draws_within(fits), draws, "{fits}");
        }
    }
}
