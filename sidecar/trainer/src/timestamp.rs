//! Timestamps in any of their forms, converted to microseconds since 1970.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time {
    /// Microseconds since 1970.
    pub(crate) micros: i64,
    pub(crate) form: TimeForm,
}

/// How a timestamp is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeForm {
    /// With a time zone, or as a type of its own.
    Exact,
    /// A date, or a date and time; read as UTC.
    WithoutZone,
    /// A number of units since 1970.
    Number(TimeUnit),
    /// A number so small that it is close to 1970 in any unit, such as 0 or -1 for an unknown time.
    NearZero,
}

/// Unit of a number, recognized by its magnitude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeUnit {
    Seconds,
    Millis,
    Micros,
    Nanos,
    /// Not a number of units, but the digits of a date, or of a date and time.
    Calendar,
}

/// Numbers with the digits of a date (`20240501`) and of a date and time (`20240501103000`). As
/// seconds and milliseconds they would be in August 1970, and beyond the year 2500.
const DATES: std::ops::Range<i128> = 19_000_101..22_000_000;
const DATE_TIMES: std::ops::Range<i128> = 19_000_101_000_000..22_000_000_000_000;

/// Smallest numbers that are read as milliseconds, microseconds and nanoseconds: these are in 1973,
/// and as the next larger unit beyond the year 5000.
const MILLIS_MIN: f64 = 1e11;
const MICROS_MIN: f64 = 1e14;
const NANOS_MIN: f64 = 1e17;
/// End of the range of nanoseconds.
const NUMBER_END: f64 = 1e20;
/// Numbers below are close to 1970 in any unit.
const NEAR_ZERO: f64 = 1e6;

impl TimeUnit {
    pub(crate) const ALL: [Self; 5] = [Self::Seconds, Self::Millis, Self::Micros, Self::Nanos, Self::Calendar];

    /// Plural name in messages.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Millis => "milliseconds",
            Self::Micros => "microseconds",
            Self::Nanos => "nanoseconds",
            Self::Calendar => "digits of a date",
        }
    }

    /// `None` beyond the range of nanoseconds, and for a number that is not finite.
    fn of(number: f64) -> Option<Self> {
        match number.abs() {
            size if size < MILLIS_MIN => Some(Self::Seconds),
            size if size < MICROS_MIN => Some(Self::Millis),
            size if size < NANOS_MIN => Some(Self::Micros),
            size if size < NUMBER_END => Some(Self::Nanos),
            _ => None,
        }
    }
}

impl Time {
    /// A timestamp type.
    pub(crate) fn exact(micros: i64) -> Self {
        Self { micros, form: TimeForm::Exact }
    }

    /// A whole number of units since 1970; `None` if it is out of range.
    pub(crate) fn whole(number: i128) -> Option<Self> {
        if let Some(micros) = calendar(number) {
            return Some(Self { micros, form: TimeForm::Number(TimeUnit::Calendar) });
        }
        let unit = TimeUnit::of(number as f64)?;
        let micros = match unit {
            TimeUnit::Seconds => number * 1_000_000,
            TimeUnit::Millis => number * 1000,
            TimeUnit::Micros => number,
            TimeUnit::Nanos | TimeUnit::Calendar => number.div_euclid(1000),
        };
        Some(Self { micros: i64::try_from(micros).ok()?, form: number_form(number as f64, unit) })
    }

    /// A number of units since 1970, with a fraction; `None` if it is out of range.
    pub(crate) fn fraction(number: f64) -> Option<Self> {
        #[allow(clippy::cast_possible_truncation, reason = "a date is small")]
        if let Some(micros) = Some(number as i128).filter(|_| number.fract() == 0.0).and_then(calendar) {
            return Some(Self { micros, form: TimeForm::Number(TimeUnit::Calendar) });
        }
        let unit = TimeUnit::of(number)?;
        let micros = match unit {
            TimeUnit::Seconds => number * 1e6,
            TimeUnit::Millis => number * 1e3,
            TimeUnit::Micros => number,
            TimeUnit::Nanos | TimeUnit::Calendar => number / 1e3,
        };
        #[allow(clippy::cast_possible_truncation, reason = "the unit bounds the number")]
        Some(Self { micros: micros.round() as i64, form: number_form(number, unit) })
    }

    /// A number, RFC 3339 and its common variations, a date and time, or a date; `None` for
    /// anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        // Integers are the common case and must be exact.
        if let Ok(number) = text.parse::<i128>() {
            return Self::whole(number);
        }
        if let Ok(number) = text.parse::<f64>() {
            return Self::fraction(number);
        }
        let exact = |time: Timestamp| Self::exact(time.as_microsecond());
        if let Some(time) = text.strip_suffix("UTC").or_else(|| text.strip_suffix("GMT")) {
            return without_zone(time).map(exact);
        }
        if let Ok(time) = text.parse::<Timestamp>() {
            return Some(exact(time));
        }
        if let Some((time, offset)) = split_offset(text) {
            return format!("{time}{offset}").parse().ok().map(exact);
        }
        without_zone(text).map(|time| Self { form: TimeForm::WithoutZone, ..exact(time) })
    }
}

/// A date that has slashes, or dots after the day and the month, with dashes.
fn with_dashes(text: &str) -> Option<String> {
    let end = text.find([' ', 'T']).unwrap_or(text.len());
    let (date, time) = text.split_at_checked(end)?;
    let parts = |separator: char| -> Option<[&str; 3]> { date.split(separator).collect::<Vec<_>>().try_into().ok() };
    let [year, month, day] = parts('/').or_else(|| parts('.').map(|[day, month, year]| [year, month, day]))?;
    // Spreadsheets omit zeros, and seconds.
    (year.len() == 4).then(|| format!("{year}-{month:0>2}-{day:0>2}{time}"))
}

fn number_form(number: f64, unit: TimeUnit) -> TimeForm {
    if number.abs() < NEAR_ZERO { TimeForm::NearZero } else { TimeForm::Number(unit) }
}

/// The time in UTC whose digits a number has.
fn calendar(number: i128) -> Option<i64> {
    let (date, time) = if DATES.contains(&number) {
        (number, 0)
    } else if DATE_TIMES.contains(&number) {
        (number / 1_000_000, number % 1_000_000)
    } else {
        return None;
    };
    let part = |number: i128, divisor: i128, modulus: i128| i8::try_from(number / divisor % modulus).ok();
    let (year, month, day) = (i16::try_from(date / 10_000).ok()?, part(date, 100, 100)?, part(date, 1, 100)?);
    let (hour, minute, second) = (part(time, 10_000, 100)?, part(time, 100, 100)?, part(time, 1, 100)?);
    let time = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond())
}

/// A date and time, or a date, in UTC: `2024-05-01`, and also `2024/05/01` and `01.05.2024`. Of
/// `5/1/2024`, day and month are not known.
fn without_zone(text: &str) -> Option<Timestamp> {
    let text = text.trim_end();
    let time: DateTime = match text.parse() {
        Ok(time) => time,
        Err(_) => with_dashes(text)?.parse().ok()?,
    };
    time.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp())
}

/// Splits `+0100` or `+01` off a time, which RFC 3339 writes `+01:00`.
fn split_offset(text: &str) -> Option<(&str, String)> {
    let sign = text.rfind(['+', '-'])?;
    let (time, offset) = text.split_at_checked(sign)?;
    let digits = offset.get(1..)?;
    // A date has a dash, too, but no colon before it.
    if !time.contains(':') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let minutes = match digits.len() {
        2 => "00",
        4 => digits.get(2..)?,
        _ => return None,
    };
    Some((time.trim_end(), format!("{}:{minutes}", offset.get(..3)?)))
}

/// The date of a timestamp, as `2000-12-31`; empty if it is outside the calendar's range.
pub fn day(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map(|time| time.to_zoned(TimeZone::UTC).date().to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 978_300_760_000_000;

    #[test]
    fn every_form_of_a_time_has_one_meaning() {
        for text in [
            "978300760",
            " 978300760.0 ",
            "9.7830076e8",
            "978300760000",
            "978300760000000",
            "978300760000000000",
            "978300760000.0",
            "2000-12-31T22:12:40Z",
            "2000-12-31 22:12:40Z",
            "2000-12-31 22:12:40 UTC",
            "2000-12-31 22:12:40 GMT",
            "2000-12-31 22:12:40+00:00",
            "2000-12-31 22:12:40+0000",
            "2000-12-31 22:12:40 +0000",
            "2000-12-31T22:12:40+00",
            "2000-12-31T23:12:40+0100",
            "2000-12-31T17:42:40-04:30",
            "2000-12-31T17:42:40-0430",
            "2000-12-31 22:12:40",
            "2000-12-31T22:12:40.000",
        ] {
            assert_eq!(Time::parse(text).map(|time| time.micros), Some(NOON), "{text:?}");
        }
        for (text, micros) in [
            ("0", Some(0)),
            ("-1.5", Some(-1_500_000)),
            ("978300760.25", Some(NOON + 250_000)),
            ("2000-12-31T23:12:40.5+01:00", Some(NOON + 500_000)),
            ("2000-12-31", Some(978_220_800_000_000)),
            ("2000-12-31 22:12", Some(978_300_720_000_000)),
            ("", None),
            ("yesterday", None),
            ("31/12/2000", None),
            ("2000-13-31", None),
            ("NaN", None),
            ("inf", None),
            ("1e300", None),
            ("100000000000000000000", None),
        ] {
            assert_eq!(Time::parse(text).map(|time| time.micros), micros, "{text:?}");
        }
    }

    #[test]
    fn units_are_recognized_and_zone_less_times_are_marked() {
        let form = |text: &str| Time::parse(text).unwrap().form;
        assert_eq!(form("978300760"), TimeForm::Number(TimeUnit::Seconds));
        assert_eq!(form("978300760000"), TimeForm::Number(TimeUnit::Millis));
        assert_eq!(form("978300760000000"), TimeForm::Number(TimeUnit::Micros));
        assert_eq!(form("978300760000000000"), TimeForm::Number(TimeUnit::Nanos));
        assert_eq!(form("-1"), TimeForm::NearZero);
        assert_eq!(form("2000-12-31"), TimeForm::WithoutZone);
        assert_eq!(form("2000-12-31 00:00:00 UTC"), TimeForm::Exact);
    }
}
