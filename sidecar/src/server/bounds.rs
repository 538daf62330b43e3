//! What ends a connection apart from its streams and the end of the process: its age, and a caller
//! that is no longer allowed.

use std::sync::Arc;

use mesh::identity::{Admission, SpiffeId};
use tokio::time::Instant;

use crate::limits::AGED_REQUESTS_MAX;

/// Bounds of a connection.
#[derive(Debug, Default)]
pub struct Bounds {
    /// End of its age. Requests that began before it are answered.
    pub until: Option<Instant>,
    /// The caller, if it is known.
    pub caller: Option<Caller>,
}

/// A caller with a certificate.
#[derive(Debug)]
pub struct Caller {
    /// Own id.
    pub own: SpiffeId,
    /// Id of the caller.
    pub id: SpiffeId,
    /// Who may connect now.
    pub admission: Arc<dyn Admission>,
}

impl Bounds {
    /// Completes at the end of the age.
    pub async fn aged(&self) {
        match self.until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    }

    /// Completes when requests that began before the end of the age have ended.
    pub async fn overdue(&self) {
        match self.until {
            Some(until) => tokio::time::sleep_until(until + AGED_REQUESTS_MAX).await,
            None => std::future::pending().await,
        }
    }

    /// The caller, if it was allowed to connect and is no longer.
    pub fn revoked(&self) -> Option<&Caller> {
        self.caller.as_ref().filter(|caller| !caller.admission.admits(&caller.own, &caller.id))
    }
}
