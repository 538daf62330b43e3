//! Schedules against croniter, against the calendar by brute force, and where clocks change.

use super::*;

fn schedule(expression: &str, zone: &str) -> Schedule {
    Schedule::parse(expression, Some(zone)).unwrap()
}

fn second(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_second()
}

/// `expression|zone|moment|next`, as the Python library croniter has it.
#[test]
fn croniter_agrees() {
    for row in include_str!("croniter.txt").lines() {
        let [expression, zone, moment, next]: [&str; 4] = row.split('|').collect::<Vec<_>>().try_into().unwrap();
        let found = schedule(expression, zone).next_after(moment.parse().unwrap());
        assert_eq!(found, Some(next.parse().unwrap()), "{row}");
    }
}

#[test]
fn a_start_is_after_the_moment() {
    let schedule = schedule("0 3 * * *", "Etc/UTC");
    let three = second("2026-03-01T03:00:00Z");
    assert_eq!(schedule.next_after(three - 1), Some(three));
    assert_eq!(schedule.next_after(three), Some(three + 86_400));
}

#[test]
fn every_minute_is_every_minute_through_a_year_of_berlin_but_for_the_repeated_hour() {
    let schedule = schedule("*/30 * * * *", "Europe/Berlin");
    let (mut at, end) = (second("2026-01-01T00:00:00Z"), second("2027-01-01T00:00:00Z"));
    let mut pauses = Vec::new();
    while at < end {
        let next = schedule.next_after(at).unwrap();
        if next - at != 1800 {
            pauses.push((at, next - at));
        }
        at = next;
    }
    // 02:30 summer time on the last Sunday of October; the hour after it is named the same and does not count.
    assert_eq!(pauses, [(second("2026-10-25T00:30:00Z"), 1800 + 3600)]);
}

#[test]
fn the_hour_that_is_left_out_does_not_lose_a_start() {
    let schedule = schedule("30 2 * * *", "Europe/Berlin");
    let before = second("2026-03-28T12:00:00Z");
    let shifted = second("2026-03-29T01:30:00Z"); // 03:30, as there is no 02:30.
    assert_eq!(schedule.next_after(before), Some(shifted));
    assert_eq!(schedule.next_after(shifted), Some(second("2026-03-30T00:30:00Z")));
}

#[test]
fn the_hour_that_is_repeated_starts_once() {
    let schedule = schedule("30 2 * * *", "Europe/Berlin");
    let first = second("2026-10-25T00:30:00Z");
    assert_eq!(schedule.next_after(second("2026-10-24T12:00:00Z")), Some(first));
    assert_eq!(schedule.next_after(first), Some(second("2026-10-26T01:30:00Z")));
}

#[test]
fn leap_days_are_found_over_the_year_that_has_none() {
    let schedule = schedule("0 0 29 2 *", "Etc/UTC");
    assert_eq!(schedule.next_after(second("2096-03-01T00:00:00Z")), Some(second("2104-02-29T00:00:00Z")));
}

#[test]
fn what_is_wrong_is_said() {
    for (expression, zone, words) in [
        ("0 3 * *", None, "found 4"),
        ("60 3 * * *", None, "\"60\" is no minute; expected 0 to 59"),
        ("0 24 * * *", None, "is no hour"),
        ("0 3 0 * *", None, "is no day of the month"),
        ("0 3 * foo *", None, "is no month"),
        ("0 3 * * fri-mon", None, "is no day of the week"),
        ("*/0 3 * * *", None, "is no minute"),
        ("0 3 , * *", None, "is no day of the month"),
        ("+1 3 * * *", None, "is no minute"),
        ("0 3 30 2 *", None, "no day is ever like that"),
        ("0 3 * * *", Some("Europe/Bonn"), "\"Europe/Bonn\" is not in the IANA database"),
    ] {
        let said = Schedule::parse(expression, zone).unwrap_err().to_string();
        assert!(said.contains(words), "{expression}: {said}");
    }
}
