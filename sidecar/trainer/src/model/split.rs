//! Which interactions are learned from, and which are kept for measuring.
//!
//! | split | kept | as in |
//! |---|---|---|
//! | `time` | the newest share of all | a model that serves knows the past alone: Ji, Sun, Zhang and Li 2023, "A critical study on data leakage in recommender system offline evaluation", TOIS |
//! | `random` | a share of the pairs, by a seeded hash | weak generalization: Marlin 2004, "Collaborative filtering: a machine learning perspective", section 3.3 |
//! | `leaveLastOut` | the newest of each user with at least two; without times, or of equally new ones, the first by a seeded hash | He, Liao, Zhang, Nie, Hu and Chua 2017, "Neural collaborative filtering", WWW, section 4.1 |
//! | `users` | of a share of the users, whom the fit never sees, a fifth of the items; their taste is folded in from the rest | strong generalization: Marlin 2004; Liang, Krishnan, Hoffman and Jebara 2018, "Variational autoencoders for collaborative filtering", WWW, section 4.1 |

use std::ops::Range;

use factorization::split::{held_out_by_hash, pair_order, time_cut};
use sidecar_contract::{SplitKind, TrainingConfig};

use crate::{failure::Stop, merge::Merged};

/// Of a user of `users`, one in so many items is kept.
const KEPT_ONE_IN: usize = 5;

/// What becomes of an interaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Learned from.
    Fitted,
    /// Says what a user likes whom the fit does not see.
    FoldedIn,
    /// Measured on.
    Kept,
    /// No part of this split.
    Out,
}

/// The split that the config means for this data.
pub(super) fn kind(config: &TrainingConfig, merged: &Merged) -> Result<SplitKind, Stop> {
    match (config.evaluation.split, &merged.times) {
        (Some(SplitKind::Time), None) => Err(Stop::bad_data(
            "spec.evaluation.split is time, but the data has no timestamps: set spec.data.columns.timestamp, or \
             spec.evaluation.split to random",
        )),
        (Some(kind), _) => Ok(kind),
        (None, Some(_)) => Ok(SplitKind::Time),
        (None, None) => Ok(SplitKind::Random),
    }
}

/// A place for each interaction; `None` when no useful split exists. `of` is another split: this one is of what that one fits.
pub(super) fn split(
    config: &TrainingConfig,
    merged: &Merged,
    of: Option<&[Place]>,
) -> Result<Option<Vec<Place>>, Stop> {
    let kind = kind(config, merged)?;
    let free = (0..merged.items.len()).map(|position| of.is_none_or(|of| is(of, position, Place::Fitted)));
    let places = free.map(|free| if free { Place::Fitted } else { Place::Out }).collect();
    // Another split by the same hash would keep nothing of the rest.
    let seed = of.map_or(config.seed, |_| config.seed.wrapping_add(1));
    let mut splitting = Splitting { merged, seed, places };
    match kind {
        SplitKind::Time => splitting.keep_newest(config.evaluation.holdout),
        SplitKind::Random => splitting.keep_pairs(config.evaluation.holdout),
        SplitKind::LeaveLastOut => splitting.keep_last_of_each(),
        SplitKind::Users => splitting.keep_users(config.evaluation.holdout),
    }
    let places = splitting.places;
    let is_useful = places.contains(&Place::Kept) && places.contains(&Place::Fitted);
    Ok(is_useful.then_some(places))
}

/// Whether the interaction has this place.
pub(super) fn is(places: &[Place], position: usize, place: Place) -> bool {
    places.get(position) == Some(&place)
}

struct Splitting<'a> {
    merged: &'a Merged,
    seed: u64,
    /// All that are free start as fitted.
    places: Vec<Place>,
}

impl Splitting<'_> {
    fn keep_newest(&mut self, share: f64) {
        let Some(times) = &self.merged.times else { return };
        let free = times.iter().zip(&self.places).filter(|(_, place)| **place == Place::Fitted);
        let free: Vec<f64> = free.map(|(micros, _)| *micros as f64).collect();
        let Some(cut) = time_cut(&free, share) else { return };
        for (place, micros) in self.places.iter_mut().zip(times) {
            if *place == Place::Fitted && *micros as f64 > cut {
                *place = Place::Kept;
            }
        }
    }

    fn keep_pairs(&mut self, share: f64) {
        for user in 0..self.merged.user_ids.len() {
            for position in self.free_of(user) {
                if held_out_by_hash(self.seed, self.user_id(user), self.item_id(position), share) {
                    self.put(position, Place::Kept);
                }
            }
        }
    }

    fn keep_last_of_each(&mut self) {
        for user in 0..self.merged.user_ids.len() {
            let free = self.free_of(user);
            if free.len() < 2 {
                continue;
            }
            let time = |position: usize| self.merged.times.as_ref().and_then(|times| times.get(position).copied());
            let order = |position: usize| pair_order(self.seed, self.user_id(user), self.item_id(position));
            let last = free.into_iter().max_by_key(|position| (time(*position), std::cmp::Reverse(order(*position))));
            if let Some(last) = last {
                self.put(last, Place::Kept);
            }
        }
    }

    fn keep_users(&mut self, share: f64) {
        // The hash of a user beside no item, which no pair has.
        let is_apart = |user: &usize| held_out_by_hash(self.seed, self.user_id(*user), b"", share);
        let apart: Vec<usize> = (0..self.merged.user_ids.len()).filter(is_apart).collect();
        for user in &apart {
            let free = self.free_of(*user);
            self.put_all(free, Place::FoldedIn);
        }
        let mut is_known = vec![false; self.merged.item_ids.len()];
        for (item, place) in self.merged.items.iter().zip(&self.places) {
            if let (Place::Fitted, Some(known)) = (place, is_known.get_mut(*item as usize)) {
                *known = true;
            }
        }
        for user in apart {
            // Items that only users apart have met are nothing that a fit can know.
            let (mut known, unknown): (Vec<usize>, Vec<usize>) = self
                .range_of(user)
                .filter(|position| is(&self.places, *position, Place::FoldedIn))
                .partition(|position| self.item(*position).is_some_and(|item| is_known.get(item) == Some(&true)));
            self.put_all(unknown, Place::Out);
            known.sort_by_key(|position| pair_order(self.seed, self.user_id(user), self.item_id(*position)));
            known.truncate(known.len() / KEPT_ONE_IN);
            self.put_all(known, Place::Kept);
        }
    }

    fn put_all(&mut self, positions: Vec<usize>, place: Place) {
        for position in positions {
            self.put(position, place);
        }
    }

    fn put(&mut self, position: usize, place: Place) {
        if let Some(of) = self.places.get_mut(position) {
            *of = place;
        }
    }

    fn range_of(&self, user: usize) -> Range<usize> {
        let at = |user: usize| self.merged.offsets.get(user).map_or(0, |at| usize::try_from(*at).unwrap_or(usize::MAX));
        at(user)..at(user + 1)
    }

    fn free_of(&self, user: usize) -> Vec<usize> {
        self.range_of(user).filter(|position| is(&self.places, *position, Place::Fitted)).collect()
    }

    fn item(&self, position: usize) -> Option<usize> {
        self.merged.items.get(position).map(|item| *item as usize)
    }

    fn user_id(&self, user: usize) -> &[u8] {
        self.merged.user_ids.get(user).unwrap_or_default().as_bytes()
    }

    fn item_id(&self, position: usize) -> &[u8] {
        self.item(position).and_then(|item| self.merged.item_ids.get(item)).unwrap_or_default().as_bytes()
    }
}
