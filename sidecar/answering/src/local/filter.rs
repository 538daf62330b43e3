//! Which rows may be in an answer. Candidate generation applies the filter while it scans, so that
//! an answer holds the best n items that pass, not what is left of the best n.

use model_snapshot::Snapshot;

use super::target::Target;
use crate::ask::Filter;

/// A filter by rows. Lookups are bisections in sorted lists.
#[derive(Debug)]
pub struct RowFilter<'a> {
    snapshot: &'a Snapshot,
    /// Ascending.
    excluded: Vec<u32>,
    /// Ascending; `None`: every row.
    allowed: Option<Vec<u32>>,
}

impl<'a> RowFilter<'a> {
    /// Excludes the items that the filter names, those of the history, the item to be similar to,
    /// and the user's seen items unless the filter includes them.
    pub fn new(snapshot: &'a Snapshot, target: &Target, filter: &Filter) -> Self {
        let rows = |ids: &[String]| ids.iter().filter_map(|id| snapshot.item_index(id)).collect::<Vec<u32>>();
        let mut excluded = rows(&filter.exclude);
        match target {
            Target::Similar { item } => excluded.push(*item),
            Target::Recommend { user, history } => {
                excluded.extend(history.iter().map(|(item, _)| *item));
                if let (Some(user), false) = (user, filter.include_seen) {
                    excluded.extend_from_slice(snapshot.seen(*user));
                }
            }
        }
        Self {
            snapshot,
            excluded: sorted(excluded),
            allowed: filter.candidates.as_deref().map(|ids| sorted(rows(ids))),
        }
    }

    /// The rows that the filter is limited to, ascending and each once; `None`: every row. Those of
    /// them that do not [pass](Self::passes) may not be in the answer either.
    pub fn allowed(&self) -> Option<&[u32]> {
        self.allowed.as_deref()
    }

    /// Whether a row may be in the answer.
    pub fn passes(&self, row: u32) -> bool {
        self.excluded.binary_search(&row).is_err()
            && self.snapshot.is_available(row)
            && self.allowed.as_ref().is_none_or(|allowed| allowed.binary_search(&row).is_ok())
    }
}

fn sorted(mut rows: Vec<u32>) -> Vec<u32> {
    rows.sort_unstable();
    rows.dedup();
    rows
}
