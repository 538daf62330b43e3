//! Shape of delimited text: the delimiter, and whether the first line is a header.

use recommender_trainer::{RunError, Sample};

use super::{
    bad_data,
    columns::{TYPE_FRACTION_MIN, is_known_name},
};

/// Delimiters that are tried in addition to the format's own.
pub const DELIMITERS: [char; 4] = [',', '\t', ';', '|'];
/// Tried when no other delimiter works: MovieLens' `::` is read as `:` with an empty column in
/// between.
pub const COLON: char = ':';
/// Maximum fraction of rows with another number of fields than most rows.
const RAGGED_FRACTION_MAX: f64 = 0.1;

/// Whether the delimiter of the sample splits most lines into an equal number of fields, two or
/// more.
fn splits_evenly(sample: &Sample) -> bool {
    let rows = (sample.rows + sample.bad_rows) as f64;
    sample.width >= 2 && sample.bad_rows as f64 <= RAGGED_FRACTION_MAX * rows
}

/// The delimiter that splits lines into the most fields; the first one wins a tie. `None` if no
/// delimiter works.
pub fn delimiter(tried: &[(char, Sample)]) -> Option<char> {
    let mut best: Option<(char, usize)> = None;
    for (delimiter, sample) in tried.iter().filter(|(_, sample)| splits_evenly(sample)) {
        if best.is_none_or(|(_, width)| sample.width > width) {
            best = Some((*delimiter, sample.width));
        }
    }
    best.map(|(delimiter, _)| delimiter)
}

/// Rejects files that are not tables.
pub fn check(sample: &Sample, described_as: &str) -> Result<(), RunError> {
    if sample.rows + sample.bad_rows == 0 {
        return Err(bad_data(format!("{described_as} is empty: expected a header and one or more rows")));
    }
    let damaged = sample.columns.iter().map(|values| values.damaged).max().unwrap_or(0);
    if damaged as f64 > 0.5 * sample.rows as f64 {
        return Err(bad_data(format!(
            "{described_as} is not UTF-8 text: {damaged} of its first {} rows contain other bytes. Convert it (iconv -f \
             windows-1252 -t utf-8), or pass a CSV, TSV, JSON Lines or Parquet file",
            sample.rows
        )));
    }
    if sample.rows == 0 || sample.bad_rows > sample.rows {
        return Err(bad_data(format!(
            "{} of the first {} lines of {described_as} are not rows: expected one JSON object per line, or the same number \
             of fields in each line",
            sample.bad_rows,
            sample.rows + sample.bad_rows
        )));
    }
    if sample.width < 2 {
        return Err(bad_data(format!(
            "{described_as} has one column: expected a user column and an item column. If the delimiter is not a comma, \
             semicolon, vertical bar or tab, set --delimiter"
        )));
    }
    Ok(())
}

/// Whether the first line is a header, with the reason. In doubt it counts as data, because a first
/// value that may be a user's id must not be printed as a column name.
pub fn has_header(sample: &Sample) -> (bool, &'static str) {
    let firsts = || sample.columns.iter().map(|values| values.first.as_str());
    let known = firsts().filter(|name| is_known_name(name)).count();
    if known >= 2 {
        return (true, "its fields are known column names");
    }
    if firsts().any(|name| name.is_empty() || name.parse::<f64>().is_ok()) {
        return (false, "the first line has a numeric or empty field");
    }
    let numeric = |values: &&recommender_trainer::Values| {
        values.filled > 0 && values.numbers as f64 >= TYPE_FRACTION_MIN * values.filled as f64
    };
    if sample.columns.iter().any(|values| numeric(&values)) {
        return (true, "a column has text in the first line and numbers below");
    }
    if known >= 1 {
        return (true, "one of its fields is a known column name");
    }
    (false, "the first line has no known column name; if it is a header, set --header true")
}

/// Whether every second column is empty, which is how `::` between fields is read.
pub fn is_double_colon(sample: &Sample) -> bool {
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
    fn the_first_line_is_a_header_only_when_that_is_certain() {
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
    fn the_delimiter_with_the_most_fields_wins() {
        let sampled = |width, bad_rows| Sample { rows: 100 - bad_rows, bad_rows, width, ..Sample::default() };
        assert_eq!(delimiter(&[(',', sampled(2, 0)), (';', sampled(4, 1))]), Some(';'));
        assert_eq!(delimiter(&[(',', sampled(2, 0)), (';', sampled(2, 0))]), Some(','));
        assert_eq!(delimiter(&[(',', sampled(3, 0)), ('|', sampled(9, 60))]), Some(','));
        assert_eq!(delimiter(&[(',', sampled(1, 0))]), None);
    }
}
