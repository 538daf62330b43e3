//! Makes pods read a new serving config immediately instead of within a minute.

use sidecar_contract::Digest;

use super::{Pass, Refused, objects};
use crate::error::Error;

/// Requests a config refresh in the pods that report another config than that of this hash. Returns whether
/// there are any.
pub async fn request(pass: Pass<'_>, hash: Option<Digest>, refused: &mut Refused) -> Result<bool, Error> {
    let Pass { context, plan, observed, .. } = pass;
    let Some(hash) = hash else { return Ok(false) };
    let mut is_pending = false;
    for (pod, _) in observed.reports.iter().filter(|(_, report)| report.config_hash.as_ref() != Some(&hash)) {
        is_pending = true;
        let facts = observed.pods.iter().find(|facts| facts.name == *pod);
        if facts.and_then(|facts| facts.requested_config_hash.as_deref()) != Some(hash.as_str()) {
            let written = objects::refresh_config(context, &plan.namespace, pod, hash.as_str()).await;
            refused.unless_rejected(written)?;
        }
    }
    Ok(is_pending)
}
