//! Slots of the requests that are handled at once. They are shared so that no Recommender and no
//! namespace can take them all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sidecar_contract::credentials::AccessKeyId;

/// A namespace may hold a quarter as many slots as are free, and a Recommender as many as are left
/// to its namespace. So one namespace holds at most a fifth of all slots and one Recommender a
/// ninth, and sixteen namespaces that take what they can leave slots to others.
#[derive(Clone, Debug)]
pub struct RequestSlots(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    slots: usize,
    held: Mutex<Held>,
}

/// Numbers of held slots; absent if zero.
#[derive(Debug, Default)]
struct Held {
    total: usize,
    by_namespace: HashMap<String, HashMap<String, usize>>,
}

/// Slot of a request; dropping it releases the slot.
#[derive(Debug)]
pub struct RequestSlot {
    shared: Arc<Shared>,
    namespace: String,
    name: String,
}

impl RequestSlots {
    /// A number of free slots.
    pub fn new(slots: usize) -> Self {
        Self(Arc::new(Shared { slots, held: Mutex::default() }))
    }

    /// Acquires a slot for a request of this Recommender; `None` if it holds its share.
    pub fn acquire(&self, id: &AccessKeyId) -> Option<RequestSlot> {
        let mut held = self.0.lock();
        let free = self.0.slots - held.total;
        let by_name = held.by_namespace.get(&id.namespace);
        let of_namespace: usize = by_name.map_or(0, |names| names.values().sum());
        let of_recommender = by_name.and_then(|names| names.get(&id.name)).copied().unwrap_or_default();
        let left_to_namespace = free.div_ceil(4).saturating_sub(of_namespace);
        if of_recommender >= left_to_namespace {
            return None;
        }
        held.total += 1;
        *held.by_namespace.entry(id.namespace.clone()).or_default().entry(id.name.clone()).or_default() += 1;
        Some(RequestSlot { shared: Arc::clone(&self.0), namespace: id.namespace.clone(), name: id.name.clone() })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RequestSlot {
    fn drop(&mut self) {
        let mut held = self.shared.lock();
        held.total -= 1;
        if let Some(names) = held.by_namespace.get_mut(&self.namespace) {
            if let Some(of_recommender) = names.get_mut(&self.name) {
                *of_recommender -= 1;
            }
            names.retain(|_, slots| *slots > 0);
        }
        held.by_namespace.retain(|_, names| !names.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sidecar_contract::credentials::Role;

    use super::*;
    use crate::limits::REQUESTS_MAX;

    fn id(namespace: &str, name: &str) -> AccessKeyId {
        AccessKeyId { namespace: namespace.into(), name: name.into(), role: Role::Serve }
    }

    fn take_all(slots: &RequestSlots, id: &AccessKeyId) -> Vec<RequestSlot> {
        std::iter::from_fn(|| slots.acquire(id)).collect()
    }

    #[test]
    fn a_greedy_recommender_leaves_slots_to_its_namespace_and_to_others() {
        let slots = RequestSlots::new(180);
        let recommender = take_all(&slots, &id("a", "x"));
        assert_eq!(recommender.len(), 180 / 9);
        let neighbours: Vec<_> = (0..9).flat_map(|n| take_all(&slots, &id("a", &format!("n{n}")))).collect();
        assert_eq!(recommender.len() + neighbours.len(), 180 / 5);
        let other: Vec<_> = (0..9).flat_map(|n| take_all(&slots, &id("b", &format!("n{n}")))).collect();
        assert_eq!(other.len(), 29); // A fifth of the other 144, rounded up.
        drop((recommender, neighbours, other));
        assert!(slots.0.lock().by_namespace.is_empty());
        assert_eq!(take_all(&slots, &id("a", "x")).len(), 180 / 9);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn slots_are_left_whatever_sixteen_namespaces_do(
            requests in prop::collection::vec((0..16_u8, 0..4_u8, 0..8_usize), 0..2000),
        ) {
            let slots = RequestSlots::new(REQUESTS_MAX);
            let mut held = Vec::new();
            for (namespace, name, release) in requests {
                if release == 0 && !held.is_empty() {
                    held.swap_remove(usize::from(namespace) % held.len());
                }
                held.extend(slots.acquire(&id(&format!("n{namespace}"), &format!("r{name}"))));
            }
            prop_assert!(slots.acquire(&id("another", "one")).is_some());
        }
    }
}
