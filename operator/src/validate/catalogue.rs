//! The settings of catalogues. Pure.

use std::time::Duration;

use recommender_crds::{FilterType, ItemsSpec};
use sidecar_contract::{Digest, FilterColumn, FilterKind, HOURS_TO_SECONDS, Items, canonical_json, parse_duration};

use super::training;

/// Settings of catalogues.
#[derive(Clone, Debug, PartialEq)]
pub struct CataloguePlan {
    /// Item table, without the columns of the model.
    pub items: Items,
    /// Filter columns.
    pub filters: Vec<FilterColumn>,
    /// Interval of refreshes; without one, each model gets a catalogue once.
    pub refresh: Option<Duration>,
    /// Hash of what the spec asks for. A revision without a catalogue of this hash gets one.
    pub spec_hash: Digest,
}

/// Converts the spec; `None` if a catalogue would be empty: without a column for it. Appends to
/// `problems` what the user must change.
pub fn plan(spec: &ItemsSpec, items: &Items, problems: &mut Vec<String>) -> Option<CataloguePlan> {
    if !spec.has_catalogue() {
        return None;
    }
    let items = Items { attributes: Vec::new(), ..items.clone() };
    let refresh = spec.refresh.as_deref().and_then(|text| {
        parse_duration(text, HOURS_TO_SECONDS)
            .map_err(|error| problems.push(format!("data.items.refresh: {text:?}; {error}")))
            .ok()
    });
    let filters = spec.filters.iter().map(|filter| FilterColumn {
        column: training::column(&filter.column),
        name: filter.name.clone(),
        kind: match filter.kind {
            FilterType::Category => FilterKind::Category,
            FilterType::Number => FilterKind::Number,
            FilterType::Time => FilterKind::Time,
        },
    });
    let filters: Vec<FilterColumn> = filters.collect();
    let inputs = serde_json::json!([items, filters]);
    Some(CataloguePlan {
        spec_hash: Digest::of(canonical_json(&inputs).as_bytes()),
        items,
        filters,
        refresh: refresh.map(Duration::from_secs),
    })
}
