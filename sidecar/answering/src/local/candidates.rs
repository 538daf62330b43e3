//! Candidate generation: each source lists its best rows that pass the filter.

use factorization::Scored;
use sidecar_contract::ServingMode;

use super::{resolve::Resolved, target::Target};
use crate::{answer::Source, error::AnswerError};

/// A row with its score and what ranked it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    pub row: u32,
    pub score: f32,
    pub source: Source,
}

/// Lists of candidates, one for each source, in the order in which the sources are preferred. A
/// source is consulted only while the lists before it hold fewer than n candidates. Popularity is
/// the last source for a user, so an unknown user never gets an empty answer.
///
/// # Errors
/// A history that cannot be folded in.
pub fn generate(resolved: &Resolved<'_>, mode: ServingMode) -> Result<Vec<Vec<Candidate>>, AnswerError> {
    let mut lists = Vec::with_capacity(2);
    if mode.is_personalized() {
        lists.push(match resolved.target {
            Target::Similar { item } => return Ok(vec![similar(resolved, item)]),
            Target::Recommend { user, ref history } => personalized(resolved, user, history)?,
        });
    }
    if lists.iter().map(Vec::len).sum::<usize>() < resolved.n {
        lists.push(popular(resolved));
    }
    Ok(lists)
}

/// Rows by the stored user vector, or by one that is folded in from the history.
fn personalized(
    resolved: &Resolved<'_>,
    user: Option<u32>,
    history: &[(u32, f32)],
) -> Result<Vec<Candidate>, AnswerError> {
    let scorer = &resolved.scorer;
    let (vector, source) = if history.is_empty() {
        (user.and_then(|user| scorer.stored(user)), Source::Model)
    } else {
        (Some(scorer.fold_in_entries(history)?), Source::FoldIn)
    };
    // An empty vector gives all items the same score, or that of their biases: no personal order.
    let Some(vector) = vector.filter(|vector| !vector.is_empty()) else { return Ok(Vec::new()) };
    let passes = |row| resolved.filter.passes(row);
    let best = match resolved.filter.allowed() {
        Some(rows) => scorer.best_of(rows, &vector, resolved.n, passes),
        None => scorer.best(&vector, resolved.n, passes),
    };
    Ok(candidates(best, source))
}

fn similar(resolved: &Resolved<'_>, item: u32) -> Vec<Candidate> {
    let (scorer, passes) = (&resolved.scorer, |row| resolved.filter.passes(row));
    let best = match resolved.filter.allowed() {
        Some(rows) => scorer.similar_of(rows, item, resolved.n, passes),
        None => scorer.similar(item, resolved.n, passes),
    };
    candidates(best, Source::Similar)
}

#[expect(clippy::cast_precision_loss, reason = "a count as a score")]
fn popular(resolved: &Resolved<'_>) -> Vec<Candidate> {
    let snapshot = resolved.model.snapshot();
    let counts = snapshot.item_counts();
    let score = |row: u32| counts.get(row as usize).map_or(0.0, |count| *count as f32);
    let rows = snapshot.popular().iter().copied().filter(|row| resolved.filter.passes(*row)).take(resolved.n);
    rows.map(|row| Candidate { row, score: score(row), source: Source::Popular }).collect()
}

fn candidates(scored: Vec<Scored>, source: Source) -> Vec<Candidate> {
    scored.into_iter().map(|Scored { item, score }| Candidate { row: item, score, source }).collect()
}
