//! Converts rows of the source to interactions; counts dropped rows by reason.

use std::{collections::BTreeMap, ops::ControlFlow};

use sidecar_contract::{Columns, RowCounts};

use crate::{
    dropped::{DropReason, Dropped},
    events::Events,
    failure::{FailureReason, RunError},
    interner::Interner,
    limits::{DROPPED_FRACTION_MAX, Limits},
    reinterpreted::{Reinterpretation, Reinterpreted},
    row_forms,
    table::{COLUMNS_REQUESTED_MAX, Cell, ColumnRequest, Digits, Role, RowSink},
    time_units::TimeUnits,
    timestamp::Time,
};

/// Columns that are used if the table has them and the resource names no others.
const DEFAULT_RATING_COLUMN: &str = "rating";
const DEFAULT_TIMESTAMP_COLUMN: &str = "timestamp";

/// A kept row, with provisional numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RawRow {
    pub(crate) user: u32,
    pub(crate) item: u32,
    pub(crate) weight: f32,
}

/// The rows of a source before duplicates are merged.
pub(crate) struct RawInteractions {
    pub(crate) users: Interner,
    pub(crate) items: Interner,
    pub(crate) rows: Vec<RawRow>,
    /// Microseconds since 1970 of each row, if there is a timestamp column.
    pub(crate) times: Option<Vec<i64>>,
    /// Rows read, kept and dropped.
    pub(crate) counts: RowCounts,
    pub(crate) dropped: Dropped,
    pub(crate) reinterpreted: Reinterpreted,
}

/// Collects rows as interactions.
pub(crate) struct InteractionReader<'a> {
    described_as: &'a str,
    events: Events<'a>,
    requests: [ColumnRequest; 5],
    limits: Limits,
    /// Flags of the columns that are present; they must be equal in every file.
    present: Option<[bool; COLUMNS_REQUESTED_MAX]>,
    users: Interner,
    items: Interner,
    rows: Vec<RawRow>,
    times: Vec<i64>,
    read: u64,
    dropped: Dropped,
    reinterpreted: Reinterpreted,
    time_units: TimeUnits,
    user_digits: Digits,
    item_digits: Digits,
    event_digits: Digits,
}

/// The values of one row.
struct Parsed<'a> {
    user: &'a str,
    item: &'a str,
    weight: f32,
    time: Option<Time>,
}

impl<'a> InteractionReader<'a> {
    pub(crate) fn new(
        described_as: &'a str,
        columns: &Columns,
        events: &'a BTreeMap<String, f64>,
        limits: Limits,
    ) -> Self {
        let Columns { user, item, rating, timestamp, event } = columns.clone();
        let request = |column, default_name, spec_field, role| ColumnRequest { column, default_name, spec_field, role };
        Self {
            described_as,
            events: Events(events),
            requests: [
                request(Some(user), None, "spec.data.columns.user", Role::Id),
                request(Some(item), None, "spec.data.columns.item", Role::Id),
                request(rating, Some(DEFAULT_RATING_COLUMN), "spec.data.columns.rating", Role::Number),
                request(timestamp, Some(DEFAULT_TIMESTAMP_COLUMN), "spec.data.columns.timestamp", Role::Time),
                request(event, None, "spec.data.columns.event", Role::Id),
            ],
            limits,
            present: None,
            users: Interner::default(),
            items: Interner::default(),
            rows: Vec::new(),
            times: Vec::new(),
            read: 0,
            dropped: Dropped::default(),
            reinterpreted: Reinterpreted::default(),
            time_units: TimeUnits::default(),
            user_digits: Digits::default(),
            item_digits: Digits::default(),
            event_digits: Digits::default(),
        }
    }

    /// Rows read, kept and dropped so far.
    pub(crate) fn progress(&self) -> (u64, u64, u64) {
        (self.read, self.rows.len() as u64, self.dropped.total())
    }

    fn keep(&mut self, parsed: &Parsed<'_>) -> Result<(), RunError> {
        let too_many = |what: &str, max: u32| {
            RunError::permanent(
                FailureReason::CapacityInsufficient,
                format!("{} has more than {max} {what}, the maximum for one model", self.described_as),
            )
        };
        let Limits { users_max, items_max, interactions_max } = self.limits;
        let Some(user) = self.users.number(parsed.user, users_max) else { return Err(too_many("users", users_max)) };
        let Some(item) = self.items.number(parsed.item, items_max) else { return Err(too_many("items", items_max)) };
        if self.rows.len() as u64 >= u64::from(interactions_max) {
            return Err(too_many("rows", interactions_max));
        }
        self.rows.push(RawRow { user, item, weight: parsed.weight });
        self.times.extend(parsed.time.map(|time| time.micros));
        Ok(())
    }

    /// Returns the interactions; fails if too few of the rows are usable.
    pub(crate) fn finish(self) -> Result<RawInteractions, RunError> {
        let source = self.described_as;
        let Some([_, _, _, timed, ..]) = self.present else {
            return Err(match self.read {
                0 => RunError::empty_table(source),
                read => RunError::bad_data(format!(
                    "no row of {source} can be used: {read} read, dropped {}{}",
                    self.dropped.described(),
                    self.dropped.advice()
                )),
            });
        };
        let intended = self.dropped.intended();
        let (dropped, read) = (self.dropped.total() - intended, self.read - intended);
        let described = self.dropped.described();
        if self.read == 0 {
            return Err(RunError::bad_data(format!("{source} has a header but no rows")));
        }
        if self.rows.is_empty() {
            return Err(RunError::bad_data(format!(
                "no row of {source} can be used: {} read, dropped {described}. Check spec.data.columns{}{}",
                self.read,
                if intended > 0 { " and spec.data.eventWeights" } else { "" },
                self.dropped.advice()
            )));
        }
        if dropped as f64 > DROPPED_FRACTION_MAX * read as f64 {
            return Err(RunError::bad_data(format!(
                "more than half of the rows of {source} cannot be used: {} read, dropped {described}. Check spec.data.columns \
                 and csv.delimiter, or clean the data{}",
                self.read,
                self.dropped.advice()
            )));
        }
        self.time_units.check(source)?;
        let counts = self.counts();
        Ok(RawInteractions {
            users: self.users,
            items: self.items,
            rows: self.rows,
            times: timed.then_some(self.times),
            counts,
            dropped: self.dropped,
            reinterpreted: self.reinterpreted,
        })
    }

    /// Counts for a run that fails during the read.
    pub(crate) fn counts(&self) -> RowCounts {
        RowCounts {
            read: self.read,
            kept: self.rows.len() as u64,
            dropped: self.dropped.by_name(),
            merged: 0,
            reinterpreted: self.reinterpreted.by_name(),
        }
    }
}

impl RowSink for InteractionReader<'_> {
    fn requests(&self) -> &[ColumnRequest] {
        &self.requests
    }

    fn begin(&mut self, file: &str, present: [bool; COLUMNS_REQUESTED_MAX]) -> Result<(), RunError> {
        let first = *self.present.get_or_insert(present);
        let differs =
            |(column, (this, first)): (&ColumnRequest, (bool, bool))| (this != first).then(|| (column.clone(), this));
        let Some((column, has_it)) = self.requests.iter().zip(present.into_iter().zip(first)).find_map(differs) else {
            return Ok(());
        };
        let has = if has_it { "has a" } else { "has no" };
        Err(RunError::bad_data(format!(
            "{file} {has} column {:?}, unlike the files before it: add the column to all files or to none, or set {} to a \
             column that all files have",
            column.default_name.unwrap_or_default(),
            column.spec_field
        )))
    }

    fn row(&mut self, cells: &[Cell<'_>; COLUMNS_REQUESTED_MAX]) -> Result<ControlFlow<()>, RunError> {
        self.read += 1;
        let present = self.present.unwrap_or_default();
        let (mut user_digits, mut item_digits) =
            (std::mem::take(&mut self.user_digits), std::mem::take(&mut self.item_digits));
        let event_weight = |event: Cell<'_>, rating| self.events.weight(event, &mut self.event_digits, rating);
        let kept = match parse(cells, present, &mut user_digits, &mut item_digits, event_weight) {
            Ok(parsed) => {
                let [user, item, rating, ..] = *cells;
                row_forms::count(&mut self.reinterpreted, [user, item], rating, parsed.time);
                if let Some(time) = parsed.time {
                    self.time_units.add(time, self.read);
                }
                self.keep(&parsed)
            }
            Err(reason) => {
                self.dropped.add(reason, self.read, 1);
                Ok(())
            }
        };
        (self.user_digits, self.item_digits) = (user_digits, item_digits);
        // A row that exceeds a limit is neither kept nor dropped: it ends the read.
        self.read -= u64::from(kept.is_err());
        kept.map(ControlFlow::Continue)
    }

    fn reinterpreted(&mut self, what: Reinterpretation) {
        self.reinterpreted.add(what);
    }

    fn bad(&mut self, reason: DropReason, rows: u64) {
        self.read += rows;
        self.dropped.add(reason, self.read + 1 - rows, rows);
    }
}

fn parse<'a>(
    cells: &[Cell<'a>; COLUMNS_REQUESTED_MAX],
    present: [bool; COLUMNS_REQUESTED_MAX],
    user_digits: &'a mut Digits,
    item_digits: &'a mut Digits,
    event_weight: impl FnOnce(Cell<'_>, f32) -> Result<f32, DropReason>,
) -> Result<Parsed<'a>, DropReason> {
    let [user, item, rating, time, event, ..] = *cells;
    let [_, _, rated, timed, has_event, ..] = present;
    let user = user.id(user_digits, DropReason::EmptyUser)?;
    let item = item.id(item_digits, DropReason::EmptyItem)?;
    let rating = if rated { rating.number()? } else { 1.0 };
    let weight = if has_event { event_weight(event, rating)? } else { rating };
    Ok(Parsed { user, item, weight, time: timed.then(|| time.time()).transpose()? })
}
