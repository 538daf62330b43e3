//! What the mesh reports about its decisions.

use http::HeaderMap;

use crate::{ejection::EjectionReason, identity::Refusal, outcome::TryOutcome, retry::RetryDecision};

/// Receives every decision; for metrics.
pub trait Observer: Send + Sync {
    /// A try begins; its headers may be changed.
    fn begins_try(&self, _headers: &mut HeaderMap) -> Option<Box<dyn TryWatch>> {
        None
    }
    /// A try ended, also because the client went away.
    fn tried(&self, outcome: TryOutcome);
    /// A failed try was followed by another one, or was not.
    fn retry_decided(&self, decision: RetryDecision);
    /// A pod was ejected.
    fn ejected(&self, reason: EjectionReason);
    /// A connection to a pod was refused: the pod is not what it should be, or refused this process,
    /// or this process has no identity.
    fn peer_refused(&self, reason: Refusal);
    /// A lookup of the addresses ended.
    fn looked_up(&self, is_success: bool);
}

/// Receives the end of one try. It is dropped without an end if the client goes away.
pub trait TryWatch: Send {
    /// The try ended.
    fn ended(self: Box<Self>, outcome: TryOutcome);
}
