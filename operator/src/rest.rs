//! Whether a Recommender is at rest: its last pass found nothing to do, and nothing that a pass
//! reads from the API server has changed since. A Recommender at rest costs no pass. Pure.

use std::time::Duration;

use recommender_crds::Recommender;
use serde_json::json;
use sidecar_contract::{Digest, canonical_json};

use crate::versions::Footprint;

/// Time after which a Recommender at rest has a pass all the same: it repairs Secrets, which are
/// not watched, looks for orphans in the store, and finds changes that a watch has missed.
pub const FULL_PASS_INTERVAL: Duration = Duration::from_hours(12);

/// What a pass that found nothing to do was based on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// Versions of the objects of the Recommender before the pass read them.
    pub footprint: Footprint,
    /// What the pass read of the Recommender.
    pub facts: Digest,
    /// Second since 1970 when a run is due.
    pub due_at: Option<i64>,
}

impl Rest {
    /// Whether nothing has changed, and nothing is due.
    pub fn holds(&self, footprint: &Footprint, facts: &Digest, now: i64) -> bool {
        self.footprint == *footprint && self.facts == *facts && self.due_at.is_none_or(|due_at| now < due_at)
    }
}

/// What of a Recommender determines the result of a pass. The status does not, unless someone else
/// has replaced it.
pub fn facts(recommender: &Recommender) -> Digest {
    let meta = &recommender.metadata;
    let observed = recommender.status.as_ref().map(|status| status.observed_generation);
    Digest::of(
        canonical_json(&json!([
            meta.uid,
            meta.generation,
            meta.annotations,
            meta.finalizers,
            meta.deletion_timestamp,
            observed,
        ]))
        .as_bytes(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_fact_only_if_it_was_replaced() {
        let read = |status: &str| {
            let yaml = format!(
                "apiVersion: recmesh.dev/v1alpha1\nkind: Recommender\nmetadata: {{name: a, generation: 3}}\n\
                 spec: {{data: {{source: {{url: 's3://x/y.csv'}}}}}}\nstatus: {status}\n"
            );
            facts(&serde_yaml_ng::from_str(&yaml).unwrap())
        };
        let known = read("{observedGeneration: 3, replicas: 1}");
        assert_eq!(read("{observedGeneration: 3, replicas: 2}"), known);
        assert_ne!(read("{observedGeneration: 2, replicas: 1}"), known);
        assert_ne!(read("null"), known);
    }

    #[test]
    fn rest_ends_when_a_run_is_due() {
        let (footprint, facts) = (Footprint::default(), Digest::of(b"a"));
        let rest = Rest { footprint: footprint.clone(), facts: facts.clone(), due_at: Some(100) };
        assert!(rest.holds(&footprint, &facts, 99));
        assert!(!rest.holds(&footprint, &facts, 100));
        assert!(!rest.holds(&footprint, &Digest::of(b"b"), 99));
    }
}
