//! The settings of lists for all users. Pure.

use recommender_crds::BatchSpec;
use sidecar_contract::{BatchConfig, Digest};

use crate::schedule::Schedule;

/// Settings of lists for all users.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchPlan {
    /// When lists are written; without one, whenever another model is served.
    pub schedule: Option<Schedule>,
    /// Items for each user.
    pub n: u32,
    /// URL of the bucket.
    pub destination: String,
    /// Name of the Secret with its credentials.
    pub secret: Option<String>,
    /// Hash of what the spec asks for; lists of another hash do not satisfy it.
    pub spec_hash: Digest,
}

/// Converts the spec. Appends to `problems` what the user must change.
pub fn plan(batch: &BatchSpec, problems: &mut Vec<String>) -> BatchPlan {
    let (n, destination) = (batch.items_per_user, batch.destination.url.trim_end_matches('/').to_owned());
    if !["s3://", "gs://", "az://"]
        .iter()
        .any(|scheme| destination.len() > scheme.len() && destination.starts_with(scheme))
    {
        problems.push(format!(
            "batch.destination.url: {:?}; expected s3://bucket, gs://bucket or az://container with an optional path",
            batch.destination.url
        ));
    }
    let schedule = batch.schedule.as_deref().and_then(|text| {
        Schedule::parse(text, batch.time_zone.as_deref()).map_err(|error| problems.push(format!("batch.{error}"))).ok()
    });
    BatchPlan {
        schedule,
        n,
        spec_hash: BatchConfig::spec_hash_of(n, &destination),
        destination,
        secret: batch.destination.secret_ref.as_ref().map(|secret| secret.name.clone()),
    }
}
