//! The resource as the API server delivers it, and its validation by the operator. The schema of
//! the API server does not protect the operator: an object may have been stored under an older one.

use std::collections::BTreeMap;

use recommender_crds::Recommender;
use recommender_operator::validate::plan;

/// Times at which the next start of a schedule is computed, in seconds since 1970.
const TIMES: [i64; 3] = [0, 1_800_000_000, i64::MAX];

/// A resource in JSON. Returns whether it is valid.
pub fn recommender(input: &[u8]) -> bool {
    let Ok(recommender) = serde_json::from_slice::<Recommender>(input) else { return false };
    match plan(&recommender, &BTreeMap::new()) {
        Ok(plan) => {
            if let Some(schedule) = &plan.training.schedule {
                assert!(TIMES.iter().all(|time| schedule.next_after(*time).is_none_or(|next| next > *time)));
            }
            true
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "rejected without a problem");
            false
        }
    }
}
