//! The slots of all Recommenders, to train, to write lists and to roll out, and their release at
//! the end of a pass.

use crate::{
    args::Settings,
    fair_limiter::{FairLimiter, RecommenderKey},
};

/// Limits on what many Recommenders may do concurrently.
#[derive(Debug)]
pub struct Slots {
    /// Limits concurrent trainings.
    pub trainings: FairLimiter,
    /// Limits concurrent batches of lists.
    pub batches: FairLimiter,
    /// Limits concurrent refreshes of catalogues.
    pub catalogues: FairLimiter,
    /// Limits concurrent rollouts.
    pub rollouts: FairLimiter,
}

/// The slots that a Recommender uses or waits for after a pass. Every way out of a pass states
/// them, so that none is held by a Recommender that cannot use it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one for each kind of slot; all combinations occur")]
pub struct UsedSlots {
    /// It trains, or is queued for training.
    pub training: bool,
    /// It writes lists for all users, or is queued for that.
    pub batch: bool,
    /// It makes a catalogue, or is queued for that.
    pub catalogue: bool,
    /// It rolls out.
    pub rollout: bool,
}

impl Slots {
    /// Creates the limiters.
    pub fn new(settings: &Settings) -> Self {
        let are_shared = settings.watch_namespaces.len() != 1;
        let limiter = |purpose, slots| FairLimiter::new(purpose, slots, are_shared);
        Self {
            trainings: limiter("training", settings.trainings_max),
            batches: limiter("batch", settings.batches_max),
            catalogues: limiter("catalogue", settings.catalogues_max),
            rollouts: limiter("rollout", settings.rollouts_max),
        }
    }

    /// Releases the slots that a Recommender does not use after a pass.
    pub fn settle(&self, uid: &str, used: UsedSlots, now: i64) {
        let UsedSlots { training, batch, catalogue, rollout } = used;
        if !training {
            self.trainings.release(uid, now);
        }
        if !batch {
            self.batches.release(uid, now);
        }
        if !catalogue {
            self.catalogues.release(uid, now);
        }
        if !rollout {
            self.rollouts.release(uid, now);
        }
    }

    /// Releases the slots of all Recommenders that do not match.
    pub fn retain(&self, exists: &dyn Fn(&RecommenderKey) -> bool, now: i64) {
        self.trainings.retain(exists, now);
        self.batches.retain(exists, now);
        self.catalogues.retain(exists, now);
        self.rollouts.retain(exists, now);
    }
}
