//! Explanations: a score as contributions of the user's items. The largest are named, the others
//! are summed up.

use std::borrow::Cow;

use factorization::{Explanation, SolveError};

use super::{candidates::Candidate, resolve::Resolved, target::Target};
use crate::{answer::Source, limits::CONTRIBUTIONS_MAX};

/// The parts of a score, by rows. They add up to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// Rows of the items that contribute most, with their contributions, largest first.
    pub contributions: Vec<(u32, f32)>,
    /// See [`crate::Explanation::remainder`].
    pub remainder: f32,
    /// See [`crate::Explanation::baseline`].
    pub baseline: Option<f32>,
}

/// The parts of each candidate's score; `None` for candidates that no user vector ranked, and for
/// all of an algorithm whose scores are not sums over a history.
///
/// # Errors
/// A history that cannot be folded in.
pub fn explain(resolved: &Resolved<'_>, candidates: &[Candidate]) -> Result<Vec<Option<Parts>>, SolveError> {
    let is_explained = |candidate: &Candidate| matches!(candidate.source, Source::Model | Source::FoldIn);
    let targets: Vec<u32> = candidates.iter().filter(|c| is_explained(c)).map(|c| c.row).collect();
    let Target::Recommend { user, history } = &resolved.target else { return Ok(Vec::new()) };
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    let (items, values) = fitted_history(resolved, *user, history);
    let stored = user.filter(|_| history.is_empty());
    let Some(explanations) = resolved.scorer.explain(&items, &values, stored, &targets)? else { return Ok(Vec::new()) };
    let is_rating = resolved.scorer.scale().is_some();
    let mut explanations = explanations.iter();
    let parts = candidates.iter().map(|candidate| {
        is_explained(candidate)
            .then(|| explanations.next())
            .flatten()
            .map(|e| parts(&items, e, candidate.score, is_rating))
    });
    Ok(parts.collect())
}

/// What the user vector was computed from: the history of the request, or the stored interactions.
/// Rows ascend, each once.
fn fitted_history<'a>(
    resolved: &'a Resolved<'_>,
    user: Option<u32>,
    history: &[(u32, f32)],
) -> (Cow<'a, [u32]>, Cow<'a, [f32]>) {
    let snapshot = resolved.model.snapshot();
    match user {
        Some(user) if history.is_empty() => {
            let seen = snapshot.seen(user);
            let weights = snapshot.seen_weights(user).map_or(Cow::Owned(vec![1.0; seen.len()]), Cow::Borrowed);
            (Cow::Borrowed(seen), weights)
        }
        _ => {
            let (items, values) = resolved.scorer.merge(history);
            (Cow::Owned(items), Cow::Owned(values))
        }
    }
}

fn parts(history: &[u32], explanation: &Explanation, score: f32, is_rating: bool) -> Parts {
    let Explanation { baseline, contributions } = explanation;
    #[expect(clippy::cast_possible_truncation, reason = "part of an f32 score; the remainder takes the rounding")]
    let to_f32 = |x: f64| x as f32;
    let all = history.iter().copied().zip(contributions.iter().map(|x| to_f32(*x)));
    let mut named: Vec<(u32, f32)> = all.filter(|(_, contribution)| *contribution > 0.0).collect();
    named.sort_by(|x, y| y.1.total_cmp(&x.1).then(x.0.cmp(&y.0)));
    named.truncate(CONTRIBUTIONS_MAX);
    let named_baseline = is_rating.then_some(to_f32(*baseline));
    let sum: f64 = named.iter().map(|(_, x)| f64::from(*x)).chain(named_baseline.map(f64::from)).sum();
    Parts { contributions: named, remainder: to_f32(f64::from(score) - sum), baseline: named_baseline }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_are_named_and_the_others_are_the_remainder() {
        let explanation = Explanation { baseline: 3.0, contributions: vec![0.5, -0.25, 0.75, 0.5, 0.125, 0.0625, 1.0] };
        let history = [2, 3, 5, 7, 11, 13, 17];
        let named = vec![(17, 1.0), (5, 0.75), (2, 0.5), (7, 0.5), (11, 0.125)];
        // The sum is 5.6875. On a scale that ends at 5 the remainder includes what clipping
        // removes.
        let expected = Parts { contributions: named.clone(), baseline: Some(3.0), remainder: 0.0625 - 0.25 - 0.6875 };
        assert_eq!(parts(&history, &explanation, 5.0, true), expected);
        let without_baseline = Explanation { baseline: 0.0, ..explanation };
        let expected = Parts { contributions: named, baseline: None, remainder: 0.0625 - 0.25 };
        assert_eq!(parts(&history, &without_baseline, 2.6875, false), expected);
    }
}
