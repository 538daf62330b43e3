//! The lists of all users of a model, computed on all CPUs and written to a file.
//!
//! Users are answered in chunks, in the order of the model, so the memory does not grow with their
//! number: a chunk has a maximum number of rows.

use std::{
    ops::Range,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use answering::{Answer, AnswerError, Ask, Local, Query, RequestId};
use anyhow::{Context as _, Result, ensure};

use crate::{
    cpus::available_cpus,
    limits::{LIST_ENTRIES_MAX, LIST_ROWS_PER_CHUNK},
    list_file::{ListFile, ListFormat, ListRow},
};

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Users of the model.
    pub users: u64,
    /// Rows: one for each user and item.
    pub rows: u64,
}

/// Writes `n` items for each user of a model.
///
/// # Errors
/// A length out of bounds, or a file that cannot be written. There is no file then.
pub fn write(local: &Local, n: usize, output: &Path, format: ListFormat) -> Result<Written> {
    ensure!((1..=LIST_ENTRIES_MAX).contains(&n), "-n {n}: expected 1 to {LIST_ENTRIES_MAX} items for each user");
    let users = u32::try_from(local.model().snapshot().metadata().users)?;
    let per_chunk = u32::try_from((LIST_ROWS_PER_CHUNK / n).max(1))?;
    let cannot_write = || format!("cannot write {}", output.display());
    let mut file = ListFile::create(output, format).with_context(cannot_write)?;
    let catalogue = local.catalogue().map_or("", |catalogue| catalogue.version());
    let (mut first, mut rows) = (0, 0);
    while first < users {
        let chunk = first..users.min(first.saturating_add(per_chunk));
        first = chunk.end;
        let lists = lists(local, chunk, n)?;
        rows += lists.iter().map(|(_, answer)| answer.items.len() as u64).sum::<u64>();
        let listed = lists.iter().flat_map(|(user, answer)| {
            (1..).zip(&answer.items).map(|(rank, item)| ListRow {
                user,
                rank,
                item: &item.id,
                score: item.score,
                revision: local.revision(),
                catalogue,
            })
        });
        file.write(listed).with_context(cannot_write)?;
    }
    file.finish().with_context(cannot_write)?;
    Ok(Written { users: users.into(), rows })
}

/// The answers of a range of users, computed on all CPUs.
fn lists(local: &Local, users: Range<u32>, n: usize) -> Result<Vec<(&str, Answer<'_>)>, AnswerError> {
    let next = AtomicU32::new(users.start);
    let answer_some = || {
        let mut answers = Vec::new();
        loop {
            let row = next.fetch_add(1, Ordering::Relaxed);
            if row >= users.end {
                return Ok(answers);
            }
            let Some(user) = local.model().snapshot().user_id(row) else { continue };
            let query = Query::Recommend { user: Some(user.to_owned()), history: Vec::new() };
            let answer = local.answer(&Ask { n, ..Ask::new(RequestId::new(), query) })?;
            answers.push((row, user, answer));
        }
    };
    let parts: Vec<Result<Vec<_>, AnswerError>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..available_cpus()).map(|_| scope.spawn(answer_some)).collect();
        threads.into_iter().map(|thread| thread.join().expect("an answer does not panic")).collect()
    });
    let mut answers = Vec::new();
    for part in parts {
        answers.extend(part?);
    }
    answers.sort_unstable_by_key(|(row, _, _)| *row);
    Ok(answers.into_iter().map(|(_, user, answer)| (user, answer)).collect())
}
