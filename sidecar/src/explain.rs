//! Which of a user's items an answer comes from: what each adds to a score, the greatest few by name and the others as a sum.

use factorization::{Explanation, Scorer, SolveError};

use crate::{answer::Item, limits::CONTRIBUTIONS_MAX};

/// A score in parts that add up to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Because {
    /// Rows of the user's items that add most, the greatest first, and what each adds; at most [`CONTRIBUTIONS_MAX`].
    pub items: Vec<(u32, f32)>,
    /// What the item gets without any history; of a model of ratings only.
    pub average: Option<f32>,
    /// Everything else: the user's other items, and what the end of the scale cuts off.
    pub rest: f32,
}

/// Says of each item why this history (items ascending, each once) gives it its score. Says nothing where the algorithm cannot.
///
/// # Errors
/// A history that cannot be folded in, which then gave no items either.
pub fn explain(scorer: &Scorer<'_>, history: &[u32], values: &[f32], items: &mut [Item]) -> Result<(), SolveError> {
    let targets: Vec<u32> = items.iter().map(|item| item.row).collect();
    let is_rating = scorer.scale().is_some();
    for (item, explanation) in items.iter_mut().zip(scorer.explain(history, values, &targets)?.unwrap_or_default()) {
        item.because = Some(because(history, &explanation, item.score, is_rating));
    }
    Ok(())
}

fn because(history: &[u32], explanation: &Explanation, score: f32, is_rating: bool) -> Because {
    let Explanation { base, contributions } = explanation;
    #[expect(clippy::cast_possible_truncation, reason = "a part of an f32 score; the rest takes the rounding")]
    let narrow = |x: f64| x as f32;
    let mut items: Vec<(u32, f32)> =
        history.iter().copied().zip(contributions.iter().map(|x| narrow(*x))).filter(|(_, adds)| *adds > 0.0).collect();
    items.sort_by(|x, y| y.1.total_cmp(&x.1).then(x.0.cmp(&y.0)));
    items.truncate(CONTRIBUTIONS_MAX);
    let average = is_rating.then_some(narrow(*base));
    let named: f64 = items.iter().map(|(_, adds)| f64::from(*adds)).chain(average.map(f64::from)).sum();
    Because { items, average, rest: narrow(f64::from(score) - named) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_are_named_and_the_others_are_the_rest() {
        let explanation = Explanation { base: 3.0, contributions: vec![0.5, -0.25, 0.75, 0.5, 0.125, 0.0625, 1.0] };
        let history = [2, 3, 5, 7, 11, 13, 17];
        let named = vec![(17, 1.0), (5, 0.75), (2, 0.5), (7, 0.5), (11, 0.125)];
        // The sum is 5.6875: on a scale that ends at 5 the rest takes what is cut off, too.
        let expected = Because { items: named.clone(), average: Some(3.0), rest: 0.0625 - 0.25 - 0.6875 };
        assert_eq!(because(&history, &explanation, 5.0, true), expected);
        let without = Explanation { base: 0.0, ..explanation };
        let expected = Because { items: named, average: None, rest: 0.0625 - 0.25 };
        assert_eq!(because(&history, &without, 2.6875, false), expected);
    }
}
