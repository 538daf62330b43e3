//! Candidate generation: each source lists its best rows that pass the filter.

use std::cmp::Reverse;

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
    let count = |row: u32| counts.get(row as usize).copied().unwrap_or_default();
    let after = after.map(|last| last.row);
    let rows: Vec<u32> = if let Some(candidates) = filter.candidates() {
        // The order of the ranking, without reading it: the few candidates are among millions of items.
        // The ranking lacks items that nobody chose; a list of candidates has them, last.
        let place = |row: u32| (Reverse(count(row)), row);
        let is_next = |row: u32| after.is_none_or(|last| place(row) > place(last));
        let mut rows: Vec<u32> =
            candidates.iter().copied().filter(|row| is_next(*row) && filter.passes(*row)).collect();
        rows.sort_unstable_by_key(|row| place(*row));
        rows.truncate(*n);
        rows
    } else {
        let ranking = snapshot.popular();
        let start = after.and_then(|last| ranking.iter().position(|row| *row == last)).map_or(0, |place| place + 1);
        let rest = ranking.get(start..).unwrap_or_default();
        rest.iter().copied().filter(|row| filter.passes(*row)).take(*n).collect()
    };
    rows.into_iter().map(|row| Candidate { row, score: count(row) as f32, source: Source::Popular }).collect()
}

fn candidates(scored: Vec<Scored>, source: Source) -> Vec<Candidate> {
    scored.into_iter().map(|Scored { item, score }| Candidate { row: item, score, source }).collect()
}
