//! Split of the interactions into training, fold-in and held-out subsets.
//!
//! | split | held-out set | reference |
//! |---|---|---|
//! | `time` | the newest fraction of all interactions | a serving model knows the past only: Ji, Sun, Zhang and Li 2023, "A critical study on data leakage in recommender system offline evaluation", TOIS |
//! | `random` | a fraction of the pairs, by a seeded hash | weak generalization: Marlin 2004, "Collaborative filtering: a machine learning perspective", section 3.3 |
//! | `leaveLastOut` | the newest interaction of each user with two or more; without times, or among equally new ones, the first by a seeded hash | He, Liao, Zhang, Nie, Hu and Chua 2017, "Neural collaborative filtering", WWW, section 4.1 |
//! | `userHoldout` | a fifth of the items of a fraction of the users; the fit excludes these users, and their other items are folded in | strong generalization: Marlin 2004; Liang, Krishnan, Hoffman and Jebara 2018, "Variational autoencoders for collaborative filtering", WWW, section 4.1 |

use std::ops::Range;

use factorization::split::{held_out_by_hash, pair_order, time_cut};
use sidecar_contract::{SplitKind, TrainingConfig};

use crate::{failure::RunError, merge::InteractionTable};

/// Inverse of the held-out fraction of a user's items in `userHoldout`.
const TEST_ONE_IN: usize = 5;

/// Role of an interaction in a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subset {
    /// Training part.
    Train,
    /// History of a user who is excluded from the fit; it is folded in.
    FoldIn,
    /// Held-out set.
    Test,
    /// Pair that would be held out, but the serving revision has it from an earlier row: it is not
    /// measured, and no list has its item.
    Known,
    /// Not part of this split.
    Unused,
}

/// The split for this data: the config's, or the default.
pub(super) fn kind(config: &TrainingConfig, table: &InteractionTable) -> Result<SplitKind, RunError> {
    match (config.evaluation.split, &table.times) {
        (Some(SplitKind::Time), None) => Err(RunError::bad_data(
            "spec.evaluation.split is time, but the data has no timestamps: set spec.data.columns.timestamp, or \
             spec.evaluation.split to random",
        )),
        (Some(kind), _) => Ok(kind),
        (None, Some(_)) => Ok(SplitKind::Time),
        (None, None) => Ok(SplitKind::Random),
    }
}

/// Whether times determine the split, up to interactions of the same time.
pub(super) fn is_determined(config: &TrainingConfig, table: &InteractionTable) -> Result<bool, RunError> {
    Ok(match kind(config, table)? {
        SplitKind::Time => true,
        SplitKind::LeaveLastOut => table.times.is_some(),
        SplitKind::Random | SplitKind::UserHoldout => false,
    })
}

/// A subset for each interaction; `None` if no useful split exists.
pub(super) fn split(config: &TrainingConfig, table: &InteractionTable) -> Result<Option<Vec<Subset>>, RunError> {
    split_train(config, table, vec![Subset::Train; table.items.len()], config.seed)
}

/// Splits the training part of a split further. A repetition gives another split, unless it
/// [`is_determined`].
pub(super) fn split_again(
    config: &TrainingConfig,
    table: &InteractionTable,
    outer: &[Subset],
    repetition: u64,
) -> Result<Option<Vec<Subset>>, RunError> {
    let inner = |subset: &Subset| if *subset == Subset::Train { Subset::Train } else { Subset::Unused };
    // A nested split with the same hash would hold out nothing.
    let seed = config.seed.wrapping_add(1).wrapping_add(repetition);
    split_train(config, table, outer.iter().map(inner).collect(), seed)
}

/// Splits the interactions that are in the training part.
fn split_train(
    config: &TrainingConfig,
    table: &InteractionTable,
    subsets: Vec<Subset>,
    seed: u64,
) -> Result<Option<Vec<Subset>>, RunError> {
    let mut builder = SplitBuilder { table, seed, subsets };
    match kind(config, table)? {
        SplitKind::Time => builder.hold_out_newest(config.evaluation.holdout),
        SplitKind::Random => builder.hold_out_pairs(config.evaluation.holdout),
        SplitKind::LeaveLastOut => builder.hold_out_last_of_each_user(),
        SplitKind::UserHoldout => builder.hold_out_users(config.evaluation.holdout),
    }
    let subsets = builder.subsets;
    Ok(is_useful(&subsets).then_some(subsets))
}

/// A split at a time: later interactions are held out. `None` without times, or if one subset is
/// empty.
pub(super) fn split_after(table: &InteractionTable, micros: i64) -> Option<Vec<Subset>> {
    let times = table.times.as_ref()?;
    let subset = |time: &i64| if *time > micros { Subset::Test } else { Subset::Train };
    let subsets: Vec<Subset> = times.iter().map(subset).collect();
    is_useful(&subsets).then_some(subsets)
}

/// Whether every held-out interaction is later than this time; false without times.
pub(super) fn is_newer_than(table: &InteractionTable, subsets: &[Subset], micros: i64) -> bool {
    let Some(times) = &table.times else { return false };
    subsets.iter().zip(times).all(|(subset, time)| *subset != Subset::Test || *time > micros)
}

fn is_useful(subsets: &[Subset]) -> bool {
    subsets.contains(&Subset::Test) && subsets.contains(&Subset::Train)
}

/// Whether the interaction is in this subset.
pub(super) fn is_in(subsets: &[Subset], position: usize, subset: Subset) -> bool {
    subsets.get(position) == Some(&subset)
}

struct SplitBuilder<'a> {
    table: &'a InteractionTable,
    seed: u64,
    /// Interactions start in the training part.
    subsets: Vec<Subset>,
}

impl SplitBuilder<'_> {
    fn hold_out_newest(&mut self, fraction: f64) {
        let Some(times) = &self.table.times else { return };
        let train = times.iter().zip(&self.subsets).filter(|(_, subset)| **subset == Subset::Train);
        let train: Vec<f64> = train.map(|(micros, _)| *micros as f64).collect();
        let Some(cut) = time_cut(&train, fraction) else { return };
        for (subset, micros) in self.subsets.iter_mut().zip(times) {
            if *subset == Subset::Train && *micros as f64 > cut {
                *subset = Subset::Test;
            }
        }
    }

    fn hold_out_pairs(&mut self, fraction: f64) {
        for user in 0..self.table.user_ids.len() {
            for position in self.train_positions_of(user) {
                if held_out_by_hash(self.seed, self.user_id(user), self.item_id(position), fraction) {
                    self.assign(position, Subset::Test);
                }
            }
        }
    }

    fn hold_out_last_of_each_user(&mut self) {
        for user in 0..self.table.user_ids.len() {
            let train = self.train_positions_of(user);
            if train.len() < 2 {
                continue;
            }
            let time = |position: usize| self.table.times.as_ref().and_then(|times| times.get(position).copied());
            let order = |position: usize| pair_order(self.seed, self.user_id(user), self.item_id(position));
            let last = train.into_iter().max_by_key(|position| (time(*position), std::cmp::Reverse(order(*position))));
            if let Some(last) = last {
                self.assign(last, Subset::Test);
            }
        }
    }

    fn hold_out_users(&mut self, fraction: f64) {
        // The hash of a user and an empty item id; no pair has it.
        let is_held_out = |user: &usize| held_out_by_hash(self.seed, self.user_id(*user), b"", fraction);
        let held_out: Vec<usize> = (0..self.table.user_ids.len()).filter(is_held_out).collect();
        for user in &held_out {
            let train = self.train_positions_of(*user);
            self.assign_all(train, Subset::FoldIn);
        }
        let mut is_known = vec![false; self.table.item_ids.len()];
        for (item, subset) in self.table.items.iter().zip(&self.subsets) {
            if let (Subset::Train, Some(known)) = (subset, is_known.get_mut(*item as usize)) {
                *known = true;
            }
        }
        for user in held_out {
            // The fit has no factors for items that only held-out users interacted with.
            let (mut known, unknown): (Vec<usize>, Vec<usize>) = self
                .range_of(user)
                .filter(|position| is_in(&self.subsets, *position, Subset::FoldIn))
                .partition(|position| self.item(*position).is_some_and(|item| is_known.get(item) == Some(&true)));
            self.assign_all(unknown, Subset::Unused);
            known.sort_by_key(|position| pair_order(self.seed, self.user_id(user), self.item_id(*position)));
            known.truncate(known.len() / TEST_ONE_IN);
            self.assign_all(known, Subset::Test);
        }
    }

    fn assign_all(&mut self, positions: Vec<usize>, subset: Subset) {
        for position in positions {
            self.assign(position, subset);
        }
    }

    fn assign(&mut self, position: usize, subset: Subset) {
        if let Some(entry) = self.subsets.get_mut(position) {
            *entry = subset;
        }
    }

    fn range_of(&self, user: usize) -> Range<usize> {
        let at = |user: usize| self.table.offsets.get(user).map_or(0, |at| usize::try_from(*at).unwrap_or(usize::MAX));
        at(user)..at(user + 1)
    }

    fn train_positions_of(&self, user: usize) -> Vec<usize> {
        self.range_of(user).filter(|position| is_in(&self.subsets, *position, Subset::Train)).collect()
    }

    fn item(&self, position: usize) -> Option<usize> {
        self.table.items.get(position).map(|item| *item as usize)
    }

    fn user_id(&self, user: usize) -> &[u8] {
        self.table.user_ids.get(user).unwrap_or_default().as_bytes()
    }

    fn item_id(&self, position: usize) -> &[u8] {
        self.item(position).and_then(|item| self.table.item_ids.get(item)).unwrap_or_default().as_bytes()
    }
}
