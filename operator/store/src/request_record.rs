//! What the access check finds out about a request, for the code around the protocol library.

use std::sync::{Arc, OnceLock};

use http::Extensions;
use tokio::task::JoinHandle;

use crate::{metrics::Operation, request_slots::RequestSlot};

/// Request extension that the access check fills. It holds the slot of the request: dropping the
/// last clone releases it.
#[derive(Clone, Debug, Default)]
pub struct RequestRecord(Arc<Record>);

#[derive(Debug, Default)]
struct Record {
    operation: OnceLock<Operation>,
    slot: OnceLock<RequestSlot>,
}

impl RequestRecord {
    /// The record of a request with these extensions.
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_default()
    }

    /// Records the operation; only the first call has an effect.
    pub fn set_operation(&self, operation: Operation) {
        let _ = self.0.operation.set(operation);
    }

    /// Operation of the request, or [`Operation::Other`] if the access check did not get to it.
    pub fn operation(&self) -> Operation {
        self.0.operation.get().copied().unwrap_or(Operation::Other)
    }

    /// Holds a slot; only the first call has an effect.
    pub fn hold(&self, slot: RequestSlot) {
        let _ = self.0.slot.set(slot);
    }

    /// Runs work on a blocking thread. The work holds the slot until it ends, because it goes on
    /// after the client has disconnected: otherwise a client that repeats and abandons requests
    /// would occupy all threads.
    pub fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let record = self.clone();
        tokio::task::spawn_blocking(move || {
            let done = work();
            drop(record);
            done
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use sidecar_contract::credentials::{AccessKeyId, Role};

    use super::*;
    use crate::request_slots::RequestSlots;

    #[tokio::test]
    async fn work_keeps_the_slot_of_a_request_that_was_abandoned() {
        let slots = RequestSlots::new(9);
        let id = AccessKeyId { namespace: "shop".into(), name: "movies".into(), role: Role::Train };
        let mut extensions = Extensions::new();
        let record = RequestRecord::default();
        record.hold(slots.acquire(&id).unwrap());
        extensions.insert(record);
        let (finish, finished) = mpsc::channel();
        let work = RequestRecord::of(&extensions).blocking(move || finished.recv().unwrap());
        drop(extensions);
        assert!(slots.acquire(&id).is_none(), "a ninth of nine slots is one");
        finish.send(()).unwrap();
        work.await.unwrap();
        assert!(slots.acquire(&id).is_some());
    }
}
