//! Which rows may be in an answer. Candidate generation applies the filter while it scans, so that
//! an answer holds the best n items that pass, not what is left of the best n.

use catalogue::ItemSet;
use factorization::{Among, ItemBits, Scorer};

use super::{filter_cache::Selected, item_data::ItemData, target::Target};
use crate::{answer::Reason, ask::Filter, error::AnswerError};

/// Fraction of all items, as a divisor, up to which a search reads only the items that satisfy the
/// conditions. Above it the search of all items, which reads half a byte a factor, is faster.
const LISTED_DIVISOR: usize = 40;
/// Fraction of all items, as quarters, up to which items are tested before they are scored.
const FEW_QUARTERS: usize = 3;

/// A filter by rows. Lookups are bisections in sorted lists, and bits.
#[derive(Debug)]
pub struct RowFilter<'a> {
    data: ItemData<'a>,
    /// Ascending.
    excluded: Vec<u32>,
    /// Ascending; empty if the question includes them.
    seen: &'a [u32],
    /// Ascending; `None`: every row.
    candidates: Option<Vec<u32>>,
    /// `None`: every available item.
    selected: Option<Selected<'a>>,
}

impl<'a> RowFilter<'a> {
    /// Excludes the items that the filter names, those of the history, the item to be similar to,
    /// and the user's seen items unless the filter includes them.
    ///
    /// # Errors
    /// Conditions that cannot be evaluated.
    pub fn new(data: ItemData<'a>, scorer: &Scorer<'_>, target: &Target, filter: &Filter) -> Result<Self, AnswerError> {
        let Filter { exclude, include_seen, candidates, matching } = filter;
        let snapshot = data.snapshot();
        let rows = |ids: &[String]| ids.iter().filter_map(|id| snapshot.item_index(id)).collect::<Vec<u32>>();
        let mut excluded = rows(exclude);
        let mut seen = [].as_slice();
        match target {
            Target::Similar { item } => excluded.push(*item),
            Target::Recommend { user, history } => {
                excluded.extend(history.iter().map(|(item, _)| *item));
                if let (Some(user), false) = (user, include_seen) {
                    seen = snapshot.seen(*user);
                }
            }
        }
        Ok(Self {
            data,
            excluded: sorted(excluded),
            seen,
            candidates: candidates.as_deref().map(|ids| sorted(rows(ids))),
            selected: data.select(matching, scorer)?,
        })
    }

    /// The rows that the question is limited to, ascending and each once; `None`: every row. Those
    /// of them that do not [pass](Self::passes) may not be in the answer either.
    pub fn candidates(&self) -> Option<&[u32]> {
        self.candidates.as_deref()
    }

    /// Rows among which are all that pass, ascending and each once, if they are so few that it is
    /// faster to score them than to search.
    pub fn listed(&self) -> Option<Vec<u32>> {
        if let Some(candidates) = &self.candidates {
            return Some(candidates.clone());
        }
        let selected = self.selected.as_ref().filter(|selected| selected.kept().is_none())?.items();
        (selected.len_max() <= self.data.snapshot().items() / LISTED_DIVISOR).then(|| selected.items().collect())
    }

    /// The rows that a search reads, given those that are [listed](Self::listed).
    pub fn among<'l>(&'l self, listed: Option<&'l [u32]>) -> Among<'l> {
        if let Some(listed) = listed {
            return Among::Listed(listed);
        }
        let Some(selected) = &self.selected else { return Among::All };
        if let Some(kept) = selected.kept() {
            return Among::Kept(kept);
        }
        let is_few = 4 * selected.items().len_max() <= FEW_QUARTERS * self.data.snapshot().items();
        if is_few { Among::Few(ItemBits(selected.items().bits())) } else { Among::All }
    }

    /// Number of available items that satisfy the conditions; `None` if there are no conditions.
    pub fn matches(&self, filter: &Filter) -> Option<usize> {
        if filter.matching.is_empty() {
            return None;
        }
        Some(self.items().map_or(self.data.snapshot().items(), ItemSet::len))
    }

    fn items(&self) -> Option<&ItemSet<'_>> {
        self.selected.as_ref().map(Selected::items)
    }

    /// Whether a row may be in the answer.
    pub fn passes(&self, row: u32) -> bool {
        let is_selected = match self.items() {
            Some(selected) => selected.contains(row),
            None => self.data.is_available(row),
        };
        is_selected
            && self.excluded.binary_search(&row).is_err()
            && self.seen.binary_search(&row).is_err()
            && self.candidates.as_ref().is_none_or(|candidates| candidates.binary_search(&row).is_ok())
    }

    /// Why a candidate does not pass; `None` if it does.
    pub fn reason(&self, row: u32) -> Option<Reason> {
        if self.passes(row) {
            return None;
        }
        Some(if self.excluded.binary_search(&row).is_ok() {
            Reason::Excluded
        } else if self.seen.binary_search(&row).is_ok() {
            Reason::Seen
        } else if self.data.is_available(row) {
            Reason::Filtered
        } else {
            Reason::Unavailable
        })
    }
}

fn sorted(mut rows: Vec<u32>) -> Vec<u32> {
    rows.sort_unstable();
    rows.dedup();
    rows
}
