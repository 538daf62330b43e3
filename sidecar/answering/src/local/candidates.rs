//! Candidate generation: each source lists its best rows that pass the filter.

use std::collections::HashSet;

use factorization::{Part, Scored};
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
/// A list is continued by the source of its last item: a vector ranks every item that passes, so
/// popularity has nothing to add after it.
///
/// # Errors
/// A history that cannot be folded in, or a page of a model that does not serve.
pub fn generate(resolved: &Resolved<'_>, mode: ServingMode) -> Result<Vec<Vec<Candidate>>, AnswerError> {
    let continued = resolved.after.map(|last| last.source);
    if continued == Some(Source::Popular) {
        return Ok(vec![popular(resolved)]);
    }
    let mut lists = Vec::with_capacity(2);
    if mode.is_personalized() {
        lists.push(match resolved.target {
            Target::Similar { item } => return Ok(vec![similar(resolved, item)]),
            Target::Recommend { user, ref history } => personalized(resolved, user, history)?,
        });
    } else if continued.is_some() {
        return Err(AnswerError::CursorGone { revision: resolved.model.digest().revision().to_owned() });
    }
    if continued.is_none() && lists.iter().map(Vec::len).sum::<usize>() < resolved.n {
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
    let listed = resolved.filter.listed();
    let part = part(resolved, listed.as_deref());
    let best = scorer.best_in(part, &vector, resolved.n, |row| resolved.filter.passes(row));
    Ok(candidates(best, source))
}

fn similar(resolved: &Resolved<'_>, item: u32) -> Vec<Candidate> {
    let listed = resolved.filter.listed();
    let part = part(resolved, listed.as_deref());
    candidates(resolved.scorer.similar_in(part, item, resolved.n, |row| resolved.filter.passes(row)), Source::Similar)
}

/// The part of the items that a search reads.
fn part<'l>(resolved: &'l Resolved<'_>, listed: Option<&'l [u32]>) -> Part<'l> {
    Part { among: resolved.filter.among(listed), after: resolved.after.map(|last| last.row) }
}

#[expect(clippy::cast_precision_loss, reason = "a count as a score")]
fn popular(resolved: &Resolved<'_>) -> Vec<Candidate> {
    let Resolved { model, filter, after, n, .. } = resolved;
    let snapshot = model.snapshot();
    let counts = snapshot.item_counts();
    let score = |row: u32| counts.get(row as usize).map_or(0.0, |count| *count as f32);
    let ranking = snapshot.popular();
    let start = after.and_then(|last| ranking.iter().position(|row| *row == last.row)).map_or(0, |last| last + 1);
    let rows = ranking.get(start..).unwrap_or_default().iter().copied().filter(|row| filter.passes(*row)).take(*n);
    let mut ranked: Vec<u32> = rows.collect();
    if let Some(candidates) = filter.candidates() {
        // The ranking lacks items that nobody chose. A list of candidates has them, last.
        let listed: HashSet<u32> = ranked.iter().copied().collect();
        let rest = candidates.iter().copied().filter(|row| !listed.contains(row) && filter.passes(*row));
        let rest: Vec<u32> = rest.take(n - ranked.len()).collect();
        ranked.extend(rest);
    }
    ranked.into_iter().map(|row| Candidate { row, score: score(row), source: Source::Popular }).collect()
}

fn candidates(scored: Vec<Scored>, source: Source) -> Vec<Candidate> {
    scored.into_iter().map(|Scored { item, score }| Candidate { row: item, score, source }).collect()
}
