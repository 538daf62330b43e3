//! Status of catalogues: the newest one, and why a newer table is held.

use recommender_crds::{CatalogueStatus, ConditionType, Reason, condition::ConditionUpdate};

use super::{StatusInput, time};
use crate::{decide::Catalogue, names::ACCEPT_CATALOGUE_ANNOTATION};

/// The newest catalogue of the desired revision. `None` if the spec asks for none.
pub(super) fn status(input: StatusInput<'_>) -> Option<CatalogueStatus> {
    input.plan.catalogue.as_ref()?;
    if input.observed.catalogues.is_err() {
        return input.before.catalogue.clone(); // The store is down: keep the last known status.
    }
    let Catalogue { newest, failures, checked_at, handled_request, .. } = &input.decision.catalogue;
    let counts = newest.as_ref().and_then(|newest| newest.items.clone()).unwrap_or_default();
    Some(CatalogueStatus {
        version: newest.as_ref().map(|newest| newest.id.to_string()).unwrap_or_default(),
        made_at: newest.as_ref().and_then(|newest| time(newest.finished_at)),
        checked_at: checked_at.and_then(time),
        items: counts.items,
        available: counts.available,
        missing: counts.missing,
        unknown: counts.unknown,
        failures: failures.count,
        last_handled_refresh: handled_request.clone(),
    })
}

/// The condition `CatalogueHeld`; `None` if the newest table serves.
pub(super) fn held(input: StatusInput<'_>) -> Option<ConditionUpdate> {
    let kind = ConditionType::CatalogueHeld;
    let Catalogue { newest, held, failures, failure, .. } = &input.decision.catalogue;
    if let Some(held) = held {
        let counts = held.items.clone().unwrap_or_default();
        let before = newest.as_ref().and_then(|newest| newest.items.as_ref());
        let before = before.map_or_else(String::new, |before| {
            format!(
                " (before: {} and {} of {})",
                before.items.saturating_sub(before.missing),
                before.available,
                before.items
            )
        });
        let instead = match &input.decision.awaits_catalogue {
            None => "the catalogue before it keeps serving".to_owned(),
            Some(revision) => format!("revision {} does not serve without a catalogue", revision.revision()),
        };
        let (namespace, name) = (&input.plan.namespace, &input.plan.name);
        let message = format!(
            "of {} items of the model the item table has {}, and {} are available{before}: {instead}. Fix the table, or \
             accept it: kubectl -n {namespace} annotate recommender {name} {ACCEPT_CATALOGUE_ANNOTATION}={} --overwrite",
            counts.items,
            counts.items.saturating_sub(counts.missing),
            counts.available,
            held.id
        );
        return Some(ConditionUpdate::is(kind, Reason::CatalogueShrunk, message));
    }
    let message = format!("failed refreshes in a row: {}; the last one: {failure}", failures.count);
    (failures.count > 0).then(|| ConditionUpdate::is(kind, Reason::CatalogueNotMade, message))
}
