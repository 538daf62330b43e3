//! What a row means: an opinion on a scale, or something that happened.

use sidecar_contract::{Column, Signal};

use super::columns::{is_amount, is_opinion};

/// Scales have at most this many places: 0 to 100 by ones.
const PLACES_MAX: usize = 101;
/// Where scales end.
const TOPS: [f32; 10] = [3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 20.0, 100.0];
/// Least share of the ratings in each half of a scale that is used.
const HALF_SHARE_MIN: f64 = 0.02;
/// Share of the lowest value from which numbers without a telling name are counts.
const COUNTS_SHARE_MIN: f64 = 0.5;

/// A signal, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalGuess {
    /// What is suggested.
    pub signal: Signal,
    /// Why.
    pub why: String,
    /// What speaks against it.
    pub doubt: Option<String>,
}

impl SignalGuess {
    /// On the command line.
    pub fn said(signal: Signal) -> Self {
        Self { signal, why: "--signal says so".to_owned(), doubt: None }
    }
}

/// Different values, ascending, and how many rows have each.
pub fn counted(ratings: &[f32]) -> Vec<(f32, u64)> {
    let same = ratings.chunk_by(|a, b| a.total_cmp(b).is_eq());
    same.filter_map(|same| Some((*same.first()?, same.len() as u64))).collect()
}

/// Guesses by the column's name and what `ratings`, ascending, look like.
pub fn guess(column: Option<&Column>, ratings: &[f32]) -> SignalGuess {
    let say = |signal, why: &str, doubt: Option<&str>| SignalGuess {
        signal,
        why: why.to_owned(),
        doubt: doubt.map(str::to_owned),
    };
    let Some(column) = column else {
        return say(Signal::Implicit, "no column of ratings: each row is one thing that happened", None);
    };
    let values = counted(ratings);
    let (Some((low, at_low)), Some((high, _))) = (values.first().copied(), values.last().copied()) else {
        return say(Signal::Implicit, "there are no ratings", None);
    };
    if values.len() < 3 {
        let why = "too few different values for a scale: they are weights";
        return say(Signal::Implicit, why, (low <= 0.0).then_some("a weight of 0 or less is a dislike"));
    }
    if is_amount(column) {
        return say(Signal::Implicit, "the column's name says that it counts something", None);
    }
    if values.len() > PLACES_MAX
        || low < 0.0
        || !TOPS.contains(&high)
        || !values.iter().all(|(value, _)| (2.0 * value).fract() == 0.0)
    {
        let doubt = is_opinion(column)
            .then_some("the column is named like opinions, but holds no scale that ends in 3 to 10, 20 or 100");
        return say(
            Signal::Implicit,
            &format!("{} different values from {low} to {high} are no scale: they are weights", values.len()),
            doubt,
        );
    }
    let total = ratings.len() as f64;
    let middle = f32::midpoint(low, high);
    let lower = values.iter().filter(|(value, _)| *value <= middle).map(|(_, count)| count).sum::<u64>() as f64 / total;
    if !(HALF_SHARE_MIN..=1.0 - HALF_SHARE_MIN).contains(&lower) {
        let why = format!(
            "from {low} to {high}, but nearly all in one half: an opinion that is always the same says that it happened"
        );
        return say(Signal::Implicit, &why, Some("if they are opinions nevertheless, say --signal explicit"));
    }
    if !is_opinion(column) && at_low as f64 > COUNTS_SHARE_MIN * total {
        return say(
            Signal::Implicit,
            &format!("mostly {low}, and fewer of more: as counts are"),
            Some("if they are opinions, say --signal explicit"),
        );
    }
    let why =
        format!("{} different values from {low} to {high}, low and high ones used: opinions on a scale", values.len());
    let zeros = low == 0.0 && at_low as f64 > 0.3 * total;
    say(Signal::Explicit, &why, zeros.then_some("0 is frequent: if it means \"not rated\", leave these rows out, or the model learns that nobody likes anything"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, values: &[(f32, usize)], expected: Signal) {
        let ratings: Vec<f32> = values.iter().flat_map(|(value, count)| vec![*value; *count]).collect();
        let guessed = guess(Some(&Column::Name(name.to_owned())), &ratings);
        assert_eq!(guessed.signal, expected, "{name} {values:?}: {}", guessed.why);
    }

    #[test]
    fn a_scale_that_is_used_is_opinions_and_everything_else_happened() {
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
