//! Series of a metric that were found by their label before. Requests update a few series, and
//! finding one takes a lock and a hash of its labels, which is longer than updating it.

use std::sync::OnceLock;

/// Maximum number of values of a label whose series are kept; others are found each time.
const SERIES_MAX: usize = 8;

/// The series of a metric by the value of one label, in the order in which they were first used.
#[derive(Debug)]
pub struct Resolved<M>([OnceLock<(&'static str, M)>; SERIES_MAX]);

impl<M> Default for Resolved<M> {
    fn default() -> Self {
        Self([const { OnceLock::new() }; SERIES_MAX])
    }
}

impl<M> Resolved<M> {
    /// The series of a label value, if it was used before.
    pub fn find(&self, label: &'static str) -> Option<&M> {
        let used = self.0.iter().map_while(OnceLock::get);
        used.into_iter().find(|(used, _)| *used == label).map(|(_, series)| series)
    }

    /// Keeps the series of a label value, unless there is one or no place is left.
    pub fn keep(&self, label: &'static str, series: M) {
        let mut entry = (label, series);
        for slot in &self.0 {
            match slot.set(entry) {
                Err(rejected) if slot.get().is_some_and(|(used, _)| *used != label) => entry = rejected,
                Ok(()) | Err(_) => return,
            }
        }
    }

    /// Updates the series of a label value, which `make` finds on its first use.
    pub fn update(&self, label: &'static str, make: impl FnOnce() -> M, update: impl Fn(&M)) {
        if let Some(series) = self.find(label) {
            return update(series);
        }
        let series = make();
        update(&series);
        self.keep(label, series);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_series_is_made_once_for_each_label_and_each_time_beyond_the_limit() {
        let resolved = Resolved::default();
        let labels = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
        let count = Cell::new(0);
        let make = || {
            count.set(count.get() + 1);
            Cell::new(0)
        };
        for _ in 0..3 {
            for label in labels {
                resolved.update(label, make, |series| series.set(series.get() + 1));
            }
        }
        assert_eq!(count.get(), SERIES_MAX + 3 * (labels.len() - SERIES_MAX));
        for label in labels.into_iter().take(SERIES_MAX) {
            assert_eq!(resolved.find(label).map(Cell::get), Some(3));
        }
        assert_eq!(resolved.find("i"), None);
    }
}
