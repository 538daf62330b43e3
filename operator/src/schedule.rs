//! Cron schedules with five fields and a time zone, and the next start after a given time. Pure:
//! the time is an argument.
//!
//! When clocks are set forward, a start in the skipped hour is shifted by the length of the gap.
//! When clocks are set back, a start in the repeated hour happens once.

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::TimeZone,
};

/// Days that are searched for the next start. Two leap days are up to eight years apart, because
/// most century years are not leap years.
const DAYS_MAX: usize = 9 * 366;
/// Time zone if none is given.
const ZONE_DEFAULT: &str = "Etc/UTC";
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Start times of runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    minutes: Field,
    hours: Field,
    days: Field,
    months: Field,
    weekdays: Field,
    zone: TimeZone,
}

/// Why a schedule is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The expression does not have five fields.
    #[error("schedule: expected five fields (minute, hour, day of the month, month, day of the week), found {0}")]
    Fields(usize),
    /// Part of a field is invalid.
    #[error(
        "schedule: {part:?} is not a valid {field}; expected {min} to {max}, a range such as {min}-{max}, * or a step such as */2"
    )]
    Part {
        /// The invalid part.
        part: String,
        /// Name of the field.
        field: &'static str,
        /// Minimum value.
        min: u8,
        /// Maximum value.
        max: u8,
    },
    /// No date matches, for example the 30th of February.
    #[error("schedule: no date ever matches; check the day of the month and the month")]
    Never,
    /// The time zone is not in the database.
    #[error("timeZone: {0:?} is not in the IANA database; expected a name such as Europe/Berlin")]
    Zone(String),
}

/// Values of a field as a bit set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    values: u64,
    /// Whether the field is `*`. Of the two day fields, one that is `*` does not restrict the
    /// other.
    any: bool,
}

/// Name, bounds and names of the values of a field.
struct FieldSpec {
    name: &'static str,
    min: u8,
    max: u8,
    value_names: &'static [&'static str],
}

const MINUTE: FieldSpec = FieldSpec { name: "minute", min: 0, max: 59, value_names: &[] };
const HOUR: FieldSpec = FieldSpec { name: "hour", min: 0, max: 23, value_names: &[] };
const DAY: FieldSpec = FieldSpec { name: "day of the month", min: 1, max: 31, value_names: &[] };
const MONTH: FieldSpec = FieldSpec { name: "month", min: 1, max: 12, value_names: &MONTHS };
/// Sunday is 0 or 7.
const WEEKDAY: FieldSpec = FieldSpec { name: "day of the week", min: 0, max: 7, value_names: &WEEKDAYS };

impl Schedule {
    /// Parses an expression and the name of a time zone; UTC if there is none.
    ///
    /// # Errors
    /// Fails if the expression or the time zone is invalid.
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

    /// The first start after a time; both are in seconds since 1970.
    pub fn next_after(&self, after: i64) -> Option<i64> {
        let local = self.zone.to_datetime(Timestamp::from_second(after).ok()?);
        let days = std::iter::successors(Some(local.date()), |date| date.tomorrow().ok()).take(DAYS_MAX);
        days.filter(|date| self.has_day(*date)).find_map(|date| self.first_of_day(date, after))
    }

    fn has_day(&self, date: Date) -> bool {
        let day = self.days.has(date.day());
        let weekday = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        let matches = if self.days.any || self.weekdays.any { day && weekday } else { day || weekday };
        matches && self.months.has(date.month())
    }

    /// The first start on a date that is after a time. When clocks change, starts are not in the
    /// order of their local times.
    fn first_of_day(&self, date: Date, after: i64) -> Option<i64> {
        let hours = (0..24).filter(|hour| self.hours.has(*hour));
        let times = hours.flat_map(|hour| (0..60).filter(|m| self.minutes.has(*m)).map(move |minute| (hour, minute)));
        let seconds = times.filter_map(|(hour, minute)| self.second(date.at(hour, minute, 0, 0)));
        seconds.filter(|second| *second > after).min()
    }

    fn second(&self, local: DateTime) -> Option<i64> {
        Some(self.zone.to_ambiguous_timestamp(local).compatible().ok()?.as_second())
    }
}

impl Field {
    fn has(self, value: i8) -> bool {
        u32::try_from(value).is_ok_and(|value| self.values.checked_shr(value).is_some_and(|bits| bits & 1 == 1))
    }

    fn parse(text: &str, spec: &FieldSpec) -> Result<Self, ScheduleError> {
        let mut values = 0;
        for part in text.split(',') {
            values |= bits(part, spec).ok_or_else(|| ScheduleError::Part {
                part: part.to_owned(),
                field: spec.name,
                min: spec.min,
                max: spec.max,
            })?;
        }
        Ok(Self { values, any: text == "*" })
    }
}

/// Parses `*`, `a` or `a-b`, each with an optional `/step`; the range of `a/step` ends at the
/// maximum.
fn bits(part: &str, spec: &FieldSpec) -> Option<u64> {
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(step.parse::<u8>().ok().filter(|step| *step > 0)?)),
        None => (part, None),
    };
    let (first, last) = match range.split_once('-') {
        None if range == "*" => (spec.min, spec.max),
        None => {
            let value = value(range, spec)?;
            (value, if step.is_some() { spec.max } else { value })
        }
        Some((first, last)) => (value(first, spec)?, value(last, spec)?),
    };
    if first > last {
        return None;
    }
    Some((first..=last).step_by(usize::from(step.unwrap_or(1))).fold(0, |bits, value| bits | 1 << value))
}

fn value(text: &str, spec: &FieldSpec) -> Option<u8> {
    let number = match spec.value_names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
        Some(position) => u8::try_from(position).ok()? + spec.min,
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok()?,
        None => return None,
    };
    (spec.min..=spec.max).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests;
