//! The first rows of a source: what a look at it reads, where a run reads all.

use std::cell::Cell as Shared;

use crate::{
    dropped::DropReason,
    failure::Stop,
    limits::CHUNK_BYTES,
    read::{Form, read_all},
    source::{Source, Stat},
    table::{Cell, Taker, WANTED_MAX, Wanted, header::Kind},
};

/// Hands on rows until there are enough.
struct Head<'a, T> {
    taker: &'a mut T,
    rows_left: u64,
    enough: bool,
}

/// Reads rows up to so many, and returns which share of the bytes that was: 1 if it was everything, else a guess.
pub(crate) fn read_head<T: Taker>(
    source: &Source,
    stat: &Stat,
    form: Form<'_>,
    taker: &mut T,
    rows_max: u64,
    progress: &dyn Fn(&T, u64),
) -> Result<f64, Stop> {
    let mut head = Head { taker, rows_left: rows_max, enough: false };
    let bytes_read = Shared::new(0);
    let read = read_all(source, stat, form, &mut head, &|head: &Head<'_, T>, bytes| {
        bytes_read.set(bytes);
        progress(head.taker, bytes);
    });
    match read {
        // Not an error of the source: the one way out of a reader that is not done.
        Err(_) if head.enough => {
            // The chunk in which it was enough has not been heard of.
            let bytes = bytes_read.get().max(CHUNK_BYTES as u64).min(stat.size_bytes);
            Ok(bytes as f64 / stat.size_bytes.max(1) as f64)
        }
        read => read.map(|()| 1.0),
    }
}

impl<T: Taker> Taker for Head<'_, T> {
    fn columns(&mut self, kind: &Kind) {
        self.taker.columns(kind);
    }

    fn wanted(&self) -> &[Wanted] {
        self.taker.wanted()
    }

    fn begin(&mut self, file: &str, present: [bool; WANTED_MAX]) -> Result<(), Stop> {
        self.taker.begin(file, present)
    }

    fn row(&mut self, cells: &[Cell<'_>; WANTED_MAX]) -> Result<(), Stop> {
        if self.rows_left == 0 {
            self.enough = true;
            return Err(Stop::retry("enough rows"));
        }
        self.rows_left -= 1;
        self.taker.row(cells)
    }

    fn bad(&mut self, reason: DropReason, rows: u64) {
        self.rows_left = self.rows_left.saturating_sub(rows);
        self.taker.bad(reason, rows);
    }
}
