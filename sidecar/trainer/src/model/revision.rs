//! The revision that serves, in terms of the users and items of a run's data.

use factorization::{Interactions, Scorer, SolveError, UserVector};
use model_snapshot::{Snapshot, StringTable};
use sidecar_contract::Signal;
use snapshot_scoring::Scoring;

/// Item of a run's data for an item of the revision that the data does not have: a cold-start item,
/// or one whose rows were removed.
const NOT_IN_DATA: u32 = u32::MAX;

/// A revision whose users are folded in from the run's rows.
pub(super) struct ServingRevision<'a> {
    snapshot: &'a Snapshot,
    scoring: Scoring,
    /// Row in the revision of each item in the data.
    rows: Vec<Option<u32>>,
    /// Item in the data of each row in the revision.
    items: Vec<u32>,
}

impl<'a> ServingRevision<'a> {
    /// Matches the revision with the data by item ids; `None` if it is of another signal, or if
    /// this build cannot evaluate it.
    pub(super) fn new(snapshot: &'a Snapshot, signal: Signal, item_ids: &StringTable) -> Option<Self> {
        if snapshot.metadata().signal != signal {
            return None;
        }
        let scoring = Scoring::new(snapshot).ok()?;
        let rows: Vec<Option<u32>> = item_ids.iter().map(|id| snapshot.item_index(id)).collect();
        let mut items = vec![NOT_IN_DATA; snapshot.items()];
        for (item, row) in (0_u32..).zip(&rows) {
            if let Some(entry) = row.and_then(|row| items.get_mut(row as usize)) {
                *entry = item;
            }
        }
        Some(Self { snapshot, scoring, rows, items })
    }

    /// Whether the revision has learned from this pair of a user and an item of the data.
    pub(super) fn knows(&self, user_id: &str, item: u32) -> bool {
        let row = self.rows.get(item as usize).copied().flatten();
        let user = self.snapshot.user_index(user_id);
        user.zip(row).is_some_and(|(user, row)| self.snapshot.seen(user).binary_search(&row).is_ok())
    }

    /// Ranked items of each user with this history, without the pairs in `unlisted`, as serving
    /// answers: popular items if the history carries no preference. Items that the data does not
    /// have are left out: the model that is compared cannot list them, and none can be a hit.
    pub(super) fn lists(
        &self,
        users: &[u32],
        history: &Interactions,
        unlisted: &Interactions,
        k: usize,
    ) -> Vec<Vec<u32>> {
        let mut lists = vec![Vec::new(); users.len()];
        let Ok(scorer) = self.scorer() else { return lists };
        let histories: Vec<(Vec<u32>, Vec<f32>)> = users.iter().map(|user| self.history(*user, history)).collect();
        let vectors: Vec<Option<UserVector>> = histories.iter().map(|history| vector(&scorer, history)).collect();
        let (indexes, known): (Vec<usize>, Vec<UserVector>) =
            vectors.into_iter().enumerate().filter_map(|(index, vector)| Some((index, vector?))).unzip();
        let is_listed = |index: Option<&usize>, row: u32| {
            let item = self.items.get(row as usize).copied().unwrap_or(NOT_IN_DATA);
            let user = index.and_then(|index| users.get(*index));
            item != NOT_IN_DATA && user.is_none_or(|user| unlisted.row(*user as usize).0.binary_search(&item).is_err())
        };
        let best = scorer.best_for_each(&known, k, |query, row| is_listed(indexes.get(query), row));
        for (index, best) in indexes.iter().zip(best) {
            if let Some(list) = lists.get_mut(*index) {
                *list = best.into_iter().map(|scored| scored.item).collect();
            }
        }
        for (index, list) in lists.iter_mut().enumerate() {
            if list.is_empty() {
                let popular = self.snapshot.popular().iter().copied();
                *list = popular.filter(|row| is_listed(Some(&index), *row)).take(k).collect();
            }
            for item in list {
                *item = self.items.get(*item as usize).copied().unwrap_or(NOT_IN_DATA);
            }
        }
        lists
    }

    /// Predicted ratings of these items by the user; of an item that the revision does not have,
    /// the mean plus the user's bias. `None` for a revision that only ranks.
    pub(super) fn ratings(&self, user: u32, items: &[u32], history: &Interactions) -> Option<Vec<f32>> {
        let scorer = self.scorer().ok()?;
        let scale = *scorer.scale()?;
        let vector = vector(&scorer, &self.history(user, history));
        let unknown = scale.clip(scale.mean + vector.as_ref().map_or(0.0, |vector| vector.bias));
        let vector = vector.unwrap_or_else(|| UserVector::new(vec![0.0; self.snapshot.factors()], 0.0));
        let rating = |item: &u32| {
            let row = self.rows.get(*item as usize).copied().flatten();
            row.and_then(|row| scorer.rating(&vector, row)).unwrap_or(unknown)
        };
        Some(items.iter().map(rating).collect())
    }

    /// The user's history in rows of the revision, ascending; items that it does not have are left
    /// out.
    fn history(&self, user: u32, history: &Interactions) -> (Vec<u32>, Vec<f32>) {
        let (items, values) = history.row(user as usize);
        let row = |(item, value): (&u32, &f32)| Some((self.rows.get(*item as usize).copied().flatten()?, *value));
        let mut rows: Vec<(u32, f32)> = items.iter().zip(values).filter_map(row).collect();
        rows.sort_unstable_by_key(|(row, _)| *row);
        rows.into_iter().unzip()
    }

    fn scorer(&self) -> Result<Scorer<'_>, SolveError> {
        self.scoring.scorer(self.snapshot)
    }
}

/// The folded-in user; `None` if the history carries no preference, or cannot be folded in.
fn vector(scorer: &Scorer<'_>, (rows, values): &(Vec<u32>, Vec<f32>)) -> Option<UserVector> {
    if rows.is_empty() {
        return None;
    }
    scorer.fold_in(rows, values).ok().filter(|vector| !vector.is_empty())
}
