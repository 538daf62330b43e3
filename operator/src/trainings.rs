//! How many Recommenders may train at once, and who is next: the namespace with the fewest trainings, then who has waited
//! longest. So one tenant with a thousand Recommenders does not keep the others waiting.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use tokio::sync::broadcast;

/// A Job has ended by its deadline; its place is given back this many seconds later, if nobody has noticed before.
const PLACE_SECONDS_EXTRA: i64 = 600;
/// Recommenders that are woken at once; one whose turn is not heard of looks again by itself.
const WAKES_MAX: usize = 1024;

/// A Recommender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// Identity.
    pub uid: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// The places.
#[derive(Debug)]
pub struct Trainings {
    places: usize,
    queue: Mutex<Queue>,
    wakes: broadcast::Sender<Who>,
}

/// Who trains and who waits, by uid.
#[derive(Debug, Default)]
struct Queue {
    running: BTreeMap<String, Entry>,
    waiting: BTreeMap<String, Entry>,
}

/// `until` is when a place is given back at last, `since` is when the waiting began.
#[derive(Clone, Debug)]
struct Entry {
    who: Who,
    since: i64,
    until: i64,
}

impl Trainings {
    /// So many places, at least one.
    pub fn new(places: usize) -> Self {
        Self { places: places.max(1), queue: Mutex::default(), wakes: broadcast::Sender::new(WAKES_MAX) }
    }

    /// The number of places.
    pub fn places(&self) -> usize {
        self.places
    }

    /// Recommenders whose turn has come, as it comes.
    pub fn wakes(&self) -> broadcast::Receiver<Who> {
        self.wakes.subscribe()
    }

    /// Takes a place for a run of at most so many seconds, or waits for one; says whether there is one.
    pub fn claim(&self, who: &Who, now: i64, deadline_seconds: u64) -> bool {
        self.change(now, |queue, places| {
            if queue.running.contains_key(&who.uid) {
                return true;
            }
            let entry = Entry { who: who.clone(), since: now, until: until(now, deadline_seconds) };
            queue.waiting.entry(who.uid.clone()).or_insert(entry);
            let admitted = queue.admitted(places).contains(&who.uid);
            if admitted && let Some(mut entry) = queue.waiting.remove(&who.uid) {
                entry.until = until(now, deadline_seconds);
                queue.running.insert(who.uid.clone(), entry);
            }
            admitted
        })
    }

    /// Counts a run that is under way already, also beyond the number of places.
    pub fn occupy(&self, who: &Who, now: i64, deadline_seconds: u64) {
        self.change(now, |queue, _| {
            queue.waiting.remove(&who.uid);
            let entry = Entry { who: who.clone(), since: now, until: until(now, deadline_seconds) };
            queue.running.entry(who.uid.clone()).or_insert(entry);
        });
    }

    /// Gives the place back, or leaves the queue.
    pub fn release(&self, uid: &str, now: i64) {
        self.change(now, |queue, _| {
            queue.running.remove(uid);
            queue.waiting.remove(uid);
        });
    }

    /// Forgets the Recommenders that are gone.
    pub fn keep_only(&self, uids: &dyn Fn(&str) -> bool, now: i64) {
        self.change(now, |queue, _| {
            queue.running.retain(|uid, _| uids(uid));
            queue.waiting.retain(|uid, _| uids(uid));
        });
    }

    /// How many train and how many wait.
    pub fn counts(&self) -> (usize, usize) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        (queue.running.len(), queue.waiting.len())
    }

    /// Changes the queue, and wakes those whose turn has come by it.
    fn change<T>(&self, now: i64, change: impl FnOnce(&mut Queue, usize) -> T) -> T {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let before = queue.admitted(self.places);
        queue.running.retain(|_, entry| entry.until > now);
        let answer = change(&mut queue, self.places);
        for uid in queue.admitted(self.places).iter().filter(|uid| !before.contains(uid)) {
            if let Some(entry) = queue.waiting.get(uid) {
                // Nobody listens: they look again by themselves.
                let _ = self.wakes.send(entry.who.clone());
            }
        }
        answer
    }
}

impl Queue {
    /// Whose turn it is, of those who wait.
    fn admitted(&self, places: usize) -> Vec<String> {
        let mut trainings: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in self.running.values() {
            *trainings.entry(&entry.who.namespace).or_default() += 1;
        }
        let mut waiting: Vec<&Entry> = self.waiting.values().collect();
        let mut admitted = Vec::new();
        for _ in self.running.len()..places {
            let order = |entry: &&Entry| {
                let busy = trainings.get(entry.who.namespace.as_str()).copied().unwrap_or(0);
                (busy, entry.since, entry.who.uid.clone())
            };
            let Some(next) = waiting.iter().copied().min_by_key(order) else { break };
            waiting.retain(|entry| entry.who.uid != next.who.uid);
            *trainings.entry(&next.who.namespace).or_default() += 1;
            admitted.push(next.who.uid.clone());
        }
        admitted
    }
}

fn until(now: i64, deadline_seconds: u64) -> i64 {
    now.saturating_add(i64::try_from(deadline_seconds).unwrap_or(i64::MAX)).saturating_add(PLACE_SECONDS_EXTRA)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    fn who(name: &str) -> Who {
        let namespace = name.split('/').next().unwrap().to_owned();
        Who { uid: name.to_owned(), namespace, name: name.to_owned() }
    }

    fn claims(trainings: &Trainings, now: i64, names: &[&str]) -> Vec<bool> {
        names.iter().map(|name| trainings.claim(&who(name), now, HOUR)).collect()
    }

    #[test]
    fn places_are_bounded_kept_and_given_back_in_order() {
        let trainings = Trainings::new(2);
        let mut wakes = trainings.wakes();
        assert_eq!(claims(&trainings, 0, &["a/1", "a/2", "a/3"]), [true, true, false]);
        assert_eq!(claims(&trainings, 1, &["a/4", "a/1"]), [false, true], "who has a place keeps it");
        assert!(wakes.try_recv().is_err(), "nobody's turn has come");
        trainings.release("a/1", 2);
        assert_eq!(wakes.try_recv().unwrap().uid, "a/3");
        assert!(wakes.try_recv().is_err());
        assert_eq!(claims(&trainings, 2, &["a/5", "a/4", "a/3"]), [false, false, true], "who waited longest is next");
        assert_eq!(trainings.counts(), (2, 2));
    }

    #[test]
    fn a_namespace_with_many_does_not_keep_another_waiting() {
        let trainings = Trainings::new(2);
        claims(&trainings, 0, &["many/1", "many/2", "many/3", "many/4"]);
        claims(&trainings, 5, &["one/1"]);
        trainings.release("many/1", 6);
        assert_eq!(claims(&trainings, 6, &["many/3", "one/1"]), [false, true]);
        trainings.release("many/2", 7);
        assert_eq!(claims(&trainings, 7, &["many/4", "many/3"]), [false, true]);
    }

    #[test]
    fn runs_that_are_under_way_count_and_those_that_are_gone_do_not() {
        let trainings = Trainings::new(1);
        trainings.occupy(&who("a/1"), 0, HOUR);
        trainings.occupy(&who("a/2"), 0, HOUR);
        assert_eq!(claims(&trainings, 1, &["a/1", "b/1"]), [true, false]);
        trainings.keep_only(&|uid| uid == "b/1", 2);
        assert_eq!(claims(&trainings, 2, &["b/1"]), [true]);
    }

    #[test]
    fn a_place_that_nobody_gives_back_is_free_after_the_deadline() {
        let trainings = Trainings::new(1);
        assert_eq!(claims(&trainings, 0, &["a/1", "b/1"]), [true, false]);
        assert_eq!(claims(&trainings, 3600 + PLACE_SECONDS_EXTRA - 1, &["b/1"]), [false]);
        assert_eq!(claims(&trainings, 3600 + PLACE_SECONDS_EXTRA, &["b/1"]), [true]);
    }

    #[test]
    fn who_waits_no_more_holds_up_nobody() {
        let trainings = Trainings::new(1);
        claims(&trainings, 0, &["a/1", "a/2", "a/3"]);
        trainings.release("a/2", 1);
        trainings.release("a/1", 2);
        assert_eq!(claims(&trainings, 3, &["a/3"]), [true]);
    }
}
