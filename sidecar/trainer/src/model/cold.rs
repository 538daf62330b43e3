//! Cold-start items: factors from item features, and an evaluation of such factors on items with
//! interactions.

use factorization::{Among, AttributeMap, Interactions, Model, Part, evaluate_ranking, random::word};
use sidecar_contract::{ColdItems, TrainingConfig};

use super::{
    check, fit, interactions, likes,
    parts::{TEST_USERS_MAX, of_drawn_users},
    resolve_defaults::resolved,
};
use crate::{
    data::Data,
    failure::RunError,
    item_features::ItemFeatures,
    limits::{COLD_ITEMS_MEASURED_FRACTION, COLD_ITEMS_MEASURED_MAX},
    progress::{Event, Progress, Step},
    weights::SplitWeighting,
};

/// Minimum number of excluded items: a ranking of fewer is not meaningful.
const MEASURED_MIN: usize = 5;
/// Random stream that selects the excluded items.
const EXCLUSION_STREAM: u64 = 0x636f_6c64;

/// Appends rows for the cold-start items to the model and returns their number. It is 0 without
/// items that have both factors and features.
pub(super) fn append(model: &mut Model, features: Option<&ItemFeatures>, seed: u64) -> usize {
    let Some(features) = features.filter(|features| !features.cold_ids.is_empty()) else { return 0 };
    let Some(map) = AttributeMap::of_items(model, &features.seen, |_| true, seed) else { return 0 };
    model.append_items(&map, &features.cold);
    features.cold_ids.len()
}

/// Excludes some items from a separate fit, derives their factors from features, and ranks them for
/// the users who interacted with them. Parameters that the config does not set are derived from the
/// rows of that fit.
pub(super) fn measure(
    config: &TrainingConfig,
    data: &Data,
    progress: &dyn Progress,
) -> Result<Option<ColdItems>, RunError> {
    let Data { interactions: table, features } = data;
    let Some(features) = features else { return Ok(None) };
    let Some(excluded) = excluded_items(&features.seen, config.seed) else { return Ok(None) };
    let is_excluded = |item: usize| excluded.get(item).copied().unwrap_or(false);
    let is_excluded_item = |item: u32| is_excluded(item as usize);
    let is_test = |position: usize| table.items.get(position).is_some_and(|item| is_excluded_item(*item));
    let is_train = |position: usize| !is_test(position);
    let training = interactions(table, is_train)?;
    let test = interactions(table, is_test)?;
    let test = test.keep_users(|user| !training.row(user).0.is_empty());
    if training.nnz() == 0 || test.nnz() == 0 {
        return Ok(None);
    }
    let training = SplitWeighting::fit(&config.weights, table, &training, is_train).transform(training, is_train);
    let params = check(resolved(config, Some(&training))?.as_ref())?;
    progress.event(&Event::Step(Step::Fit));
    let (mut model, _) = fit(&training, &params, config.seed, None, progress)?;
    progress.event(&Event::Step(Step::Measure));
    let Some(map) = AttributeMap::of_items(&model, &features.seen, |item| !is_excluded(item), config.seed) else {
        return Ok(None);
    };
    model.replace_items(&map, &features.seen, is_excluded);
    let test = likes(&test, model.ratings.as_ref().map(|ratings| &ratings.scale)).into_owned();
    let test = of_drawn_users(&test, TEST_USERS_MAX, config.seed);
    let k = config.evaluation.k as usize;
    let Ok(scorer) = model.scorer() else { return Ok(None) };
    let items: Vec<u32> = (0..).zip(&excluded).filter(|(_, excluded)| **excluded).map(|(item, _)| item).collect();
    let by_features = evaluate_ranking(&test, k, |users| {
        let user_vectors: Vec<_> = users.iter().filter_map(|user| scorer.stored(*user)).collect();
        let part = Part { among: Among::Listed(&items), after: None };
        let list = |vector| scorer.best_in(part, vector, k, |_| true).into_iter().map(|scored| scored.item).collect();
        user_vectors.iter().map(list).collect()
    });
    let random_order =
        evaluate_ranking(&test, k, |users| users.iter().map(|user| shuffled(&items, *user, config.seed)).collect());
    Ok(by_features.ndcg().zip(random_order.ndcg()).map(|(ndcg, baseline)| ColdItems {
        items: items.len() as u64,
        users: by_features.users.len() as u64,
        ndcg,
        baseline,
    }))
}

/// Flags a seeded sample of the items with features; `None` if there are too few to rank.
fn excluded_items(features: &Interactions, seed: u64) -> Option<Vec<bool>> {
    let mut with_features: Vec<(u64, usize)> = (0..features.users())
        .filter(|item| !features.row(*item).0.is_empty())
        .map(|item| (word(seed, EXCLUSION_STREAM, item as u64), item))
        .collect();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fraction of a length")]
    let count = (with_features.len() as f64 * COLD_ITEMS_MEASURED_FRACTION) as usize;
    with_features.sort_unstable();
    with_features.truncate(count.min(COLD_ITEMS_MEASURED_MAX));
    let mut excluded = vec![false; features.users()];
    for (_, item) in &with_features {
        if let Some(excluded) = excluded.get_mut(*item) {
            *excluded = true;
        }
    }
    (with_features.len() >= MEASURED_MIN).then_some(excluded)
}

/// The items in a random order that is specific to the user.
fn shuffled(items: &[u32], user: u32, seed: u64) -> Vec<u32> {
    let mut order = items.to_vec();
    order.sort_by_cached_key(|item| word(seed, u64::from(user), u64::from(*item)));
    order
}
