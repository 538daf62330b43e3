//! What the access check finds out about a request, for the code around the protocol library.

use std::sync::{Arc, OnceLock};

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
}
