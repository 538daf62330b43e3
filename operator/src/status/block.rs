//! Why a model may not serve.

use recommender_crds::Reason;
use sidecar_contract::GateVerdict;

use super::{StatusInput, data, gate};
use crate::decide::Judged;

/// Why a model may not serve, if it may not: its data first, because its metrics are those of other
/// rows.
pub(super) fn block(input: StatusInput<'_>, judged: &Judged) -> Option<(Reason, String)> {
    if let Some(fault) = &judged.data_fault {
        return Some((data::fault_reason(fault), data::fault(input, judged, fault)));
    }
    let reason = match judged.verdict {
        GateVerdict::Failed { .. } => Reason::GateFailed,
        GateVerdict::Regressed { .. } => Reason::Regressed,
        GateVerdict::Passed { .. } | GateVerdict::Unknown => return None,
    };
    Some((reason, gate::failed(input, judged)))
}
