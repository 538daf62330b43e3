//! Limits how many Recommenders may hold a slot concurrently: to train, or to roll out a new model
//! or pod template.
//!
//! Trainings queue. The next slot is granted to the namespace with the fewest slots, then to the
//! Recommender that has waited longest, so that a tenant with a thousand Recommenders does not
//! starve the others. Rollouts do not queue: their limit only keeps an upgrade from restarting all
//! pods of all Recommenders at the same time.
//!
//! A slot is held for up to a week, so order in the queue is not enough: a quarter of the slots is
//! granted only to namespaces that hold none.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use tokio::sync::broadcast;

/// Lifetime of a rollout slot in seconds: a stuck rollout must not block the fleet.
pub const ROLLOUT_SLOT_SECONDS_MAX: u64 = 600;
/// Part of the slots (one in this many, but at least one) that only a namespace without a slot gets.
const RESERVED_ONE_IN: usize = 4;
/// Seconds from the deadline of a training to the expiry of its slot, in case the end of the Job
/// goes unnoticed.
const DEADLINE_GRACE_SECONDS: u64 = 600;
/// Capacity of the grant channel. A Recommender that misses its grant polls.
const PENDING_GRANTS_MAX: usize = 1024;

/// Lifetime of a training slot in seconds.
pub fn training_slot_seconds(deadline_seconds: u64) -> u64 {
    deadline_seconds.saturating_add(DEADLINE_GRACE_SECONDS)
}

/// Identity of a Recommender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecommenderKey {
    /// Uid.
    pub uid: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// A fixed number of slots, shared fairly between namespaces.
#[derive(Debug)]
pub struct FairLimiter {
    /// What a slot is for; used in logs.
    purpose: &'static str,
    size: Size,
    queue: Mutex<Queue>,
    grants: broadcast::Sender<RecommenderKey>,
}

/// Number of slots, and how many of them only a namespace without a slot gets.
#[derive(Clone, Copy, Debug)]
struct Size {
    slots: usize,
    reserved: usize,
}

/// Holders of slots and waiting Recommenders, by uid.
#[derive(Debug, Default)]
struct Queue {
    running: BTreeMap<String, Entry>,
    waiting: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    key: RecommenderKey,
    /// Second since 1970 when the Recommender joined the queue or received the slot.
    since: i64,
    /// Second since 1970 when the slot expires.
    expires_at: i64,
}

impl FairLimiter {
    /// Creates a limiter with this number of slots, but no fewer than one. Only `is_shared` ones are
    /// those of several namespaces.
    pub fn new(purpose: &'static str, slots: usize, is_shared: bool) -> Self {
        let grants = broadcast::Sender::new(PENDING_GRANTS_MAX);
        let slots = slots.max(1);
        let reserved = if is_shared { (slots / RESERVED_ONE_IN).max(1) } else { 0 };
        Self { purpose, size: Size { slots, reserved }, queue: Mutex::default(), grants }
    }

    /// The number of slots.
    pub fn slots(&self) -> usize {
        self.size.slots
    }

    /// Subscribes to the waiting Recommenders that may claim a slot now.
    pub fn grants(&self) -> broadcast::Receiver<RecommenderKey> {
        self.grants.subscribe()
    }

    /// Claims a slot that expires after `slot_seconds`, or joins the queue. Returns whether the
    /// Recommender holds a slot.
    pub fn claim(&self, key: &RecommenderKey, now: i64, slot_seconds: u64) -> bool {
        self.change(now, |queue, size| {
            if queue.running.contains_key(&key.uid) {
                return true;
            }
            queue.waiting.entry(key.uid.clone()).or_insert_with(|| Entry::new(key, now, slot_seconds));
            let admitted = queue.admitted(size).contains(&key.uid);
            if admitted {
                queue.waiting.remove(&key.uid);
                queue.running.insert(key.uid.clone(), Entry::new(key, now, slot_seconds));
            }
            admitted
        })
    }

    /// Claims a slot that expires after `slot_seconds`, without joining the queue. Returns whether
    /// the Recommender holds a slot.
    pub fn try_claim(&self, key: &RecommenderKey, now: i64, slot_seconds: u64) -> bool {
        self.change(now, |queue, size| {
            if queue.running.contains_key(&key.uid) {
                return true;
            }
            let free = size.slots.saturating_sub(queue.running.len() + queue.admitted(size).len());
            let held = queue.running.values().filter(|entry| entry.key.namespace == key.namespace).count();
            let admitted = size.grants(held, free);
            if admitted {
                queue.running.insert(key.uid.clone(), Entry::new(key, now, slot_seconds));
            }
            admitted
        })
    }

    /// Assigns a slot to work that is running already, even if that exceeds the limit.
    pub fn record_running(&self, key: &RecommenderKey, now: i64, slot_seconds: u64) {
        self.change(now, |queue, _| {
            queue.waiting.remove(&key.uid);
            queue.running.entry(key.uid.clone()).or_insert_with(|| Entry::new(key, now, slot_seconds));
        });
    }

    /// Releases the slot, or leaves the queue.
    pub fn release(&self, uid: &str, now: i64) {
        self.change(now, |queue, _| {
            queue.running.remove(uid);
            queue.waiting.remove(uid);
        });
    }

    /// Removes all Recommenders that do not match.
    pub fn retain(&self, exists: &dyn Fn(&RecommenderKey) -> bool, now: i64) {
        self.change(now, |queue, _| {
            queue.running.retain(|_, entry| exists(&entry.key));
            queue.waiting.retain(|_, entry| exists(&entry.key));
        });
    }

    /// Removes expired slots, changes the queue, and notifies the Recommenders that may claim a
    /// slot as a result.
    fn change<T>(&self, now: i64, change: impl FnOnce(&mut Queue, Size) -> T) -> T {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let before = queue.admitted(self.size);
        queue.running.retain(|uid, entry| {
            let live = entry.expires_at > now;
            if !live {
                let seconds = now.saturating_sub(entry.since);
                let (purpose, namespace, name) = (self.purpose, &entry.key.namespace, &entry.key.name);
                tracing::warn!(purpose, namespace, name, uid, seconds, "a slot expired and was released");
            }
            live
        });
        let result = change(&mut queue, self.size);
        for uid in queue.admitted(self.size).iter().filter(|uid| !before.contains(uid)) {
            if let Some(entry) = queue.waiting.get(uid) {
                // Without a receiver the grant is lost, and the Recommender polls.
                let _ = self.grants.send(entry.key.clone());
            }
        }
        result
    }
}

impl Queue {
    /// Uids of the waiting Recommenders that may claim a slot now, in order.
    fn admitted(&self, size: Size) -> Vec<String> {
        let mut held: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in self.running.values() {
            *held.entry(&entry.key.namespace).or_default() += 1;
        }
        let mut waiting: Vec<&Entry> = self.waiting.values().collect();
        let mut admitted = Vec::new();
        for taken in self.running.len()..size.slots {
            let held_by = |entry: &Entry| held.get(entry.key.namespace.as_str()).copied().unwrap_or(0);
            let order = |entry: &&Entry| (held_by(entry), entry.since, entry.key.uid.clone());
            let Some(next) = waiting.iter().copied().min_by_key(order) else { break };
            // The others are of namespaces that hold as many slots or more.
            if !size.grants(held_by(next), size.slots - taken) {
                break;
            }
            waiting.retain(|entry| entry.key.uid != next.key.uid);
            *held.entry(&next.key.namespace).or_default() += 1;
            admitted.push(next.key.uid.clone());
        }
        admitted
    }
}

impl Size {
    /// Whether a namespace that holds a number of slots may get one of those that are free.
    fn grants(self, held: usize, free: usize) -> bool {
        free > 0 && (held == 0 || free > self.reserved)
    }
}

impl Entry {
    fn new(key: &RecommenderKey, now: i64, slot_seconds: u64) -> Self {
        Self { key: key.clone(), since: now, expires_at: expires_at(now, slot_seconds) }
    }
}

fn expires_at(now: i64, slot_seconds: u64) -> i64 {
    now.saturating_add(i64::try_from(slot_seconds).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;
    const HOUR_END: i64 = 3600;

    fn key(name: &str) -> RecommenderKey {
        let namespace = name.split('/').next().unwrap().to_owned();
        RecommenderKey { uid: name.to_owned(), namespace, name: name.to_owned() }
    }

    fn claims(limiter: &FairLimiter, now: i64, names: &[&str]) -> Vec<bool> {
        names.iter().map(|name| limiter.claim(&key(name), now, HOUR)).collect()
    }

    fn limiter(slots: usize) -> FairLimiter {
        FairLimiter::new("test", slots, true)
    }

    fn counts(limiter: &FairLimiter) -> (usize, usize) {
        let queue = limiter.queue.lock().unwrap();
        (queue.running.len(), queue.waiting.len())
    }

    #[test]
    fn slots_are_limited_and_granted_in_order() {
        let limiter = limiter(3);
        let mut grants = limiter.grants();
        assert_eq!(claims(&limiter, 0, &["a/1", "a/2", "a/3"]), [true, true, false]);
        assert_eq!(claims(&limiter, 1, &["a/4", "a/1"]), [false, true], "a holder keeps its slot");
        assert!(grants.try_recv().is_err(), "no slot is free for a");
        limiter.release("a/1", 2);
        assert_eq!(grants.try_recv().unwrap().uid, "a/3");
        assert!(grants.try_recv().is_err());
        assert_eq!(claims(&limiter, 2, &["a/5", "a/4", "a/3"]), [false, false, true], "the longest wait is next");
        assert_eq!(counts(&limiter), (2, 2));
    }

    #[test]
    fn a_namespace_leaves_slots_to_others() {
        // Of 20 slots 5 are for namespaces without one.
        let limiter = limiter(20);
        let claimed = |limiter: &FairLimiter, namespace: &str| {
            (0..30).filter(|n| limiter.claim(&key(&format!("{namespace}/{n}")), 0, HOUR)).count()
        };
        assert_eq!(claimed(&limiter, "a"), 15);
        assert_eq!(["b", "c", "d", "e", "f", "g"].map(|namespace| claimed(&limiter, namespace)), [1, 1, 1, 1, 1, 0]);
    }

    #[test]
    fn the_only_namespace_gets_all_slots() {
        let limiter = FairLimiter::new("test", 2, false);
        assert_eq!(claims(&limiter, 0, &["a/1", "a/2", "a/3"]), [true, true, false]);
    }

    #[test]
    fn a_busy_namespace_does_not_starve_another() {
        let limiter = limiter(3);
        claims(&limiter, 0, &["many/1", "many/2", "many/3", "many/4"]);
        assert_eq!(claims(&limiter, 5, &["one/1", "one/2"]), [true, false]);
        limiter.release("many/1", 6);
        assert_eq!(claims(&limiter, 6, &["many/3", "two/1"]), [false, true]);
        limiter.release("two/1", 7);
        limiter.release("one/1", 7);
        assert_eq!(claims(&limiter, 7, &["many/3", "one/2"]), [false, true]);
        assert_eq!(claims(&limiter, 7, &["many/4"]), [false]);
    }

    #[test]
    fn recorded_work_counts_until_its_recommender_is_deleted() {
        let limiter = limiter(1);
        limiter.record_running(&key("a/1"), 0, HOUR);
        limiter.record_running(&key("a/2"), 0, HOUR);
        assert_eq!(claims(&limiter, 1, &["a/1", "b/1"]), [true, false]);
        limiter.retain(&|key| key.uid == "b/1", 2);
        assert_eq!(claims(&limiter, 2, &["b/1"]), [true]);
    }

    #[test]
    fn an_unreleased_slot_expires() {
        let limiter = limiter(1);
        assert_eq!(claims(&limiter, 0, &["a/1", "b/1"]), [true, false]);
        assert_eq!(claims(&limiter, HOUR_END - 1, &["b/1"]), [false]);
        assert_eq!(claims(&limiter, HOUR_END, &["b/1"]), [true]);
        assert_eq!(training_slot_seconds(HOUR), HOUR + DEADLINE_GRACE_SECONDS);
    }

    #[test]
    fn a_recommender_that_left_the_queue_does_not_block_it() {
        let limiter = limiter(1);
        claims(&limiter, 0, &["a/1", "a/2", "a/3"]);
        limiter.release("a/2", 1);
        limiter.release("a/1", 2);
        assert_eq!(claims(&limiter, 3, &["a/3"]), [true]);
    }

    #[test]
    fn try_claim_is_limited_and_does_not_queue() {
        let limiter = limiter(2);
        let claim = |name: &str, now: i64| limiter.try_claim(&key(name), now, HOUR);
        assert!(claim("a", 0));
        assert!(!claim("a/2", 0), "the last slot is for another namespace");
        assert!(claim("b", 0));
        assert!(!claim("c", 1));
        assert!(claim("a", 1), "a holder keeps its slot");
        assert_eq!(counts(&limiter), (2, 0));
        limiter.release("a", 1);
        assert!(claim("d", 2), "c is not queued");
        assert!(!claim("a", HOUR_END - 1));
        assert!(claim("a", HOUR_END), "the slot of b expired");
    }
}
