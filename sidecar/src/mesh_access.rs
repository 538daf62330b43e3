//! Who may connect with mutual TLS, as the current serving config states it.

use std::sync::Arc;

use mesh::identity::{Admission, SpiffeId};

use crate::engine::Engine;

/// The access of what serves now.
#[derive(Debug)]
pub struct MeshAccess(pub Arc<Engine>);

impl Admission for MeshAccess {
    fn admits(&self, own: &SpiffeId, caller: &SpiffeId) -> bool {
        let (own, caller) = (&own.workload, &caller.workload);
        self.0.serving().access.allows(&own.namespace, &caller.namespace, &caller.service_account)
    }
}
