//! Guesses the signal: explicit ratings on a scale, or implicit feedback.

use sidecar_contract::{Column, Signal};

use super::columns::{is_count_name, is_rating_name};

/// Maximum number of values of a rating scale: 0 to 100 in steps of 1.
const SCALE_VALUES_MAX: usize = 101;
/// Maximum values that rating scales have.
const SCALE_MAXIMA: [f32; 10] = [3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 20.0, 100.0];
/// Minimum fraction of the ratings in each half of a scale.
const HALF_FRACTION_MIN: f64 = 0.02;
/// Fraction of rows with the lowest value above which numbers are taken for counts, unless the
/// column has a rating name.
const COUNT_FRACTION_MIN: f64 = 0.5;

/// A signal, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalGuess {
    /// The suggested signal.
    pub signal: Signal,
    /// Why it is suggested.
    pub reason: String,
    /// What the user should check.
    pub warning: Option<String>,
}

impl SignalGuess {
    /// The signal of the command line.
    pub fn from_flag(signal: Signal) -> Self {
        Self { signal, reason: "set by --signal".to_owned(), warning: None }
    }
}

/// Distinct values, ascending, each with its number of rows.
pub fn value_counts(ratings: &[f32]) -> Vec<(f32, u64)> {
    let same = ratings.chunk_by(|a, b| a.total_cmp(b).is_eq());
    same.filter_map(|same| Some((*same.first()?, same.len() as u64))).collect()
}

/// Guesses from the column's name and the distribution of `ratings`, which are ascending.
pub fn guess(column: Option<&Column>, ratings: &[f32]) -> SignalGuess {
    let guessed = |signal, reason: &str, warning: Option<&str>| SignalGuess {
        signal,
        reason: reason.to_owned(),
        warning: warning.map(str::to_owned),
    };
    let Some(column) = column else {
        return guessed(Signal::Implicit, "no rating column, so each row is one event", None);
    };
    let values = value_counts(ratings);
    let (Some((low, at_low)), Some((high, _))) = (values.first().copied(), values.last().copied()) else {
        return guessed(Signal::Implicit, "the rating column is empty", None);
    };
    if values.len() < 3 {
        let reason = "the rating column has fewer than 3 distinct values, so they are weights";
        return guessed(Signal::Implicit, reason, (low <= 0.0).then_some("a weight of 0 or less is a dislike"));
    }
    if is_count_name(column) {
        return guessed(Signal::Implicit, "the column has the name of a count or amount", None);
    }
    if values.len() > SCALE_VALUES_MAX
        || low < 0.0
        || !SCALE_MAXIMA.contains(&high)
        || !values.iter().all(|(value, _)| (2.0 * value).fract() == 0.0)
    {
        let warning = is_rating_name(column)
            .then_some("the column has the name of a rating, but no scale with a maximum of 3 to 10, 20 or 100");
        return guessed(
            Signal::Implicit,
            &format!(
                "{} distinct values from {low} to {high} are not a rating scale, so they are weights",
                values.len()
            ),
            warning,
        );
    }
    let total = ratings.len() as f64;
    let middle = f32::midpoint(low, high);
    let lower = values.iter().filter(|(value, _)| *value <= middle).map(|(_, count)| count).sum::<u64>() as f64 / total;
    if !(HALF_FRACTION_MIN..=1.0 - HALF_FRACTION_MIN).contains(&lower) {
        let reason = format!(
            "values from {low} to {high}, but nearly all in one half of the scale, so they carry little more than the event"
        );
        return guessed(Signal::Implicit, &reason, Some("if the values are ratings, set --signal explicit"));
    }
    if !is_rating_name(column) && at_low as f64 > COUNT_FRACTION_MIN * total {
        return guessed(
            Signal::Implicit,
            &format!("mostly {low}, and higher values are rarer, as in counts"),
            Some("if the values are ratings, set --signal explicit"),
        );
    }
    let reason = format!("rating scale of {} distinct values from {low} to {high}, both halves used", values.len());
    let zeros = low == 0.0 && at_low as f64 > 0.3 * total;
    guessed(
        Signal::Explicit,
        &reason,
        zeros.then_some(
            "0 is frequent: if it means \"not rated\", remove these rows; otherwise the model learns them as the lowest rating",
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, values: &[(f32, usize)], expected: Signal) {
        let ratings: Vec<f32> = values.iter().flat_map(|(value, count)| vec![*value; *count]).collect();
        let guessed = guess(Some(&Column::Name(name.to_owned())), &ratings);
        assert_eq!(guessed.signal, expected, "{name} {values:?}: {}", guessed.reason);
    }

    #[test]
    fn a_scale_with_both_halves_used_is_explicit_and_all_else_implicit() {
        use Signal::{Explicit, Implicit};
        let stars = [(1.0, 6), (2.0, 11), (3.0, 27), (4.0, 34), (5.0, 21)];
        check("rating", &stars, Explicit);
        check("x", &stars, Explicit);
        check("plays", &stars, Implicit);
        check("rating", &[(0.5, 1), (1.0, 3), (3.5, 10), (5.0, 10)], Explicit);
        check("rating", &[(0.0, 60), (5.0, 10), (8.0, 10), (10.0, 10)], Explicit);
        check("score", &[(10.0, 5), (55.0, 10), (80.0, 10), (100.0, 4)], Explicit);
        check("x", &[(1.0, 70), (2.0, 20), (3.0, 5), (5.0, 5)], Implicit);
        check("rating", &[(1.0, 50)], Implicit);
        check("rating", &[(0.0, 50), (1.0, 50)], Implicit);
        check("rating", &[(1.0, 0), (3.0, 1), (4.0, 0), (5.0, 400), (4.5, 30)], Implicit);
        check("rating", &[(1.0, 40), (17.0, 3), (213.0, 1)], Implicit);
        assert_eq!(guess(None, &[]).signal, Implicit);
    }
}
