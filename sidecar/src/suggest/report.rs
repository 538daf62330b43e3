//! Data profile for a terminal, 80 columns wide, with warnings that name a fix.

use std::fmt::Write as _;

use sidecar_contract::Signal;

use super::{
    Suggestion, grouped,
    signal::value_counts,
    sizes::{Sizes, TEST_USERS_MIN, mebibytes},
    wrapped,
};

/// Width of the profile, and of the column of labels.
const WIDTH: usize = 80;
const LABEL_WIDTH: usize = 20;
/// Maximum length of a bar of the histogram, and maximum number of bars: more values than that are
/// binned.
const BAR_LENGTH_MAX: u64 = 40;
const BARS_MAX: usize = 12;
/// With fewer users or items the data is only a sample.
const USERS_MIN: u64 = 50;
const ITEMS_MIN: u64 = 10;
/// Fractions above which the profile warns: dropped rows, rows of the most active user, users with
/// one item.
const DROPPED_FRACTION: f64 = 0.01;
const MOST_ACTIVE_FRACTION: f64 = 0.1;
const ONE_ITEM_FRACTION: f64 = 0.5;

/// Renders the profile.
pub fn render(suggestion: &Suggestion) -> String {
    let Suggestion { path, shape, columns, items: item_table, signal, profile, ratings, sizes, .. } = suggestion;
    let (users, items, pairs, rows) = (profile.users(), profile.items(), profile.pairs(), &profile.rows);
    let explicit = signal.signal == Signal::Explicit;
    let mut page = Page::default();
    let all = if profile.fraction_read < 1.0 {
        let percent = (100.0 * profile.fraction_read).max(1.0);
        format!("the first {} rows, about {percent:.0} % of all; --rows reads more", grouped(rows.read))
    } else {
        format!("all {} rows", grouped(rows.read))
    };
    page.0 += &wrapped(&format!("{path}: {shape}; {all}"), "", "", WIDTH);
    page.title("Columns");
    for guess in &columns.guesses {
        page.entry(guess.role, &format!("{}: {}", guess.column, guess.reason));
    }
    page.entry("signal", &format!("{}: {}", if explicit { "explicit" } else { "implicit" }, signal.reason));
    if let Some((columns, path)) = item_table {
        let titled = profile
            .titled
            .map_or(String::new(), |titled| format!("; it has titles for {} of the items", grouped(titled)));
        page.entry("item table", &format!("{path}: {}{titled}", columns.described()));
        if !columns.attributes.is_empty() {
            let names: Vec<String> = columns.attributes.iter().map(ToString::to_string).collect();
            let cold = grouped(profile.cold_items.unwrap_or(0));
            let text = format!("{}: {cold} items without interactions can be recommended by them", names.join(", "));
            page.entry("item features", &text);
        }
    }
    page.title("Data");
    page.entry("rows used", &format!("{} of {}", grouped(rows.kept), grouped(rows.read)));
    if !rows.dropped.is_empty() {
        let reasons: Vec<String> =
            rows.dropped.iter().map(|(reason, count)| format!("{} {reason}", grouped(*count))).collect();
        page.entry("rows dropped", &format!("{} (docs/data.md explains the reasons)", reasons.join(", ")));
    }
    if !rows.reinterpreted.is_empty() {
        let forms: Vec<String> =
            rows.reinterpreted.iter().map(|(form, count)| format!("{} {form}", grouped(*count))).collect();
        page.entry("reinterpreted", &format!("{} (docs/data.md explains the forms)", forms.join(", ")));
    }
    page.entry("users, items", &format!("{}, {}", grouped(users), grouped(items)));
    let possible = users as f64 * items as f64;
    page.entry("pairs", &format!("{}, {} % of all user-item pairs", grouped(pairs), percent(pairs as f64, possible)));
    let merging = match (explicit, profile.times) {
        _ if rows.merged == 0 => "none",
        (false, _) => " rows: their weights are summed",
        (true, Some(_)) => " rows: the newest rating is used",
        (true, None) => " rows: their mean is used",
    };
    let merged = if rows.merged == 0 { String::new() } else { grouped(rows.merged) };
    page.entry("repeated pairs", &format!("{merged}{merging}"));
    page.entry("items per user", &quantiles(&profile.user_degrees));
    page.entry("users per item", &quantiles(&profile.item_degrees));
    let single = single(&profile.user_degrees);
    let single_percent = percent(single as f64, users as f64);
    page.entry("with one item", &format!("{} users ({single_percent} %), who cannot be test users", grouped(single)));
    if let Some((oldest, newest)) = profile.times {
        let day = recommender_trainer::day;
        page.entry("times", &format!("{} to {}", day(oldest), day(newest)));
    }
    let by_time =
        profile.measurable_by_time.map_or(String::new(), |users| format!("{} in a time split, ", grouped(users)));
    page.entry("test users", &format!("{by_time}{} in a random split", grouped(profile.measurable_at_random)));
    page.entry("expected interval", &interval(sizes));
    page.entry("memory", &format!("model {}, training {}", mebibytes(sizes.model_bytes), mebibytes(sizes.training.0)));
    if !ratings.is_empty() {
        page.title(if explicit { "Ratings" } else { "Weights" });
        page.histogram(ratings);
    }
    let warnings = warnings(suggestion);
    page.title(if warnings.is_empty() { "No warnings" } else { "Warnings" });
    for warning in warnings {
        page.0 += &wrapped(&warning, "  - ", "    ", WIDTH);
    }
    page.0
}

/// Precision of the evaluation, and what it means for the gate.
fn interval(sizes: &Sizes) -> String {
    let Some(half) = sizes.half_interval else { return "none: the gate does not apply".to_owned() };
    let gate = match sizes.gate() {
        Some(gate) => format!("the suggested gate of {:.0} % accepts a model as good as the baseline", 100.0 * gate),
        None => "the default gate of 0 fits".to_owned(),
    };
    format!("lift ±{:.1} % with {} test users; {gate}", 100.0 * half, grouped(sizes.test_users))
}

/// Problems of the data, each with a fix.
pub fn warnings(Suggestion { columns, signal, profile, sizes, .. }: &Suggestion) -> Vec<String> {
    let (users, items, rows) = (profile.users(), profile.items(), &profile.rows);
    let dropped = rows.dropped.values().sum::<u64>() as f64;
    let (most_active, single) = (profile.most_active_user_rows as f64, single(&profile.user_degrees) as f64);
    let titled = profile.titled.unwrap_or(items);
    let test_users = sizes.test_users;
    let found = [
        (
            dropped > DROPPED_FRACTION * rows.read as f64,
            format!("{} % of the rows are dropped: fix them at the source", percent(dropped, rows.read as f64)),
        ),
        (
            test_users < TEST_USERS_MIN,
            format!(
                "only {test_users} test users, and the quality gate needs {TEST_USERS_MIN}: it cannot decide, so every model \
                 serves. Provide rows of more users with several items, or raise evaluation.holdout"
            ),
        ),
        (
            users < USERS_MIN || items < ITEMS_MIN,
            format!("{users} users and {items} items are too few for meaningful recommendations: provide more data"),
        ),
        (
            most_active > MOST_ACTIVE_FRACTION * rows.kept as f64 && users as f64 > 2.0 / MOST_ACTIVE_FRACTION,
            format!(
                "one user has {} % of all rows: a bot, a test account or a placeholder id? Remove its rows",
                percent(most_active, rows.kept as f64)
            ),
        ),
        (
            single > ONE_ITEM_FRACTION * users as f64,
            "most users have only one item, which is too little to learn preferences from: is the user column right (--user)?"
                .to_owned(),
        ),
        (
            items > 20 * users,
            "there are far more items than users: are the user and item columns swapped (--user, --item)?".to_owned(),
        ),
        (
            profile.times.is_some_and(|(oldest, newest)| oldest == newest),
            "all timestamps are equal: they may be the time of the export, not of the events".to_owned(),
        ),
        (
            titled < items / 2,
            format!("the item table has titles for only {titled} of {items} items: are its ids written as in the interactions?"),
        ),
    ];
    let found = found.into_iter().filter(|(applies, _)| *applies).map(|(_, text)| text);
    columns.warnings.iter().cloned().chain(signal.warning.clone()).chain(found).collect()
}

/// Number of users with one item.
fn single(degrees: &[u32]) -> u64 {
    degrees.partition_point(|degree| *degree <= 1) as u64
}

/// Minimum, 10th, 50th and 90th percentile, and maximum of sorted numbers.
fn quantiles(sorted: &[u32]) -> String {
    let at = |percent: usize| sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0);
    let [min, p10, median, p90, max] = [0, 10, 50, 90, 100].map(|percent| grouped(u64::from(at(percent))));
    format!("{min} to {max}; median {median}, 10th percentile {p10}, 90th percentile {p90}")
}

/// A percentage with its significant digits.
fn percent(part: f64, total: f64) -> String {
    let percent = 100.0 * part / total.max(1.0);
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
        self.0 += &wrapped(value, &format!("  {label:0$}", LABEL_WIDTH - 2), &" ".repeat(LABEL_WIDTH), WIDTH);
    }

    /// One bar per value. If there are too many values, bars for values up to 1, 2, 4, …, because
    /// weights have long tails.
    fn histogram(&mut self, sorted: &[f32]) {
        let values = value_counts(sorted);
        let is_binned = values.len() > BARS_MAX;
        let (mut rest, mut bars, mut top) = (values.as_slice(), Vec::new(), 1.0);
        while let Some((low, _)) = rest.first() {
            let length = match (is_binned, bars.len() + 1 < BARS_MAX) {
                (false, _) => 1,
                (true, true) => rest.partition_point(|(value, _)| *value <= top),
                (true, false) => rest.len(),
            };
            let (bin, others) = rest.split_at(length);
            if let Some((high, _)) = bin.last() {
                let label = if bin.len() == 1 { low.to_string() } else { format!("{low} to {high}") };
                bars.push((label, bin.iter().map(|(_, count)| count).sum::<u64>()));
            }
            (rest, top) = (others, top * 2.0);
        }
        let longest = bars.iter().map(|(_, count)| *count).max().unwrap_or(1);
        for (label, count) in bars {
            let bar = "#".repeat(usize::try_from((count * BAR_LENGTH_MAX).div_ceil(longest)).unwrap_or(0));
            let _ = writeln!(self.0, "  {label:>16}  {:>13}  {bar}", grouped(count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_percentages_are_formatted() {
        let degrees: Vec<u32> = (0..=100).collect();
        assert_eq!(quantiles(&degrees), "0 to 100; median 50, 10th percentile 10, 90th percentile 90");
        assert_eq!(
            [(1.0, 3.0), (1.0, 60.0), (3.0, 10_000.0), (0.0, 5.0)].map(|(a, b)| percent(a, b)),
            ["33", "1.7", "0.03", "0"]
        );
    }

    #[test]
    fn long_tails_are_binned() {
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
