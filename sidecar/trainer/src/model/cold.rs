//! Items that nobody has met: factors by what kind of item they are, and how good such factors are on items that were met.

use factorization::{AttributeMap, Interactions, Model, ValidParams, evaluate_ranking, random::word};
use sidecar_contract::{ColdItems, TrainingConfig};

use super::{fit, interactions, likes};
use crate::{
    data::Data,
    failure::Stop,
    items_table::ItemAttributes,
    limits::{COLD_ITEMS_MEASURED_MAX, COLD_ITEMS_MEASURED_SHARE},
    progress::{Event, Progress, Step},
    weights::PartWeights,
};

/// Fewer items than this in a list of them say nothing.
const MEASURED_MIN: usize = 5;
/// Stream of random numbers that says which items are taken out.
const TAKEN_OUT_STREAM: u64 = 0x636f_6c64;

/// Gives the model rows for the items that nobody has met, after those of all others; how many they are. Without items that have both
/// factors and a kind there are none.
pub(super) fn append(model: &mut Model, attributes: &ItemAttributes, seed: u64) -> usize {
    let Some(kinds) = attributes.kinds.as_ref().filter(|kinds| !kinds.cold_ids.is_empty()) else { return 0 };
    let Some(map) = AttributeMap::of_items(model, &kinds.met, |_| true, seed) else { return 0 };
    model.append_items(&map, &kinds.cold);
    kinds.cold_ids.len()
}

/// Takes some items out of a fit of its own, gives them factors by their kind, and ranks them for those who met them.
pub(super) fn measure(
    config: &TrainingConfig,
    params: &ValidParams,
    data: &Data,
    progress: &dyn Progress,
) -> Result<Option<ColdItems>, Stop> {
    let Data { interactions: merged, attributes } = data;
    let Some(kinds) = &attributes.kinds else { return Ok(None) };
    let Some(out) = taken_out(&kinds.met, config.seed) else { return Ok(None) };
    let is_at = |item: usize| out.get(item).copied().unwrap_or(false);
    let is_out = |item: u32| is_at(item as usize);
    let position_is_out = |position: usize| merged.items.get(position).is_some_and(|item| is_out(*item));
    let is_fitted = |position: usize| !position_is_out(position);
    let training = interactions(merged, is_fitted)?;
    let test = interactions(merged, position_is_out)?;
    let test = test.keep_users(|user| !training.row(user).0.is_empty());
    if training.nnz() == 0 || test.nnz() == 0 {
        return Ok(None);
    }
    let training = PartWeights::of(&config.weights, merged, &training, is_fitted).weigh(training);
    progress.event(&Event::Step(Step::Fit));
    let (mut model, _) = fit(&training, params, config, None, progress)?;
    progress.event(&Event::Step(Step::Measure));
    let Some(map) = AttributeMap::of_items(&model, &kinds.met, |item| !is_at(item), config.seed) else {
        return Ok(None);
    };
    model.replace_items(&map, &kinds.met, is_at);
    let test = likes(&test, model.ratings.as_ref().map(|ratings| &ratings.scale)).into_owned();
    let k = config.evaluation.k as usize;
    let Ok(scorer) = model.scorer() else { return Ok(None) };
    let by_kind = evaluate_ranking(&test, k, |users| {
        let tastes: Vec<_> = users.iter().filter_map(|user| scorer.stored(*user)).collect();
        let lists = scorer.best_of_each(&tastes, k, |_, item| is_out(item));
        lists.into_iter().map(|list| list.into_iter().map(|scored| scored.item).collect()).collect()
    });
    let items: Vec<u32> = (0..).zip(&out).filter(|(_, out)| **out).map(|(item, _)| item).collect();
    let by_chance =
        evaluate_ranking(&test, k, |users| users.iter().map(|user| shuffled(&items, *user, config.seed)).collect());
    Ok(by_kind.ndcg().zip(by_chance.ndcg()).map(|(ndcg, baseline)| ColdItems {
        items: items.len() as u64,
        users: by_kind.users.len() as u64,
        ndcg,
        baseline,
    }))
}

/// A seeded share of the items that have a kind; `None` if they are too few to rank.
fn taken_out(kinds: &Interactions, seed: u64) -> Option<Vec<bool>> {
    let mut with_kind: Vec<(u64, usize)> = (0..kinds.users())
        .filter(|item| !kinds.row(*item).0.is_empty())
        .map(|item| (word(seed, TAKEN_OUT_STREAM, item as u64), item))
        .collect();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
    let share = (with_kind.len() as f64 * COLD_ITEMS_MEASURED_SHARE) as usize;
    with_kind.sort_unstable();
    with_kind.truncate(share.min(COLD_ITEMS_MEASURED_MAX));
    let mut out = vec![false; kinds.users()];
    for (_, item) in &with_kind {
        if let Some(out) = out.get_mut(*item) {
            *out = true;
        }
    }
    (with_kind.len() >= MEASURED_MIN).then_some(out)
}

/// The items in an order of the user's own that says nothing.
fn shuffled(items: &[u32], user: u32, seed: u64) -> Vec<u32> {
    let mut order = items.to_vec();
    order.sort_by_cached_key(|item| word(seed, u64::from(user), u64::from(*item)));
    order
}
