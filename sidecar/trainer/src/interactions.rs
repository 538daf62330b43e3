//! Rows of the source to interactions: which are kept, which are dropped and why.

use std::collections::BTreeMap;

use sidecar_contract::{Columns, RowCounts};

use crate::{
    dropped::{DropReason, Dropped},
    failure::{FailureReason, Stop},
    interner::Interner,
    limits::{DROPPED_SHARE_MAX, Limits},
    table::{Cell, Digits, Role, Taker, WANTED_MAX, Wanted},
    weights::Events,
};

/// Columns that are used when the table has them and the resource names no other.
const RATING_BY_DEFAULT: &str = "rating";
const TIMESTAMP_BY_DEFAULT: &str = "timestamp";

/// A kept row, with provisional numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RawRow {
    pub(crate) user: u32,
    pub(crate) item: u32,
    pub(crate) weight: f32,
}

/// What was read.
pub(crate) struct RawInteractions {
    pub(crate) users: Interner,
    pub(crate) items: Interner,
    pub(crate) rows: Vec<RawRow>,
    /// Microseconds since 1970 beside each row, if there is such a column.
    pub(crate) times: Option<Vec<i64>>,
    /// Rows read, kept and dropped.
    pub(crate) counts: RowCounts,
    pub(crate) dropped: Dropped,
}

/// Takes one row after the other.
pub(crate) struct InteractionReader<'a> {
    described_as: &'a str,
    events: Events<'a>,
    wanted: [Wanted; 5],
    limits: Limits,
    /// Which columns there are: the same in every file.
    present: Option<[bool; WANTED_MAX]>,
    users: Interner,
    items: Interner,
    rows: Vec<RawRow>,
    times: Vec<i64>,
    read: u64,
    dropped: Dropped,
    user_digits: Digits,
    item_digits: Digits,
    event_digits: Digits,
}

/// What one row says.
struct Parsed<'a> {
    user: &'a str,
    item: &'a str,
    weight: f32,
    time: Option<i64>,
}

impl<'a> InteractionReader<'a> {
    pub(crate) fn new(
        described_as: &'a str,
        columns: &Columns,
        events: &'a BTreeMap<String, f64>,
        limits: Limits,
    ) -> Self {
        let Columns { user, item, rating, timestamp, event } = columns.clone();
        let wanted = |column, by_default, spec_field, role| Wanted { column, by_default, spec_field, role };
        Self {
            described_as,
            events: Events(events),
            wanted: [
                wanted(Some(user), None, "spec.data.columns.user", Role::Id),
                wanted(Some(item), None, "spec.data.columns.item", Role::Id),
                wanted(rating, Some(RATING_BY_DEFAULT), "spec.data.columns.rating", Role::Number),
                wanted(timestamp, Some(TIMESTAMP_BY_DEFAULT), "spec.data.columns.timestamp", Role::Time),
                wanted(event, None, "spec.data.columns.event", Role::Id),
            ],
            limits,
            present: None,
            users: Interner::default(),
            items: Interner::default(),
            rows: Vec::new(),
            times: Vec::new(),
            read: 0,
            dropped: Dropped::default(),
            user_digits: Digits::default(),
            item_digits: Digits::default(),
            event_digits: Digits::default(),
        }
    }

    /// Rows read, kept and dropped so far.
    pub(crate) fn progress(&self) -> (u64, u64, u64) {
        (self.read, self.rows.len() as u64, self.dropped.total())
    }

    fn keep(&mut self, parsed: &Parsed<'_>) -> Result<(), Stop> {
        let too_many = |what: &str, max: u32| {
            Stop::failed(
                FailureReason::CapacityInsufficient,
                format!("{} has more than {max} {what}, the most that one model takes", self.described_as),
            )
        };
        let Limits { users_max, items_max, interactions_max } = self.limits;
        let Some(user) = self.users.number(parsed.user, users_max) else { return Err(too_many("users", users_max)) };
        let Some(item) = self.items.number(parsed.item, items_max) else { return Err(too_many("items", items_max)) };
        if self.rows.len() as u64 >= u64::from(interactions_max) {
            return Err(too_many("rows", interactions_max));
        }
        self.rows.push(RawRow { user, item, weight: parsed.weight });
        self.times.extend(parsed.time);
        Ok(())
    }

    /// The file is over: what was read, if it can be trusted.
    pub(crate) fn finish(self) -> Result<RawInteractions, Stop> {
        let source = self.described_as;
        let Some([_, _, _, timed, ..]) = self.present else {
            return Err(Stop::bad_data(match self.read {
                0 => format!("{source} is empty: expected a header and at least one row"),
                read => format!("no row of {source} can be used: {read} read, dropped {}", self.dropped.described()),
            }));
        };
        let meant = self.dropped.meant();
        let (dropped, read) = (self.dropped.total() - meant, self.read - meant);
        let described = self.dropped.described();
        if self.read == 0 {
            return Err(Stop::bad_data(format!("{source} has a header but no rows")));
        }
        if self.rows.is_empty() {
            return Err(Stop::bad_data(format!(
                "no row of {source} can be used: {} read, dropped {described}. Check spec.data.columns{}",
                self.read,
                if meant > 0 { " and spec.data.eventWeights" } else { "" }
            )));
        }
        if dropped as f64 > DROPPED_SHARE_MAX * read as f64 {
            return Err(Stop::bad_data(format!(
                "more than half of the rows of {source} cannot be used: {} read, dropped {described}. Check spec.data.columns \
                 and csv.delimiter, or clean the data",
                self.read
            )));
        }
        let counts =
            RowCounts { read: self.read, kept: self.rows.len() as u64, dropped: self.dropped.by_name(), merged: 0 };
        Ok(RawInteractions {
            users: self.users,
            items: self.items,
            rows: self.rows,
            times: timed.then_some(self.times),
            counts,
            dropped: self.dropped,
        })
    }

    /// Counts for a run that failed while reading.
    pub(crate) fn counts(&self) -> RowCounts {
        RowCounts { read: self.read, kept: self.rows.len() as u64, dropped: self.dropped.by_name(), merged: 0 }
    }
}

impl Taker for InteractionReader<'_> {
    fn wanted(&self) -> &[Wanted] {
        &self.wanted
    }

    fn begin(&mut self, file: &str, present: [bool; WANTED_MAX]) -> Result<(), Stop> {
        let first = *self.present.get_or_insert(present);
        let differs = |(column, (now, before)): (&Wanted, (bool, bool))| (now != before).then(|| (column.clone(), now));
        let Some((column, has_it)) = self.wanted.iter().zip(present.into_iter().zip(first)).find_map(differs) else {
            return Ok(());
        };
        let (has, others) = if has_it { ("has", "have not") } else { ("has not", "have") };
        Err(Stop::bad_data(format!(
            "{file} {has} a column {:?} that the files before it {others}: give it to all or none of them, or set {} to a column \
             that all have",
            column.by_default.unwrap_or_default(),
            column.spec_field
        )))
    }

    fn row(&mut self, cells: &[Cell<'_>; WANTED_MAX]) -> Result<(), Stop> {
        self.read += 1;
        let present = self.present.unwrap_or_default();
        let (mut user_digits, mut item_digits) =
            (std::mem::take(&mut self.user_digits), std::mem::take(&mut self.item_digits));
        let weigh = |event: Cell<'_>, rating| self.events.weight(event, &mut self.event_digits, rating);
        let kept = match parse(*cells, present, &mut user_digits, &mut item_digits, weigh) {
            Ok(parsed) => self.keep(&parsed),
            Err(reason) => {
                self.dropped.add(reason, self.read, 1);
                Ok(())
            }
        };
        (self.user_digits, self.item_digits) = (user_digits, item_digits);
        kept
    }

    fn bad(&mut self, reason: DropReason, rows: u64) {
        self.read += rows;
        self.dropped.add(reason, self.read + 1 - rows, rows);
    }
}

fn parse<'a>(
    cells: [Cell<'a>; WANTED_MAX],
    present: [bool; WANTED_MAX],
    user_digits: &'a mut Digits,
    item_digits: &'a mut Digits,
    weigh: impl FnOnce(Cell<'_>, f32) -> Result<f32, DropReason>,
) -> Result<Parsed<'a>, DropReason> {
    let [user, item, rating, time, event, ..] = cells;
    let [_, _, rated, timed, eventful, ..] = present;
    let user = user.id(user_digits, DropReason::EmptyUser)?;
    let item = item.id(item_digits, DropReason::EmptyItem)?;
    let rating = if rated { rating.number()? } else { 1.0 };
    let weight = if eventful { weigh(event, rating)? } else { rating };
    Ok(Parsed { user, item, weight, time: timed.then(|| time.micros()).transpose()? })
}
