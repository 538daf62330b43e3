//! How a table of delimited text is cut: what stands between fields, and whether the first line names them.

use recommender_trainer::{Sample, Stop};

use super::{bad_data, columns::is_known_name};

/// Delimiters that are tried, after the format's own.
pub const DELIMITERS: [char; 4] = [',', '\t', ';', '|'];
/// Tried when no other cuts anything: MovieLens' `::` is a `:` with empty columns between.
pub const DOUBLED: char = ':';
/// Rows that may be cut otherwise than most.
const RAGGED_SHARE_MAX: f64 = 0.1;
/// Values that must be of a kind for the column to be.
pub const MOST: f64 = 0.9;

/// Whether a delimiter cuts most lines into equally many fields, at least two.
fn cuts(sample: &Sample) -> bool {
    let rows = (sample.rows + sample.bad_rows) as f64;
    sample.width >= 2 && sample.bad_rows as f64 <= RAGGED_SHARE_MAX * rows
}

/// The delimiter that cuts lines into most fields; of equal ones the first. `None` if none cuts.
pub fn delimiter(tried: &[(char, Sample)]) -> Option<char> {
    let mut best: Option<(char, usize)> = None;
    for (delimiter, sample) in tried.iter().filter(|(_, sample)| cuts(sample)) {
        if best.is_none_or(|(_, width)| sample.width > width) {
            best = Some((*delimiter, sample.width));
        }
    }
    best.map(|(delimiter, _)| delimiter)
}

/// Refuses what is no table.
pub fn check(sample: &Sample, described_as: &str) -> Result<(), Stop> {
    if sample.rows + sample.bad_rows == 0 {
        return Err(bad_data(format!("{described_as} is empty: expected a header and at least one row")));
    }
    let damaged = sample.columns.iter().map(|values| values.damaged).max().unwrap_or(0);
    if damaged as f64 > 0.5 * sample.rows as f64 {
        return Err(bad_data(format!(
            "{described_as} is not UTF-8 text: {damaged} of its first {} rows hold other bytes. Convert it (iconv -f \
             windows-1252 -t utf-8), or name a csv, tsv, jsonl or Parquet file",
            sample.rows
        )));
    }
    if sample.rows == 0 || sample.bad_rows > sample.rows {
        return Err(bad_data(format!(
            "{} of the first {} lines of {described_as} are no rows: expected one JSON object a line, or equally many fields in \
             each line",
            sample.bad_rows,
            sample.rows + sample.bad_rows
        )));
    }
    if sample.width < 2 {
        return Err(bad_data(format!(
            "{described_as} has one column: expected at least a user and an item. If something else than , ; | or a tab stands \
             between fields, say --delimiter"
        )));
    }
    Ok(())
}

/// Whether the first line names the columns, and how sure that is. In doubt it is data: what may be somebody's id is not repeated.
pub fn has_header(sample: &Sample) -> (bool, &'static str) {
    let firsts = || sample.columns.iter().map(|values| values.first.as_str());
    let known = firsts().filter(|name| is_known_name(name)).count();
    if known >= 2 {
        return (true, "its names are ones that columns have");
    }
    if firsts().any(|name| name.is_empty() || name.parse::<f64>().is_ok()) {
        return (false, "the first line holds numbers, or nothing, where a name would be");
    }
    let numeric = |values: &&recommender_trainer::Values| {
        values.filled > 0 && values.numbers as f64 >= MOST * values.filled as f64
    };
    if sample.columns.iter().any(|values| numeric(&values)) {
        return (true, "below words in the first line there are numbers");
    }
    if known >= 1 {
        return (true, "one of its words is a name that columns have");
    }
    (false, "its words are not names that columns have; if it is a header, say --header true")
}

/// Whether every second column is empty, as `::` between fields makes it.
pub fn is_doubled(sample: &Sample) -> bool {
    sample.width >= 3
        && !sample.width.is_multiple_of(2)
        && sample.columns.iter().skip(1).step_by(2).all(|values| values.filled == 0 && values.first.is_empty())
}

#[cfg(test)]
mod tests {
    use recommender_trainer::Values;

    use super::*;

    fn sample(firsts: &[&str], numeric: bool) -> Sample {
        let column = |first: &&str| Values {
            first: (*first).to_owned(),
            filled: 10,
            numbers: if numeric { 10 } else { 0 },
            ..Values::default()
        };
        Sample { rows: 11, width: firsts.len(), columns: firsts.iter().map(column).collect(), ..Sample::default() }
    }

    #[test]
    fn a_first_line_is_a_header_only_where_that_is_clear() {
        for (firsts, numeric, expected) in [
            (&["userId", "movieId", "rating"][..], true, true),
            (&["", "user", "item"], false, true),
            (&["kunde", "artikel"], true, true),
            (&["196", "242", "3"], true, false),
            (&["ada", "ikiru"], false, false),
            (&["ada", "5"], true, false),
            (&["kunde", "sku"], false, true),
        ] {
            assert_eq!(has_header(&sample(firsts, numeric)).0, expected, "{firsts:?}");
        }
    }

    #[test]
    fn the_delimiter_that_cuts_most_fields_wins() {
        let cut = |width, bad_rows| Sample { rows: 100 - bad_rows, bad_rows, width, ..Sample::default() };
        assert_eq!(delimiter(&[(',', cut(2, 0)), (';', cut(4, 1))]), Some(';'));
        assert_eq!(delimiter(&[(',', cut(2, 0)), (';', cut(2, 0))]), Some(','));
        assert_eq!(delimiter(&[(',', cut(3, 0)), ('|', cut(9, 60))]), Some(','));
        assert_eq!(delimiter(&[(',', cut(1, 0))]), None);
    }
}
