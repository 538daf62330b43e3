//! What the data is like, in 80 columns for a person, with what to do about what is wrong with it.

use std::fmt::Write as _;

use sidecar_contract::Signal;

use super::{
    Suggestion, grouped,
    signal::counted,
    sizes::{MEASURED_USERS_MIN, mebibytes},
    wrapped,
};

/// Width of the page, and of what stands before a value.
const WIDTH: usize = 80;
const LABEL: usize = 20;
/// Longest bar of the histogram, and most bars: more values than that share bars.
const BAR: u64 = 40;
const BARS_MAX: usize = 12;
/// Fewer are a sample.
const USERS_MIN: u64 = 50;
const ITEMS_MIN: u64 = 10;
/// Shares from which something is too much: rows dropped, one user's rows among many users', users with one item.
const DROPPED_SHARE: f64 = 0.01;
const BUSIEST_SHARE: f64 = 0.1;
const ONE_ITEM_SHARE: f64 = 0.5;
/// Times behind the year 2200, in microseconds since 1970, were milliseconds.
const FAR_FUTURE_MICROS: i64 = 7_258_118_400_000_000;

/// The report.
pub fn render(suggestion: &Suggestion) -> String {
    let Suggestion { path, shape, columns, items: item_table, signal, profile, ratings, sizes, .. } = suggestion;
    let (users, items, pairs, rows) = (profile.users(), profile.items(), profile.pairs(), &profile.rows);
    let explicit = signal.signal == Signal::Explicit;
    let mut page = Page::default();
    let all = if profile.share < 1.0 {
        let share = (100.0 * profile.share).max(1.0);
        format!("the first {} rows, about {share:.0} % of it; --rows looks at more", grouped(rows.read))
    } else {
        format!("all {} rows", grouped(rows.read))
    };
    page.0 += &wrapped(&format!("{path}: {shape}; {all}"), "", "", WIDTH);
    page.title("Columns");
    for guess in &columns.guesses {
        page.entry(guess.part, &format!("{}: {}", guess.column, guess.why));
    }
    page.entry("signal", &format!("{}: {}", if explicit { "explicit" } else { "implicit" }, signal.why));
    if let Some((columns, path)) = item_table {
        let titled =
            profile.titled.map_or(String::new(), |titled| format!("; it names {} of the items", grouped(titled)));
        page.entry("item table", &format!("{path}: {}{titled}", columns.described()));
    }
    page.title("Data");
    page.entry("rows kept", &format!("{} of {}", grouped(rows.kept), grouped(rows.read)));
    if !rows.dropped.is_empty() {
        let reasons: Vec<String> =
            rows.dropped.iter().map(|(reason, count)| format!("{} {reason}", grouped(*count))).collect();
        page.entry("rows dropped", &format!("{} (docs/data.md says what these are)", reasons.join(", ")));
    }
    page.entry("users, items", &format!("{}, {}", grouped(users), grouped(items)));
    let possible = users as f64 * items as f64;
    page.entry("pairs", &format!("{}, {} % of all that could be", grouped(pairs), percent(pairs as f64, possible)));
    let merging = match (explicit, profile.times) {
        _ if rows.merged == 0 => "none",
        (false, _) => " rows: their weights add",
        (true, Some(_)) => " rows: the newest rating counts",
        (true, None) => " rows: their mean counts",
    };
    let merged = if rows.merged == 0 { String::new() } else { grouped(rows.merged) };
    page.entry("pairs repeated", &format!("{merged}{merging}"));
    page.entry("items of a user", &quantiles(&profile.user_degrees));
    page.entry("users of an item", &quantiles(&profile.item_degrees));
    let single = single(&profile.user_degrees);
    let share = percent(single as f64, users as f64);
    page.entry("with one item", &format!("{} users ({share} %), on whom nothing can be measured", grouped(single)));
    if let Some((oldest, newest)) = profile.times {
        let day = |micros| recommender_trainer::day(if micros > FAR_FUTURE_MICROS { micros / 1000 } else { micros });
        page.entry("times", &format!("{} to {}", day(oldest), day(newest)));
    }
    let by_time = profile.measurable_by_time.map_or(String::new(), |users| format!("{} by time, ", grouped(users)));
    page.entry("users to measure", &format!("{by_time}{} at random", grouped(profile.measurable_at_random)));
    page.entry("memory", &format!("model {}, training {}", mebibytes(sizes.model_bytes), mebibytes(sizes.training.0)));
    if !ratings.is_empty() {
        page.title(if explicit { "Ratings" } else { "Weights" });
        page.histogram(ratings);
    }
    let warnings = warnings(suggestion);
    page.title(if warnings.is_empty() { "Nothing to warn of" } else { "Warnings" });
    for warning in warnings {
        page.0 += &wrapped(&warning, "  - ", "    ", WIDTH);
    }
    page.0
}

/// What is wrong with the data, and what to do.
pub fn warnings(Suggestion { columns, signal, profile, sizes, .. }: &Suggestion) -> Vec<String> {
    let (users, items, rows) = (profile.users(), profile.items(), &profile.rows);
    let dropped = rows.dropped.values().sum::<u64>() as f64;
    let (busiest, single) = (profile.busiest_user_rows as f64, single(&profile.user_degrees) as f64);
    let titled = profile.titled.unwrap_or(items);
    let measured = sizes.measured_users;
    let found = [
        (
            dropped > DROPPED_SHARE * rows.read as f64,
            format!("{} % of the rows are dropped: mend them where they come from", percent(dropped, rows.read as f64)),
        ),
        (
            measured < MEASURED_USERS_MIN,
            format!(
                "only {measured} users can be measured, and the gate needs {MEASURED_USERS_MIN}: it cannot decide, so every model \
                 serves. Bring rows of more users with several items, or raise evaluation.holdout"
            ),
        ),
        (
            users < USERS_MIN || items < ITEMS_MIN,
            format!("{users} users and {items} items are a sample: what is learned from them says little"),
        ),
        (
            busiest > BUSIEST_SHARE * rows.kept as f64 && users as f64 > 2.0 / BUSIEST_SHARE,
            format!(
                "one user has {} % of all rows: a robot, a test, or an id that stands for nobody? Leave it out",
                percent(busiest, rows.kept as f64)
            ),
        ),
        (
            single > ONE_ITEM_SHARE * users as f64,
            "most users have one item only: too little to know a taste by. Is the user column right (--user)?"
                .to_owned(),
        ),
        (
            items > 20 * users,
            "there are far more items than users: are the columns the right way round (--user, --item)?".to_owned(),
        ),
        (
            profile.times.is_some_and(|(oldest, newest)| oldest == newest),
            "all times are equal: they are of the export, not of what happened".to_owned(),
        ),
        (
            titled < items / 2,
            format!("the item table names {titled} of {items} items: are its ids written as in the rows?"),
        ),
    ];
    let found = found.into_iter().filter(|(holds, _)| *holds).map(|(_, text)| text);
    columns.doubts.iter().cloned().chain(signal.doubt.clone()).chain(found).collect()
}

/// How many have one item.
fn single(degrees: &[u32]) -> u64 {
    degrees.partition_point(|degree| *degree <= 1) as u64
}

/// Of what is sorted: both ends, and what a tenth, half and nine tenths do not exceed.
fn quantiles(sorted: &[u32]) -> String {
    let at = |percent: usize| sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0);
    let [low, tenth, half, most, high] = [0, 10, 50, 90, 100].map(|percent| grouped(u64::from(at(percent))));
    format!("{low} to {high}; a tenth up to {tenth}, half to {half}, nine tenths to {most}")
}

/// With the digits that say something.
fn percent(part: f64, of: f64) -> String {
    let percent = 100.0 * part / of.max(1.0);
    match percent {
        10.0.. => format!("{percent:.0}"),
        0.1..10.0 => format!("{percent:.1}"),
        _ => format!("{percent:.4}").trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn title(&mut self, title: &str) {
        let _ = writeln!(self.0, "\n{title}");
    }

    fn entry(&mut self, label: &str, value: &str) {
        self.0 += &wrapped(value, &format!("  {label:0$}", LABEL - 2), &" ".repeat(LABEL), WIDTH);
    }

    /// A bar a value; where there are many, a bar for those up to 1, 2, 4, …, since weights have long tails.
    fn histogram(&mut self, sorted: &[f32]) {
        let values = counted(sorted);
        let several = values.len() > BARS_MAX;
        let (mut rest, mut bars, mut top) = (values.as_slice(), Vec::new(), 1.0);
        while let Some((low, _)) = rest.first() {
            let length = match (several, bars.len() + 1 < BARS_MAX) {
                (false, _) => 1,
                (true, true) => rest.partition_point(|(value, _)| *value <= top),
                (true, false) => rest.len(),
            };
            let (here, others) = rest.split_at(length);
            if let Some((high, _)) = here.last() {
                let label = if here.len() == 1 { low.to_string() } else { format!("{low} to {high}") };
                bars.push((label, here.iter().map(|(_, count)| count).sum::<u64>()));
            }
            (rest, top) = (others, top * 2.0);
        }
        let longest = bars.iter().map(|(_, count)| *count).max().unwrap_or(1);
        for (label, count) in bars {
            let bar = "#".repeat(usize::try_from((count * BAR).div_ceil(longest)).unwrap_or(0));
            let _ = writeln!(self.0, "  {label:>16}  {:>13}  {bar}", grouped(count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_percents_are_read_off() {
        let degrees: Vec<u32> = (0..=100).collect();
        assert_eq!(quantiles(&degrees), "0 to 100; a tenth up to 10, half to 50, nine tenths to 90");
        assert_eq!(
            [(1.0, 3.0), (1.0, 60.0), (3.0, 10_000.0), (0.0, 5.0)].map(|(a, b)| percent(a, b)),
            ["33", "1.7", "0.03", "0"]
        );
    }

    #[test]
    fn long_tails_share_bars() {
        let mut page = Page::default();
        let mut weights: Vec<f32> = vec![1.0; 80];
        weights.extend((2..40_u16).map(f32::from));
        page.histogram(&weights);
        let lines: Vec<Vec<&str>> = page.0.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["1", "80", "#".repeat(40).as_str()]);
        assert_eq!(lines[2][..4], ["3", "to", "4", "2"]);
        assert_eq!(lines[6][..4], ["33", "to", "39", "7"]);
    }
}
