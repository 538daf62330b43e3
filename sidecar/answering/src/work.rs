//! How much work an answer is, estimated before it is computed.

use crate::{
    ask::{Ask, Filter, Query},
    local::Local,
};

/// Work of an answer besides its scan and its items, in multiply-adds.
const ANSWER_WORK: u64 = 4096;
/// Work of an item of the answer: its place in the list, its id and its title.
const ITEM_WORK: u64 = 256;
/// Work of an addition of the two-hop term, which reads memory in no order.
const ADDITION_WORK: u64 = 8;
/// Work of finding an id in the model. That of a candidate includes its place among the others.
const ID_WORK: u64 = 1024;

impl Local {
    /// Estimated work of an answer, in multiply-adds of the scan.
    pub fn work(&self, ask: &Ask) -> u64 {
        let Ask { request_id: _, query, n, filter, page: _, explain, deadline: _, context: _ } = ask;
        let Filter { exclude, include_seen: _, candidates, matching } = filter;
        let metadata = self.model().snapshot().metadata();
        let factors = metadata.factors;
        let square = factors.saturating_mul(factors);
        let scanned = candidates.as_ref().map_or(metadata.items, |ids| metadata.items.min(ids.len() as u64));
        let scan = if self.mode().is_personalized() { scanned.saturating_mul(factors) } else { 0 };
        let select = (matching.conditions().len() as u64).saturating_mul(metadata.items);
        let history = match query {
            Query::Recommend { user: _, history } => history.len() as u64,
            Query::Similar { item: _ } => 0,
        };
        let solve = |rows: u64| square.saturating_mul(rows).saturating_add(square.saturating_mul(factors / 3));
        let term = self.two_hop_additions(query).saturating_mul(ADDITION_WORK);
        let fold_in = if history > 0 { solve(history) } else { 0 };
        let n = (*n as u64).min(metadata.items);
        // An explanation solves the equations of the user once, and once more for each item.
        let explanations = if *explain { solve(history).saturating_add(square.saturating_mul(n)) } else { 0 };
        let ids = history + exclude.len() as u64 + candidates.as_ref().map_or(0, |ids| ids.len() as u64);
        [scan, select, term, fold_in, explanations, n.saturating_mul(ITEM_WORK), ids.saturating_mul(ID_WORK)]
            .into_iter()
            .fold(ANSWER_WORK, u64::saturating_add)
    }

    /// Upper bound of the additions of the two-hop term.
    fn two_hop_additions(&self, query: &Query) -> u64 {
        let snapshot = self.model().snapshot();
        if snapshot.metadata().two_hop_entries.is_none() || !self.mode().is_personalized() {
            return 0;
        }
        let scorer = self.model().scorer();
        let additions = match query {
            Query::Recommend { user: Some(user), history } if history.is_empty() => {
                let row = snapshot.user_index(user);
                row.map_or(0, |row| scorer.two_hop_additions(snapshot.seen(row).iter().copied()))
            }
            Query::Recommend { user: _, history } => {
                scorer.two_hop_additions(history.iter().filter_map(|entry| snapshot.item_index(&entry.item)))
            }
            Query::Similar { item: _ } => 0,
        };
        additions as u64
    }
}
