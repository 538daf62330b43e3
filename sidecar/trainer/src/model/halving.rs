//! Successive halving (Jamieson and Talwalkar 2016, "Non-stochastic best arm identification and
//! hyperparameter optimization", AISTATS): all attempts are fitted with few iterations, and the
//! best of them with more.

use super::trials::{Attempt, Rule, Trials};
use crate::failure::RunError;

/// One in this many attempts advances to the next round.
const REDUCTION: usize = 3;

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
