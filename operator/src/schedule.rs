//! Five fields of cron in a time zone, and the next start after a moment. Pure: the moment is an argument.
//!
//! A start that falls into the hour that clocks leave out happens when that hour would have been over by as much; one that
//! falls into the hour that they repeat happens once.

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::TimeZone,
};

/// Days that are looked through for the next start: more than the eight years between two 29ths of February around a year
/// that is no leap year.
const DAYS_MAX: usize = 9 * 366;
/// The zone when none is named.
const ZONE_DEFAULT: &str = "Etc/UTC";
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// When runs start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    minutes: Field,
    hours: Field,
    days: Field,
    months: Field,
    weekdays: Field,
    zone: TimeZone,
}

/// What is wrong with a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Not five fields.
    #[error("schedule: expected five fields (minute, hour, day of the month, month, day of the week), found {0}")]
    Fields(usize),
    /// A field that cannot be read.
    #[error(
        "schedule: {part:?} is no {field}; expected {min} to {max}, a range such as {min}-{max}, * or a step such as */2"
    )]
    Part {
        /// What was written.
        part: String,
        /// Which field.
        field: &'static str,
        /// Its least value.
        min: u8,
        /// Its greatest.
        max: u8,
    },
    /// Such as the 30th of February.
    #[error("schedule: no day is ever like that; look at the day of the month and the month")]
    Never,
    /// A zone that the database does not have.
    #[error("timeZone: {0:?} is not in the IANA database; expected a name such as Europe/Berlin")]
    Zone(String),
}

/// Values of a field, a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    values: u64,
    /// Whether it is `*`, which leaves the choice to the other field of days.
    any: bool,
}

/// A field's name, bounds and words.
struct Kind {
    name: &'static str,
    min: u8,
    max: u8,
    words: &'static [&'static str],
}

const MINUTE: Kind = Kind { name: "minute", min: 0, max: 59, words: &[] };
const HOUR: Kind = Kind { name: "hour", min: 0, max: 23, words: &[] };
const DAY: Kind = Kind { name: "day of the month", min: 1, max: 31, words: &[] };
const MONTH: Kind = Kind { name: "month", min: 1, max: 12, words: &MONTHS };
/// Sunday is 0 and 7.
const WEEKDAY: Kind = Kind { name: "day of the week", min: 0, max: 7, words: &WEEKDAYS };

impl Schedule {
    /// Reads an expression and the name of a zone; UTC when there is none.
    ///
    /// # Errors
    /// What is wrong with either.
    pub fn parse(expression: &str, zone: Option<&str>) -> Result<Self, ScheduleError> {
        let fields: Vec<&str> = expression.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else {
            return Err(ScheduleError::Fields(fields.len()));
        };
        let name = zone.unwrap_or(ZONE_DEFAULT);
        let mut weekdays = Field::parse(weekdays, &WEEKDAY)?;
        weekdays.values |= weekdays.values >> 7 & 1;
        let schedule = Self {
            minutes: Field::parse(minutes, &MINUTE)?,
            hours: Field::parse(hours, &HOUR)?,
            days: Field::parse(days, &DAY)?,
            months: Field::parse(months, &MONTH)?,
            weekdays,
            zone: TimeZone::get(name).map_err(|_| ScheduleError::Zone(name.to_owned()))?,
        };
        if schedule.next_after(0).is_none() {
            return Err(ScheduleError::Never);
        }
        Ok(schedule)
    }

    /// The first start after a moment, both in seconds since 1970.
    pub fn next_after(&self, moment: i64) -> Option<i64> {
        let local = self.zone.to_datetime(Timestamp::from_second(moment).ok()?);
        let days = std::iter::successors(Some(local.date()), |date| date.tomorrow().ok()).take(DAYS_MAX);
        days.filter(|date| self.has_day(*date)).find_map(|date| self.first_of_day(date, moment))
    }

    fn has_day(&self, date: Date) -> bool {
        let day = self.days.has(date.day());
        let weekday = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        let fits = if self.days.any || self.weekdays.any { day && weekday } else { day || weekday };
        fits && self.months.has(date.month())
    }

    /// The first start of a day that is after a moment. Where clocks change, starts are not in the order of their names.
    fn first_of_day(&self, date: Date, moment: i64) -> Option<i64> {
        let hours = (0..24).filter(|hour| self.hours.has(*hour));
        let times = hours.flat_map(|hour| (0..60).filter(|m| self.minutes.has(*m)).map(move |minute| (hour, minute)));
        let seconds = times.filter_map(|(hour, minute)| self.second(date.at(hour, minute, 0, 0)));
        seconds.filter(|second| *second > moment).min()
    }

    fn second(&self, local: DateTime) -> Option<i64> {
        Some(self.zone.to_ambiguous_timestamp(local).compatible().ok()?.as_second())
    }
}

impl Field {
    fn has(self, value: i8) -> bool {
        u32::try_from(value).is_ok_and(|value| self.values.checked_shr(value).is_some_and(|bits| bits & 1 == 1))
    }

    fn parse(text: &str, kind: &Kind) -> Result<Self, ScheduleError> {
        let mut values = 0;
        for part in text.split(',') {
            values |= bits(part, kind).ok_or_else(|| ScheduleError::Part {
                part: part.to_owned(),
                field: kind.name,
                min: kind.min,
                max: kind.max,
            })?;
        }
        Ok(Self { values, any: text == "*" })
    }
}

/// The values of `*`, `a`, `a-b`, and each with `/step`; `a/step` goes on to the end.
fn bits(part: &str, kind: &Kind) -> Option<u64> {
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(step.parse::<u8>().ok().filter(|step| *step > 0)?)),
        None => (part, None),
    };
    let (first, last) = match range.split_once('-') {
        None if range == "*" => (kind.min, kind.max),
        None => {
            let value = value(range, kind)?;
            (value, if step.is_some() { kind.max } else { value })
        }
        Some((first, last)) => (value(first, kind)?, value(last, kind)?),
    };
    if first > last {
        return None;
    }
    Some((first..=last).step_by(usize::from(step.unwrap_or(1))).fold(0, |bits, value| bits | 1 << value))
}

fn value(text: &str, kind: &Kind) -> Option<u8> {
    let number = match kind.words.iter().position(|word| word.eq_ignore_ascii_case(text)) {
        Some(position) => u8::try_from(position).ok()? + kind.min,
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok()?,
        None => return None,
    };
    (kind.min..=kind.max).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests;
