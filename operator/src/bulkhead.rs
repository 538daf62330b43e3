//! Limits concurrent work, in total and for each namespace, so that the slow work of one namespace
//! does not occupy the slots of the others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Limits of concurrent work.
#[derive(Debug)]
pub struct Bulkhead {
    all: Arc<Semaphore>,
    namespace_max: usize,
    namespaces: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// Permission to work, until it is dropped.
#[derive(Debug)]
pub struct Entry {
    _namespace: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Bulkhead {
    /// Creates a bulkhead with these limits; at least one each.
    pub fn new(all_max: usize, namespace_max: usize) -> Self {
        let all = Arc::new(Semaphore::new(all_max.max(1)));
        Self { all, namespace_max: namespace_max.max(1), namespaces: Mutex::default() }
    }

    /// Waits until there is a slot: first behind the work of the same namespace, then behind that
    /// of all. A namespace has at most its own maximum of places in the second queue.
    pub async fn enter(&self, namespace: &str) -> Option<Entry> {
        let own = self.of(namespace).acquire_owned().await.ok()?;
        let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Entry { _namespace: own, _all: all })
    }

    fn of(&self, namespace: &str) -> Arc<Semaphore> {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        // A permit or a waiter holds a reference.
        namespaces.retain(|name, semaphore| name == namespace || Arc::strong_count(semaphore) > 1);
        let new = || Arc::new(Semaphore::new(self.namespace_max));
        Arc::clone(namespaces.entry(namespace.to_owned()).or_insert_with(new))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_namespace_at_its_limit_does_not_delay_another() {
        let bulkhead = Bulkhead::new(3, 2);
        let enter = |namespace: &'static str| bulkhead.enter(namespace).now_or_never().flatten();
        let (first, second) = (enter("many"), enter("many"));
        assert!(first.is_some() && second.is_some() && enter("many").is_none());
        let other = enter("one");
        assert!(other.is_some(), "a slot that many cannot use");
        assert!(enter("third").is_none(), "the total");
        drop(other);
        assert!(enter("many").is_none());
        drop(first);
        assert!(enter("many").is_some());
    }

    #[tokio::test]
    async fn idle_namespaces_are_forgotten() {
        let bulkhead = Bulkhead::new(3, 1);
        let held = bulkhead.enter("held").await;
        for namespace in ["a", "b", "c"] {
            bulkhead.enter(namespace).await;
        }
        assert_eq!(bulkhead.namespaces.lock().unwrap().len(), 2, "held and c");
        assert!(bulkhead.enter("held").now_or_never().is_none());
        drop(held);
    }
}
