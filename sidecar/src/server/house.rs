//! Who is connected: a bounded number of places. When all are taken, whoever has waited longest for a request leaves, so
//! that idle or dawdling connections cannot keep working ones out.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::connection::Phase;

/// The places of one listener.
#[derive(Debug)]
pub struct House {
    places_max: usize,
    guests: Mutex<Guests>,
}

#[derive(Debug, Default)]
struct Guests {
    next: u64,
    present: HashMap<u64, Guest>,
}

#[derive(Debug)]
struct Guest {
    phase: Arc<Phase>,
    leave: Arc<Notify>,
}

/// A place that is taken while this lives.
#[derive(Debug)]
pub struct Place {
    house: Arc<House>,
    number: u64,
    /// What the connection does.
    pub phase: Arc<Phase>,
    leave: Arc<Notify>,
}

impl House {
    /// A house with so many places.
    pub fn new(places_max: usize) -> Self {
        Self { places_max, guests: Mutex::default() }
    }

    /// A place, if there is one or a waiting guest can be asked to leave; `None` if all are being answered.
    pub fn enter(self: &Arc<Self>) -> Option<Place> {
        let mut guests = self.guests();
        if guests.present.len() >= self.places_max {
            let waiting =
                guests.present.iter().filter_map(|(number, guest)| Some((guest.phase.waits_since()?, *number)));
            let (_, number) = waiting.min()?;
            if let Some(guest) = guests.present.remove(&number) {
                guest.leave.notify_one();
            }
        }
        let number = guests.next;
        guests.next += 1;
        let (phase, leave) = (Arc::new(Phase::new()), Arc::new(Notify::new()));
        guests.present.insert(number, Guest { phase: Arc::clone(&phase), leave: Arc::clone(&leave) });
        Some(Place { house: Arc::clone(self), number, phase, leave })
    }

    /// Asks everybody to leave.
    pub fn clear(&self) {
        for (_, guest) in self.guests().present.drain() {
            guest.leave.notify_one();
        }
    }

    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Until somebody else needs the place.
    pub async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.house.guests().present.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_longest_waiting_leaves_and_nobody_who_is_answered() {
        let house = Arc::new(House::new(2));
        let first = house.enter().unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        let second = house.enter().unwrap();
        let answering = first.phase.answer();
        let _third = house.enter().unwrap();
        second.asked_to_leave().await;
        let _fourth = house.enter().unwrap(); // The third went for it.
        drop(second); // Its place is somebody else's by now.
        let all: Vec<_> = house.guests().present.values().map(|guest| guest.phase.answer()).collect();
        assert_eq!(all.len(), 2);
        assert!(house.enter().is_none());
        drop(answering);
        drop(first);
        assert!(house.enter().is_some());
    }
}
