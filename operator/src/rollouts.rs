//! How many Recommenders may change what their pods serve or are, at once: a fleet's upgrade must not take all pods of all
//! Recommenders through a start at the same moment.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// A rollout that takes longer gives its place back: one that is stuck must not hold up the fleet.
const PLACE_SECONDS_MAX: i64 = 600;

/// The places.
#[derive(Debug)]
pub struct Rollouts {
    places: usize,
    /// Uid of a Recommender to the second since when it has a place.
    taken: Mutex<HashMap<String, i64>>,
}

impl Rollouts {
    /// So many places, at least one.
    pub fn new(places: usize) -> Self {
        Self { places: places.max(1), taken: Mutex::default() }
    }

    /// Takes a place, or keeps the one that it has; says whether there is one.
    pub fn claim(&self, uid: &str, now: i64) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|uid, since| {
            let in_time = now.saturating_sub(*since) < PLACE_SECONDS_MAX;
            if !in_time {
                tracing::warn!(uid, seconds = PLACE_SECONDS_MAX, "a rollout is stuck; its place goes to the next");
            }
            in_time
        });
        if taken.contains_key(uid) {
            return true;
        }
        let free = taken.len() < self.places;
        if free {
            taken.insert(uid.to_owned(), now);
        }
        free
    }

    /// Gives the place back.
    pub fn release(&self, uid: &str) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_kept_and_given_back() {
        let rollouts = Rollouts::new(2);
        assert!(rollouts.claim("a", 0) && rollouts.claim("b", 0));
        assert!(!rollouts.claim("c", 1));
        assert!(rollouts.claim("a", 1), "who has a place keeps it");
        rollouts.release("a");
        assert!(rollouts.claim("c", 2));
    }

    #[test]
    fn a_stuck_rollout_loses_its_place() {
        let rollouts = Rollouts::new(1);
        assert!(rollouts.claim("a", 0));
        assert!(!rollouts.claim("b", PLACE_SECONDS_MAX - 1));
        assert!(rollouts.claim("b", PLACE_SECONDS_MAX));
        assert!(!rollouts.claim("a", PLACE_SECONDS_MAX));
    }
}
