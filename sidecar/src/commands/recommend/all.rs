//! `recmesh-sidecar recommend --all`: the lists of all users in one file.
//!
//! Users are answered in chunks, in the order of the model, so the memory does not grow with their
//! number: a chunk has a maximum number of rows.

use std::{
    ops::Range,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use answering::{Answer, AnswerError, Ask, DEFAULT_VARIANT, Local, Query, RequestId};
use anyhow::{Context as _, Result, ensure};
use sidecar_contract::ServingMode;

use crate::{
    cpus::available_cpus,
    limits::{LIST_ENTRIES_MAX, LIST_ROWS_PER_CHUNK},
    list_file::{ListFile, ListFormat, ListRow},
    loading::{self, Verification},
};

/// Writes `n` items for each user of a model; the format is that of the file's extension.
///
/// # Errors
/// A model file that cannot serve, an unknown extension, or a file that cannot be written.
pub fn run(model: &Path, n: usize, output: &Path) -> Result<()> {
    ensure!((1..=LIST_ENTRIES_MAX).contains(&n), "-n {n}: expected 1 to {LIST_ENTRIES_MAX} items for each user");
    let format = ListFormat::of(output)?;
    let model = loading::open(model, Verification::Any)?;
    let users = u32::try_from(model.snapshot().metadata().users)?;
    let local = Local::new(Arc::clone(&model), DEFAULT_VARIANT, ServingMode::Personalized);
    let per_chunk = u32::try_from((LIST_ROWS_PER_CHUNK / n).max(1))?;
    let mut file = ListFile::create(output, format).with_context(|| format!("cannot write {}", output.display()))?;
    let mut first = 0;
    while first < users {
        let chunk = first..users.min(first.saturating_add(per_chunk));
        first = chunk.end;
        let lists = lists(&local, chunk, n)?;
        let rows = lists.iter().flat_map(|(user, answer)| {
            (1..).zip(&answer.items).map(|(rank, item)| ListRow {
                user,
                rank,
                item: &item.id,
                score: item.score,
                revision: local.revision(),
            })
        });
        file.write(rows).with_context(|| format!("cannot write {}", output.display()))?;
    }
    file.finish().with_context(|| format!("cannot write {}", output.display()))?;
    eprintln!("{}: the lists of {users} users", output.display());
    Ok(())
}

/// The answers of a range of users, computed on all CPUs.
fn lists(local: &Local, users: Range<u32>, n: usize) -> Result<Vec<(String, Answer)>, AnswerError> {
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
            answers.push((row, user.to_owned(), answer));
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
