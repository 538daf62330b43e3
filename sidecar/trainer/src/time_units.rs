//! Units of the numeric timestamps of a source: one unit for all rows.

use crate::{
    failure::RunError,
    timestamp::{Time, TimeForm, TimeUnit},
};

/// Numbers of rows by unit, with the first row of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct TimeUnits([(u64, u64); TimeUnit::ALL.len()]);

impl TimeUnits {
    /// `row` counts data rows from 1.
    pub(crate) fn add(&mut self, time: Time, row: u64) {
        if let TimeForm::Number(unit) = time.form
            && let Some((count, first)) = self.0.get_mut(unit as usize)
        {
            if *count == 0 {
                *first = row;
            }
            *count += 1;
        }
    }

    /// Fails for more than one unit: the rows of one of them would be far ahead of all others.
    pub(crate) fn check(&self, described_as: &str) -> Result<(), RunError> {
        let found = TimeUnit::ALL.into_iter().zip(self.0).filter(|(_, (count, _))| *count > 0);
        let found: Vec<String> =
            found.map(|(unit, (count, first))| format!("{count} in {} (first: row {first})", unit.as_str())).collect();
        if found.len() < 2 {
            return Ok(());
        }
        Err(RunError::bad_data(format!(
            "the timestamps of {described_as} have more than one unit: {}. Convert spec.data.columns.timestamp to one unit \
             since 1970, or to RFC 3339",
            found.join(", ")
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(times: &[&str]) -> Result<(), String> {
        let mut units = TimeUnits::default();
        for (row, time) in (1..).zip(times) {
            units.add(Time::parse(time).unwrap(), row);
        }
        units.check("it").map_err(|error| error.to_string())
    }

    #[test]
    fn mixtures_of_units_are_refused() {
        assert_eq!(check(&["1700000000", "0", "-1", "2023-11-14", "1600000000"]), Ok(()));
        assert_eq!(check(&["1700000000000", "0"]), Ok(()));
        let error = check(&["1700000000", "0", "1700000000000", "1700000001"]).unwrap_err();
        assert!(error.contains("2 in seconds (first: row 1), 1 in milliseconds (first: row 3)"), "{error}");
    }
}
